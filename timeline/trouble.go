package timeline

import (
	"context"
	"log/slog"
	"time"
)

// trouble is a time in which entries wait for the journal, or are dropped. The writer logs when it
// begins and when it is over.
type trouble struct {
	on      bool
	dropped uint64    // before it began
	refused uint64    // by the rate, so far
	last    time.Time // when that was seen to grow
}

// calm is how long the rate has refused nothing when a trouble is over.
const calm = 10 * time.Second

// began notes that a write has failed.
func (s *Store) began(err error) {
	if !s.trouble.on {
		s.trouble.on = true
		s.warn("timeline: the journal is away, entries wait", slog.Any("err", err))
	}
}

// over notes that a write has succeeded. Trouble is not over before the buffer has room again.
func (s *Store) over() {
	s.mu.Lock()
	s.away = nil
	room := s.waiting <= s.most/2
	s.mu.Unlock()
	now, t := time.Now(), &s.trouble
	refused, dropped := s.rate.refused.Load(), s.Dropped()
	var attrs []slog.Attr
	if refused > t.refused {
		t.refused, t.last = refused, now
		attrs = append(attrs, slog.String("why", "more are noted than the rate allows"))
	}
	if !t.on && dropped > t.dropped {
		t.on = true
		s.warn("timeline: entries are dropped", attrs...)
	}
	if t.on && room && (t.last.IsZero() || now.Sub(t.last) >= calm) {
		s.warn("timeline: entries are written again", slog.Uint64("dropped", dropped-t.dropped))
		t.on, t.dropped = false, dropped
	}
}

func (s *Store) warn(msg string, attrs ...slog.Attr) {
	defer func() { _ = recover() }() // the logger is not ours
	s.logger.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...)
}
