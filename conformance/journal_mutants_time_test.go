package conformance_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault that takes several callers, or time.

var ofTimelines = []mutant{
	{"journal position given before its entry is there", "journal appenders", booked(func(b *book) {
		b.early, b.pauses = true, func() { time.Sleep(50 * time.Microsecond) }
	})},
	{"journal that turns round what comes beside others", "journal appenders", func(s *memory.Store, f *fork) {
		var calls atomic.Int32
		batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
			calls.Add(1)
			defer calls.Add(-1)
			if time.Sleep(50 * time.Microsecond); calls.Load() > 1 {
				slices.Reverse(batch)
			}
			return batch
		})(s, f)
	}},
	{"journal that loses what comes beside others", "journal appenders", func(s *memory.Store, f *fork) {
		var calls atomic.Int32
		batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
			calls.Add(1)
			defer calls.Add(-1)
			if time.Sleep(50 * time.Microsecond); calls.Load() > 1 {
				return batch[:len(batch)-1]
			}
			return batch
		})(s, f)
	}},
	{"journal that turns away the third Append at once", "journal appenders", func(s *memory.Store, f *fork) {
		var calls atomic.Int32
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			defer calls.Add(-1)
			if calls.Add(1) > 2 {
				return fmt.Errorf("%w: busy", backend.ErrUnavailable)
			}
			time.Sleep(50 * time.Microsecond)
			return s.Append(ctx, entries)
		}
	}},
	{"one Append in two hundred is acknowledged only", "journal prefixes", func(s *memory.Store, f *fork) {
		var calls atomic.Int32
		batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
			if calls.Add(1)%200 == 0 {
				return nil
			}
			return batch
		})(s, f)
	}},
	{"Append that is acknowledged early while others read", "journal fresh reads", func(s *memory.Store, f *fork) {
		var reads atomic.Int32
		streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
			reads.Add(1)
			defer reads.Add(-1)
			time.Sleep(20 * time.Microsecond)
			return s.ReadStream(ctx, stream, after, limit)
		})(s, f)
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if reads.Load() == 0 || ctx.Err() != nil || backend.CheckAppend(entries) != nil {
				return s.Append(ctx, entries)
			}
			entries = slices.Clone(entries)
			for i := range entries {
				entries[i].Data = slices.Clone(entries[i].Data)
			}
			time.AfterFunc(200*time.Microsecond, func() { s.Append(bg, entries) })
			return nil
		}
	}},
	{"streams that are behind by one Append", "journal ids", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		var before *memory.Store
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			mu.Lock()
			defer mu.Unlock()
			before = copied(everyEntry(s))
			return s.Append(ctx, entries)
		}
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			if page, total, err := s.Streams(ctx, prefix, offset, limit); err != nil || before == nil {
				return page, total, err
			}
			return before.Streams(ctx, prefix, offset, limit)
		}
	}},
	{"read of the newest without what was added last", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		if page, err := s.ReadNewest(ctx, "", before, 1); before == 0 && err == nil && len(page) == 1 {
			before = page[0].Position
		}
		return s.ReadNewest(ctx, prefix, before, limit)
	})},
}

var ofJournalKeep = []mutant{
	{"journal keep cut to whole seconds", "journal keep", booked(func(b *book) {
		b.keeps = func(keep time.Duration) time.Duration { return max(keep.Truncate(time.Second), 1) }
	})},
	{"journal keep cut to whole seconds, and one at least", "journal keep", booked(func(b *book) {
		b.keeps = func(keep time.Duration) time.Duration { return max(keep.Truncate(time.Second), time.Second) }
	})},
	{"journal keep that overflows the clock", "journal limits", booked(func(b *book) {
		b.keeps = func(keep time.Duration) time.Duration {
			if time.Now().UnixNano()+int64(keep) < 0 {
				return 1
			}
			return keep
		}
	})},
	{"journal keep in milliseconds of 32 bits", "journal limits", booked(func(b *book) {
		b.keeps = func(keep time.Duration) time.Duration {
			return max(1, time.Duration(int32(keep.Milliseconds()))*time.Millisecond)
		}
	})},
	{"journal that never forgets", "journal keep", booked(func(b *book) {
		b.keeps = func(time.Duration) time.Duration { return 0 }
	})},
	{"journal stream that ends with its oldest entry", "journal keep", booked(func(b *book) {
		b.forgets = func(l line, all []line) bool {
			return slices.ContainsFunc(all, func(old line) bool { return old.Stream == l.Stream && old.isOver() })
		}
	})},
	{"streams that count what is gone", "journal keep", booked(func(b *book) {
		most := map[string]int{}
		b.counts = func(stream string, readable int) int {
			most[stream] = max(most[stream], readable)
			return most[stream]
		}
	})},
	{"streams of which nothing is left", "journal keep", func(s *memory.Store, f *fork) {
		booked(func(*book) {})(s, f)
		streams, seen := f.streams, map[string]backend.StreamInfo{}
		var mu sync.Mutex
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := streams(ctx, prefix, offset, limit)
			mu.Lock()
			defer mu.Unlock()
			for _, info := range page {
				seen[info.Stream] = info
			}
			if old, ok := seen[prefix]; ok && err == nil && total == 0 && offset == 0 { // a stream's whole name
				return []backend.StreamInfo{old}, 1, nil
			}
			return page, total, err
		}
	}},
	{"streams whose newest entry is gone", "journal keep", func(s *memory.Store, f *fork) {
		booked(func(*book) {})(s, f)
		streams, last := f.streams, map[string]backend.JournalEntry{}
		var mu sync.Mutex
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := streams(ctx, prefix, offset, limit)
			mu.Lock()
			defer mu.Unlock()
			for i, info := range page {
				if old := last[info.Stream]; old.Position > info.Last.Position {
					page[i].Last = old
				}
				last[info.Stream] = cloned(page[i].Last)
			}
			return page, total, err
		}
	}},
	{"read of the newest that shows what is gone", "journal keep", func(s *memory.Store, f *fork) {
		ever, last := &book{s: s}, map[string]uint64{}
		booked(func(*book) {})(s, f)
		add := f.append
		var mu sync.Mutex
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			mu.Lock()
			defer mu.Unlock()
			err := add(ctx, entries)
			for _, e := range entries { // of two in one stream, the second finds nothing more
				page, _ := f.stream(ctx, e.Stream, last[e.Stream], backend.MaxJournalBatch)
				for _, e := range page {
					ever.lines, last[e.Stream] = append(ever.lines, line{JournalEntry: e}), e.Position
				}
			}
			slices.SortFunc(ever.lines, func(a, b line) int { return cmp.Compare(a.Position, b.Position) })
			return err
		}
		f.newest = func(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
			mu.Lock()
			defer mu.Unlock()
			return ever.ReadNewest(ctx, prefix, before, limit)
		}
	}},
	{"a position that is used again after a drop", "journal keep", booked(func(b *book) {
		b.sorts = func([]backend.JournalEntry) {
			b.drop()
			if b.last = 0; len(b.lines) > 0 {
				b.last = b.lines[len(b.lines)-1].Position
			}
		}
	})},
	{"an id that is taken for ever", "journal keep", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		taken := map[[2]string]bool{}
		batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
			mu.Lock()
			defer mu.Unlock()
			return slices.DeleteFunc(batch, func(e backend.JournalEntry) bool {
				at := [2]string{e.Stream, e.ID}
				drop := taken[at]
				taken[at] = e.ID != ""
				return drop
			})
		})(s, f)
	}},
}

func cloned(e backend.JournalEntry) backend.JournalEntry {
	e.Data = slices.Clone(e.Data)
	return e
}
