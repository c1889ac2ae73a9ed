package timeline

import (
	"context"
	"log/slog"
)

// trouble is a time in which entries wait for the journal, or are dropped. The writer logs when it
// begins and when it is over.
type trouble struct {
	on      bool
	dropped uint64 // before it began
}

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
	dropped := s.Dropped()
	if !s.trouble.on && dropped > s.trouble.dropped {
		s.trouble.on = true
		s.warn("timeline: entries are dropped")
	}
	if s.trouble.on && room {
		s.warn("timeline: entries are written again", slog.Uint64("dropped", dropped-s.trouble.dropped))
		s.trouble = trouble{dropped: dropped}
	}
}

func (s *Store) warn(msg string, attrs ...slog.Attr) {
	defer func() { _ = recover() }() // the logger is not ours
	s.logger.LogAttrs(context.Background(), slog.LevelWarn, msg, attrs...)
}
