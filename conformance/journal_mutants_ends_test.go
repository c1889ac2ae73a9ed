package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault of handles, of a crash, of contexts, or of closing.

var ofJournalHandles = []mutant{
	{"two handles, each with a journal of its own", "journal elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other, own := &fork{Store: s}, memory.New()
			other.append, other.stream, other.newest, other.streams = own.Append, own.ReadStream, own.ReadNewest, own.Streams
			return other
		}
	}},
	{"another handle reads a stream late", "journal elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.stream = late().read(s.ReadStream)
			return other
		}
	}},
	{"another handle reads the newest late", "journal elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.newest = late().read(s.ReadNewest)
			return other
		}
	}},
	{"another handle lists streams late", "journal elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other, seen := &fork{Store: s}, late()
			toldStreams(func(page []backend.StreamInfo, total int) ([]backend.StreamInfo, int) {
				kept := slices.DeleteFunc(page, func(info backend.StreamInfo) bool { return seen.first(info.Last.Position) })
				return kept, total - len(page) + len(kept)
			})(s, other)
			return other
		}
	}},
	{"two handles that each remember their own ids", "journal elsewhere", func(s *memory.Store, f *fork) {
		b := &book{s: s}
		handle := func(f *fork) *fork {
			own := sync.Map{} // positions
			f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
				b.ids.Lock()
				defer b.ids.Unlock()
				b.taken = func(e backend.JournalEntry, old *line) bool {
					_, ours := own.Load(old.Position)
					return e.ID != "" && e.ID == old.ID && e.Stream == old.Stream && (ours || old.Position == 0)
				}
				b.numbers = func(_ backend.JournalEntry, at uint64) uint64 { own.Store(at, true); return at }
				return b.Append(ctx, entries)
			}
			f.stream, f.newest, f.streams = b.ReadStream, b.ReadNewest, b.Streams
			return f
		}
		handle(f)
		f.second = func() backend.Backend { return handle(&fork{Store: s}) }
	}},
	{"two handles that both take an id", "journal race of handles", func(s *memory.Store, f *fork) {
		b := &book{s: s, pauses: func() { time.Sleep(50 * time.Microsecond) }}
		handle := func(f *fork) *fork {
			var mu sync.Mutex // of the handle alone
			f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
				mu.Lock()
				defer mu.Unlock()
				return b.Append(ctx, entries)
			}
			f.stream, f.newest, f.streams = b.ReadStream, b.ReadNewest, b.Streams
			return f
		}
		handle(f)
		f.second = func() backend.Backend { return handle(&fork{Store: s}) }
	}},
	{"acknowledged entry lost in a crash", "journal crash", crashing(func(b *book) {
		b.lines = b.lines[:len(b.lines)-1]
	})},
	{"entry that is there twice after a crash", "journal crash", crashing(func(b *book) {
		b.last++
		again := b.lines[len(b.lines)-1]
		again.Position = b.last
		b.lines = append(b.lines, again)
	})},
	{"two entries that change places in a crash", "journal crash", crashing(func(b *book) {
		n := len(b.lines)
		b.lines[n-1].Data, b.lines[n-2].Data = b.lines[n-2].Data, b.lines[n-1].Data
	})},
	{"journal positions that begin anew after a crash", "journal crash", crashing(func(b *book) { b.last = 0 })},
	{"a position that is used again after a crash", "journal crash", crashing(func(b *book) { b.last-- })},
	{"ids forgotten in a crash", "journal crash", crashing(func(b *book) {
		until := b.last
		b.taken = func(e backend.JournalEntry, old *line) bool {
			return e.ID != "" && e.ID == old.ID && e.Stream == old.Stream && (old.Position == 0 || old.Position > until)
		}
	})},
}

// lately shows what is new one look late.
type lately struct{ seen sync.Map }

func late() *lately { return &lately{} }

func (l *lately) first(position uint64) bool {
	_, seen := l.seen.LoadOrStore(position, true)
	return !seen
}

type reads = func(ctx context.Context, name string, at uint64, limit int) ([]backend.JournalEntry, error)

func (l *lately) read(read reads) reads {
	return func(ctx context.Context, name string, at uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := read(ctx, name, at, limit)
		return slices.DeleteFunc(page, func(e backend.JournalEntry) bool { return l.first(e.Position) }), err
	}
}

// crashing has a crash do something to the journal.
func crashing(crash func(b *book)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		booked(func(b *book) {
			f.reopen = func() backend.Backend {
				if len(b.lines) > 1 {
					crash(b)
				}
				return f
			}
		})(s, f)
	}
}

var ofJournalContexts = []mutant{
	{"Append that adds although its context has ended", "journal ended context", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if ctx.Err() != nil {
				s.Append(bg, entries)
			}
			return s.Append(ctx, entries)
		}
	}},
	{"Append that does not look at its context", "journal ended context", func(s *memory.Store, f *fork) {
		f.append = func(_ context.Context, entries []backend.JournalEntry) error { return s.Append(bg, entries) }
	}},
	{"journal reads that do not look at their context", "journal ended context", func(s *memory.Store, f *fork) {
		f.stream = func(_ context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
			return s.ReadStream(bg, stream, after, limit)
		}
		f.newest = func(_ context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
			return s.ReadNewest(bg, prefix, before, limit)
		}
	}},
	{"streams with an ended context that are none", "journal ended context", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			if ctx.Err() != nil {
				return nil, 0, nil
			}
			return s.Streams(ctx, prefix, offset, limit)
		}
	}},
	{"Append that is blocked when its context ends", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		select {}
	})},
	{"Append that says unavailable, and adds", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		s.Append(bg, entries)
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	})},
	{"Append that says unavailable, and adds later", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		entries = slices.Clone(entries)
		for i := range entries {
			entries[i] = cloned(entries[i])
		}
		time.AfterFunc(10*time.Millisecond, func() { s.Append(bg, entries) })
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	})},
	{"Append that succeeds, with half of it, if it is cut", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		return s.Append(bg, entries[:len(entries)/2])
	})},
	{"Append with an error of its own if it is cut", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		return errors.New("interrupted")
	})},
	{"Append that reads its data after the call", "journal cut short", cutting(func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error {
		given := slices.Clone(entries)
		time.AfterFunc(time.Millisecond, func() { s.Append(bg, given) })
		return ctx.Err()
	})},
	{"closed journal that adds", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		f.append = s.Append
	}},
	{"closed journal that says so, and adds", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		add := f.append
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			err := add(ctx, entries)
			if errors.Is(err, backend.ErrClosed) {
				s.Append(ctx, entries)
			}
			return err
		}
	}},
	{"closed journal that is read", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		f.stream, f.newest = s.ReadStream, s.ReadNewest
	}},
	{"closed journal that lists no streams", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		streams := f.streams
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := streams(ctx, prefix, offset, limit)
			if errors.Is(err, backend.ErrClosed) {
				err = nil
			}
			return page, total, err
		}
	}},
	{"Append under way that says closed, and adds", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		var closing atomic.Bool
		add, end := f.append, f.close
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			err := add(ctx, entries)
			time.Sleep(100 * time.Microsecond)
			if err == nil && closing.Load() {
				return backend.ErrClosed
			}
			return err
		}
		f.close = func() error {
			closing.Store(true)
			time.Sleep(2 * time.Millisecond) // so that an Append is under way
			return end()
		}
	}},
	{"entry that was acknowledged, and is lost in closing", "journal closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.stream = streamsWithoutLast(s)
			return other
		}
	}},
}

// streamsWithoutLast reads streams without what was added last to each.
func streamsWithoutLast(s *memory.Store) reads {
	return func(ctx context.Context, name string, at uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, name, at, limit)
		return page[:max(0, len(page)-1)], err
	}
}

// cutting has each Append wait a little, and end otherwise if its context has ended meanwhile.
func cutting(cut func(s *memory.Store, ctx context.Context, entries []backend.JournalEntry) error) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if ctx.Err() == nil && ctx.Done() != nil && pauses(ctx) {
				return cut(s, ctx, entries)
			}
			return s.Append(ctx, entries)
		}
	}
}
