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

// overAfter is how long a trouble has not been met when it counts as over. One that comes and goes
// is one trouble.
const overAfter = 5 * time.Second

// troubles remembers which troubles there are. Nothing is logged under its mutex: a logger that
// blocks would stop all requests.
type troubles struct {
	present atomic.Int32 // how many there are: a request that succeeds asks no more than this

	mu  sync.Mutex
	all [troubleCount]struct {
		present     bool
		since, last time.Time
		failed      int
		succeeded   bool // a request has, since the last failure
	}
}

// summary describes a trouble that is over.
type summary struct {
	kind   trouble
	failed int // requests
	lasted time.Duration
}

// fail counts a failed request and reports whether a trouble begins with it. over is not empty if
// the trouble that was there before had ended, and no request has told so.
func (t *troubles) fail(kind trouble, now time.Time) (begins bool, over []summary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := &t.all[kind]
	if a.present && a.succeeded && now.Sub(a.last) >= overAfter {
		over = append(over, t.end(kind))
	}
	if !a.present {
		a.present, a.since, a.failed, begins = true, now, 0, true
		t.present.Add(1)
	}
	a.last, a.succeeded = now, false
	a.failed++
	return begins, over
}

// succeed notes that a request succeeded and returns the troubles that are over.
func (t *troubles) succeed(now time.Time) (over []summary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for kind := range t.all {
		a := &t.all[kind]
		a.succeeded = true
		if a.present && now.Sub(a.last) >= overAfter {
			over = append(over, t.end(trouble(kind)))
		}
	}
	return over
}

// end ends a trouble. The caller holds the mutex.
func (t *troubles) end(kind trouble) summary {
	a := &t.all[kind]
	a.present = false
	t.present.Add(-1)
	return summary{kind, a.failed, a.last.Sub(a.since).Round(time.Millisecond)}
}

// report counts a failed request and logs err if a trouble begins with it.
func (c *call) report(kind trouble, err error) {
	begins, over := c.handler.troubles.fail(kind, time.Now())
	c.handler.logOver(over)
	if begins {
		line := troubleLines[kind]
		c.logger.Log(context.WithoutCancel(c.request.Context()), line.level, line.begun, "request_id", c.id, "path", c.knownPath(), "err", err)
	}
}

// succeeded logs which troubles are over, now that a request was answered.
func (h *Handler) succeeded() {
	if h.troubles.present.Load() > 0 {
		h.logOver(h.troubles.succeed(time.Now()))
	}
}

func (h *Handler) logOver(over []summary) {
	for _, s := range over {
		h.logger.Info(troubleLines[s.kind].over, "failed_requests", s.failed, "lasted", s.lasted)
	}
}
