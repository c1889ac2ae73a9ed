package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault of ids.

var ofIDs = []mutant{
	{"an id that is not looked at", "journal ids", booked(func(b *book) {
		b.taken = func(backend.JournalEntry, *line) bool { return false }
	})},
	{"an id is taken in all streams", "journal ids", booked(func(b *book) {
		b.taken = func(e backend.JournalEntry, old *line) bool { return e.ID != "" && e.ID == old.ID }
	})},
	{"an id without case", "journal ids", booked(func(b *book) {
		b.taken = func(e backend.JournalEntry, old *line) bool {
			return e.ID != "" && strings.EqualFold(e.ID, old.ID) && e.Stream == old.Stream
		}
	})},
	{"an empty id is one too", "journal order", booked(func(b *book) {
		b.taken = func(e backend.JournalEntry, old *line) bool { return e.ID == old.ID && e.Stream == old.Stream }
	})},
	{"an id that comes twice in one batch", "journal ids", booked(func(b *book) {
		b.taken = func(e backend.JournalEntry, old *line) bool {
			return e.ID != "" && e.ID == old.ID && e.Stream == old.Stream && old.Position > 0
		}
	})},
	{"a taken id that replaces what is there", "journal ids", booked(func(b *book) {
		b.drops = func(e backend.JournalEntry, old *line) { old.Data = bytes.Clone(e.Data) }
	})},
	{"a taken id that is an error", "journal ids", func(s *memory.Store, f *fork) {
		var dropped atomic.Bool
		booked(func(b *book) {
			b.drops = func(backend.JournalEntry, *line) { dropped.Store(true) }
		})(s, f)
		add := f.append
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if err := add(ctx, entries); err != nil || !dropped.Swap(false) {
				return err
			}
			return errors.New("duplicate id")
		}
	}},
	{"a taken id that drops the rest of its batch", "journal ids", booked(func(b *book) {
		var rest bool
		b.sorts = func([]backend.JournalEntry) { rest = false }
		b.taken = func(e backend.JournalEntry, old *line) bool {
			rest = rest || e.ID != "" && e.ID == old.ID && e.Stream == old.Stream
			return rest
		}
	})},
	{"only the last 500 ids are remembered", "journal of many entries", booked(func(b *book) {
		b.taken = func(e backend.JournalEntry, old *line) bool {
			return e.ID != "" && e.ID == old.ID && e.Stream == old.Stream && (old.Position == 0 || old.Position+500 > b.last)
		}
	})},
	{"an id that two callers take at once", "journal race of ids", booked(func(b *book) {
		b.pauses = func() { time.Sleep(50 * time.Microsecond) }
	})},
}
