package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// What makes a journal faulty.

// batched has each batch that is not refused altered before it is added.
func batched(alter func(batch []backend.JournalEntry) []backend.JournalEntry) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if len(entries) == 0 || backend.CheckAppend(entries) != nil {
				return s.Append(ctx, entries)
			}
			return s.Append(ctx, alter(slices.Clone(entries)))
		}
	}
}

// refusing has the journal refuse batches with such an entry.
func refusing(refused func(e backend.JournalEntry) bool) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
			if slices.ContainsFunc(entries, refused) {
				return fmt.Errorf("%w: not here", backend.ErrInvalid)
			}
			return s.Append(ctx, entries)
		}
	}
}

// paged has each page of ReadStream and of ReadNewest altered.
func paged(alter func(call string, page []backend.JournalEntry) []backend.JournalEntry) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.stream = func(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
			page, err := s.ReadStream(ctx, stream, after, limit)
			if err != nil {
				return nil, err
			}
			return alter("ReadStream", page), nil
		}
		f.newest = func(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
			page, err := s.ReadNewest(ctx, prefix, before, limit)
			if err != nil {
				return nil, err
			}
			return alter("ReadNewest", page), nil
		}
	}
}

// toldStreams has each page of Streams altered.
func toldStreams(alter func(page []backend.StreamInfo, total int) ([]backend.StreamInfo, int)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := s.Streams(ctx, prefix, offset, limit)
			if err != nil {
				return nil, 0, err
			}
			page, total = alter(page, total)
			return page, total, nil
		}
	}
}

// closableJournal has the journal of a fork close with it.
func closableJournal(s *memory.Store, f *fork, life context.Context) {
	ended := func() error {
		if life.Err() != nil {
			return backend.ErrClosed
		}
		return nil
	}
	f.append = func(ctx context.Context, entries []backend.JournalEntry) error {
		if err := ended(); err != nil {
			return err
		}
		return s.Append(ctx, entries)
	}
	f.stream = func(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		if err := ended(); err != nil {
			return nil, err
		}
		return s.ReadStream(ctx, stream, after, limit)
	}
	f.newest = func(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		if err := ended(); err != nil {
			return nil, err
		}
		return s.ReadNewest(ctx, prefix, before, limit)
	}
	f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
		if err := ended(); err != nil {
			return nil, 0, err
		}
		return s.Streams(ctx, prefix, offset, limit)
	}
}

// everyEntry are all entries of a store, in their order.
func everyEntry(s *memory.Store) (all []backend.JournalEntry) {
	for before := uint64(0); ; before = all[len(all)-1].Position {
		page, err := s.ReadNewest(bg, "", before, backend.MaxJournalBatch)
		if err != nil || len(page) == 0 {
			slices.Reverse(all)
			return all
		}
		all = append(all, page...)
	}
}

// copied is a store with a journal of the same entries as given, of an hour. Ids that were dropped
// may come again.
func copied(entries []backend.JournalEntry) *memory.Store {
	s := memory.New()
	for _, e := range entries {
		e.Data, e.Keep = bytes.Clone(e.Data), 1<<60
		if err := s.Append(bg, []backend.JournalEntry{e}); err != nil {
			panic(err)
		}
	}
	return s
}
