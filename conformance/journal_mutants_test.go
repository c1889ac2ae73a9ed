package conformance_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault of what they take.

var ofJournals = slices.Concat(ofAppends, ofIDs, ofPages, ofStreams, ofTimelines, ofJournalKeep, ofJournalHandles, ofJournalContexts)

var ofAppends = []mutant{
	{"journal that adds a batch backwards", "journal order", booked(func(b *book) {
		b.sorts = slices.Reverse[[]backend.JournalEntry]
	})},
	{"journal that adds the first of a batch alone", "journal order", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		return batch[:1]
	})},
	{"journal that sorts a batch by its data", "journal order", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		slices.SortStableFunc(batch, func(a, b backend.JournalEntry) int { return bytes.Compare(b.Data, a.Data) })
		return batch
	})},
	{"journal entry without its stream", "journal order", paged(func(_ string, page []backend.JournalEntry) []backend.JournalEntry {
		for i := range page {
			page[i].Stream = ""
		}
		return page
	})},
	{"journal entry without its id", "journal ids", paged(func(_ string, page []backend.JournalEntry) []backend.JournalEntry {
		for i := range page {
			page[i].ID = ""
		}
		return page
	})},
	{"journal entry without its position", "journal order", paged(func(_ string, page []backend.JournalEntry) []backend.JournalEntry {
		for i := range page {
			page[i].Position = 0
		}
		return page
	})},
	{"journal entry with its keep", "journal order", booked(func(b *book) {
		b.shows = func(e backend.JournalEntry, l line) backend.JournalEntry { e.Keep = l.Keep; return e }
	})},
	{"journal positions that begin with 0", "journal order", booked(func(b *book) {
		b.numbers = func(_ backend.JournalEntry, at uint64) uint64 { return at - 1 }
	})},
	{"journal positions of each stream", "journal order", booked(func(b *book) {
		of := map[string]uint64{}
		b.numbers = func(e backend.JournalEntry, _ uint64) uint64 { of[e.Stream]++; return of[e.Stream] }
	})},
	{"journal positions of each call", "journal order", booked(func(b *book) {
		var n uint64
		b.sorts = func([]backend.JournalEntry) { n++ }
		b.numbers = func(backend.JournalEntry, uint64) uint64 { return n }
	})},
	{"journal positions that an entry brings along", "journal order", booked(func(b *book) {
		b.numbers = func(e backend.JournalEntry, at uint64) uint64 { return cmp.Or(e.Position, at) }
	})},
	{"journal data made valid UTF-8", "journal data", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		for i := range batch {
			batch[i].Data = bytes.ToValidUTF8(batch[i].Data, []byte("?"))
		}
		return batch
	})},
	{"journal data cut at 32 KiB", "journal data", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		for i := range batch {
			batch[i].Data = batch[i].Data[:min(len(batch[i].Data), 32<<10)]
		}
		return batch
	})},
	{"journal entry without data that is not added", "journal data", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		return slices.DeleteFunc(batch, func(e backend.JournalEntry) bool { return len(e.Data) == 0 })
	})},
	{"journal that keeps the caller's data", "journal aliasing", booked(func(b *book) {
		b.takes = func(data []byte) []byte { return data }
	})},
	{"journal that hands out its own data", "journal aliasing", booked(func(b *book) {
		b.shows = func(e backend.JournalEntry, l line) backend.JournalEntry { e.Data = l.Data; return e }
	})},
	{"journal streams that hand out the journal's own data", "journal aliasing", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		last := map[uint64][]byte{}
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := s.Streams(ctx, prefix, offset, limit)
			mu.Lock()
			defer mu.Unlock()
			for i, info := range page {
				if last[info.Last.Position] == nil {
					last[info.Last.Position] = info.Last.Data
				}
				page[i].Last.Data = last[info.Last.Position]
			}
			return page, total, err
		}
	}},
	{"journal page whose data lies side by side", "journal aliasing", paged(func(_ string, page []backend.JournalEntry) []backend.JournalEntry {
		var all []byte
		for _, e := range page {
			all = append(all, e.Data...)
		}
		for i, e := range page {
			page[i].Data, all = all[:len(e.Data)], all[len(e.Data):]
		}
		return page
	})},
	{"journal that refuses data of more than 32 KiB", "journal data", refusing(func(e backend.JournalEntry) bool { return len(e.Data) > 32<<10 })},
	{"journal that refuses ids of more than 36 bytes", "journal limits", refusing(func(e backend.JournalEntry) bool { return len(e.ID) > 36 })},
	{"journal that refuses streams of more than 255 bytes", "journal limits", refusing(func(e backend.JournalEntry) bool { return len(e.Stream) > 255 && len(e.Stream) <= backend.MaxKeyBytes })},
	{"journal that refuses a keep of more than a year", "journal limits", refusing(func(e backend.JournalEntry) bool { return e.Keep > 365*24*time.Hour })},
	{"journal that refuses a batch of more than 500", "journal limits", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if len(entries) > 500 {
				return fmt.Errorf("%w: too many", backend.ErrInvalid)
			}
			return s.Append(ctx, entries)
		}
	}},
	{"journal that adds the first 500 of a batch", "journal limits", batched(func(batch []backend.JournalEntry) []backend.JournalEntry {
		return batch[:min(len(batch), 500)]
	})},
	{"journal that adds all up to what it refuses", "journal invalid", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			for i := range entries {
				if err := backend.CheckAppend(entries[i : i+1]); err != nil {
					s.Append(ctx, entries[:i])
					return err
				}
			}
			return s.Append(ctx, entries)
		}
	}},
	{"journal that checks no entry", "journal invalid", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if err := s.Append(ctx, entries); !errors.Is(err, backend.ErrInvalid) || len(entries) > backend.MaxJournalBatch {
				return err
			}
			return nil
		}
	}},
	{"journal that takes any number of entries", "journal invalid", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			for batch := range slices.Chunk(entries, backend.MaxJournalBatch) {
				if err := s.Append(ctx, batch); err != nil {
					return err
				}
			}
			return s.Append(ctx, nil)
		}
	}},
	{"journal that keeps for ever what has no keep", "journal invalid", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			entries = slices.Clone(entries)
			for i := range entries {
				if entries[i].Keep == 0 {
					entries[i].Keep = 1 << 62
				}
			}
			return s.Append(ctx, entries)
		}
	}},
	{"journal that takes a negative keep for none", "journal invalid", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			entries = slices.Clone(entries)
			for i := range entries {
				if entries[i].Keep < 0 {
					entries[i].Keep = 1 << 62
				}
			}
			return s.Append(ctx, entries)
		}
	}},
	{"journal streams without case", "journal prefixes", booked(func(b *book) {
		b.is = strings.EqualFold
	})},
	{"journal streams told apart by their first 255 bytes", "journal prefixes", booked(func(b *book) {
		b.is = func(stream, other string) bool { return first255(stream) == first255(other) }
	})},
	{"journal stream that shows those below it too", "journal model", booked(func(b *book) {
		b.is = func(stream, other string) bool { return stream == other || strings.HasPrefix(stream, other+"/") }
	})},
	{"a key that is deleted takes its stream along", "journal and keys", func(s *memory.Store, f *fork) {
		var deleted sync.Map
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if err == nil {
				deleted.Store(key, true)
			}
			return err
		}
		paged(func(_ string, page []backend.JournalEntry) []backend.JournalEntry {
			return slices.DeleteFunc(page, func(e backend.JournalEntry) bool { _, ok := deleted.Load(e.Stream); return ok })
		})(s, f)
	}},
	{"a stream is a key too", "journal and keys", func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			err := s.Append(ctx, entries)
			for _, e := range entries {
				if err == nil && current(s, e.Stream) == 0 {
					s.CompareAndSet(ctx, e.Stream, 0, nil, 0)
				}
			}
			return err
		}
	}},
}

func first255(s string) string { return s[:min(len(s), 255)] }
