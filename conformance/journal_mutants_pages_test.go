package conformance_test

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault of pages.

var ofPages = []mutant{
	{"read of a stream from the position itself", "journal pages", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadStream(ctx, stream, max(after, 1)-1, limit)
	})},
	{"read of a stream that returns the last up to the limit", "journal pages", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, stream, after, max(limit, min(backend.MaxJournalBatch, limit*backend.MaxJournalBatch)))
		return page[max(0, len(page)-max(limit, 0)):], err
	})},
	{"read of a stream with one more than the limit", "journal pages", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadStream(ctx, stream, after, oneMore(limit))
	})},
	{"read of a stream newest first", "journal order", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, stream, after, limit)
		slices.Reverse(page)
		return page, err
	})},
	{"read of a stream that ends after a page of 500", "journal of many entries", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, stream, after, limit)
		return page[:min(len(page), 500)], err
	})},
	{"read of a stream from its second entry", "journal order", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, stream, after, limit)
		if after == 0 && len(page) > 1 {
			page = page[1:]
		}
		return page, err
	})},
	{"read of an unknown stream that fails", "journal pages", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadStream(ctx, stream, after, limit)
		if all, _ := s.ReadStream(ctx, stream, 0, 1); err == nil && len(all) == 0 {
			return nil, backend.ErrNotFound
		}
		return page, err
	})},
	{"read of a stream with a position of 63 bits", "journal pages", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		if after > math.MaxInt64 {
			after = 0 // it is negative
		}
		return s.ReadStream(ctx, stream, after, limit)
	})},
	{"read of the newest with the position itself", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		if before != 0 && before != math.MaxUint64 {
			before++
		}
		return s.ReadNewest(ctx, prefix, before, limit)
	})},
	{"read of the newest with the oldest first", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadNewest(ctx, prefix, before, limit)
		slices.Reverse(page)
		return page, err
	})},
	{"read of the newest before 0 that finds nothing", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadNewest(ctx, prefix, max(before, 1), limit)
	})},
	{"read of the newest that returns the first", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadNewest(ctx, prefix, before, max(limit, min(backend.MaxJournalBatch, limit*backend.MaxJournalBatch)))
		return page[max(0, len(page)-max(limit, 0)):], err
	})},
	{"read of the newest with one more than the limit", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadNewest(ctx, prefix, before, oneMore(limit))
	})},
	{"read of the newest that looks at the last 100 alone", "journal of many entries", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		page, err := s.ReadNewest(ctx, "", before, 100)
		if err != nil || backend.CheckPage(0, limit) != nil {
			return s.ReadNewest(ctx, prefix, before, limit)
		}
		page = slices.DeleteFunc(page, func(e backend.JournalEntry) bool { return !strings.HasPrefix(e.Stream, prefix) })
		return page[:min(len(page), limit)], nil
	})},
	{"read of the newest of one namespace alone", "journal pages", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		namespace, _, _ := strings.Cut(prefix, "/")
		if namespace == prefix {
			namespace += "\x00"
		}
		page, err := s.ReadNewest(ctx, prefix, before, limit)
		return slices.DeleteFunc(page, func(e backend.JournalEntry) bool { return !strings.HasPrefix(e.Stream, namespace) }), err
	})},
	{"read of the newest by a pattern", "journal prefixes", booked(func(b *book) {
		b.begins = func(stream, prefix string) bool { return likes(stream, prefix) }
	})},
	{"read of the newest by a prefix of 255 bytes", "journal prefixes", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadNewest(ctx, first255(prefix), before, limit)
	})},
	{"journal pages whose limit may be 0", "journal invalid", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		if limit == 0 {
			limit = 100
		}
		return s.ReadStream(ctx, stream, after, limit)
	})},
	{"journal pages of any size", "journal invalid", newest(func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
		return s.ReadNewest(ctx, prefix, before, min(limit, backend.MaxJournalBatch))
	})},
	{"read of an impossible stream that is empty", "journal invalid", streamed(func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
		if backend.CheckStream(stream) != nil {
			return nil, nil
		}
		return s.ReadStream(ctx, stream, after, limit)
	})},
}

// oneMore is a limit and one more, if it is one that is accepted.
func oneMore(limit int) int {
	if backend.CheckPage(0, limit) == nil && limit < backend.MaxJournalBatch {
		return limit + 1
	}
	return limit
}

// likes compares as SQL's LIKE does, but for case.
func likes(stream, prefix string) bool {
	for i := range len(prefix) {
		switch {
		case i >= len(stream):
			return false
		case prefix[i] == '%':
			return true
		case prefix[i] != '_' && prefix[i] != stream[i]:
			return false
		}
	}
	return true
}

func streamed(read func(s *memory.Store, ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.stream = func(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
			return read(s, ctx, stream, after, limit)
		}
	}
}

func newest(read func(s *memory.Store, ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.newest = func(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
			return read(s, ctx, prefix, before, limit)
		}
	}
}
