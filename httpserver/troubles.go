package httpserver

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A store that is away fails every request, thousands a second. The log gets one line when a
// trouble begins and one when it is over.

// trouble is a reason why requests fail that is not theirs.
type trouble int

const (
	storeAway  trouble = iota // the store cannot be reached, or the outcome of a write is unknown
	recordBad                 // a record cannot be read
	memoryFull                // too much is held, see WithMaxHeldBytes
	troubleCount
)

var troubleLines = [troubleCount]struct {
	level       slog.Level
	begun, over string
}{
	storeAway:  {slog.LevelWarn, "httpserver: requests fail: the store does not answer as it should", "httpserver: the store answers again"},
	recordBad:  {slog.LevelError, "httpserver: requests fail: a record cannot be read", "httpserver: no more unreadable records are asked for"},
	memoryFull: {slog.LevelWarn, "httpserver: requests are refused: the bodies and answers under way hold too much memory", "httpserver: requests are no longer refused for want of memory"},
}

// calmAfter is how long a trouble has not been met when it counts as over. One that comes and goes
// is one trouble.
const calmAfter = 5 * time.Second

// troubles remembers which troubles there are.
type troubles struct {
	present atomic.Int32 // how many there are: a request that succeeds asks no more than this

	mu  sync.Mutex
	all [troubleCount]struct {
		present     bool
		since, last time.Time
		failed      int
	}
}

// note counts a failed request and reports whether the trouble begins with it.
func (t *troubles) note(kind trouble, now time.Time) (begins bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.all[kind]
	if !a.present {
		a.present, a.since, a.failed, begins = true, now, 0, true
		t.present.Add(1)
	}
	a.last = now
	a.failed++
	return begins
}

// meet logs err if a trouble begins with it.
func (c *call) meet(kind trouble, err error) {
	if c.handler.troubles.note(kind, time.Now()) {
		line := troubleLines[kind]
		c.logger.Log(context.WithoutCancel(c.request.Context()), line.level, line.begun, "request_id", c.id, "path", c.knownPath(), "err", err)
	}
}

// succeeded logs which troubles are over, now that a request was answered.
func (h *Handler) succeeded() {
	if h.troubles.present.Load() == 0 {
		return
	}
	now := time.Now()
	h.troubles.mu.Lock()
	defer h.troubles.mu.Unlock()
	for kind := range h.troubles.all {
		a := &h.troubles.all[kind]
		if a.present && now.Sub(a.last) >= calmAfter {
			a.present = false
			h.troubles.present.Add(-1)
			h.logger.Info(troubleLines[kind].over, "failed_requests", a.failed, "lasted", a.last.Sub(a.since).Round(time.Millisecond))
		}
	}
}
