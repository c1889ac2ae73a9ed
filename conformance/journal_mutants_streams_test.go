package conformance_test

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Journals with a fault of listings of streams.

var ofStreams = []mutant{
	{"streams in the order of their names", "journal streams", booked(func(b *book) {
		b.orders = func(a, b backend.StreamInfo) int { return cmp.Compare(a.Stream, b.Stream) }
	})},
	{"streams with the oldest first", "journal streams", booked(func(b *book) {
		b.orders = func(a, b backend.StreamInfo) int { return cmp.Compare(a.Last.Position, b.Last.Position) }
	})},
	{"streams that leave out nothing", "journal streams", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			return s.Streams(ctx, prefix, min(offset, 0), limit)
		}
	}},
	{"streams that leave out one more", "journal streams", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			if offset > 0 && offset < math.MaxInt {
				offset++
			}
			return s.Streams(ctx, prefix, offset, limit)
		}
	}},
	{"streams with one more than the limit", "journal streams", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			return s.Streams(ctx, prefix, offset, oneMore(limit))
		}
	}},
	{"streams whose negative offset is none", "journal invalid", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			return s.Streams(ctx, prefix, max(offset, 0), limit)
		}
	}},
	{"streams whose total is that of the page", "journal streams", toldStreams(func(page []backend.StreamInfo, _ int) ([]backend.StreamInfo, int) {
		return page, len(page)
	})},
	{"streams whose total leaves out what the page does", "journal streams", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := s.Streams(ctx, prefix, offset, limit)
			if len(page) == 0 {
				total = 0
			}
			return page, total, err
		}
	}},
	{"streams beyond a page of 1000 that are not counted", "journal of many entries", toldStreams(func(page []backend.StreamInfo, total int) ([]backend.StreamInfo, int) {
		return page, min(total, backend.MaxJournalBatch)
	})},
	{"streams by a pattern", "journal prefixes", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			b := &book{s: s, begins: likes}
			for _, e := range everyEntry(s) {
				b.lines = append(b.lines, line{JournalEntry: e})
			}
			return b.Streams(ctx, prefix, offset, limit)
		}
	}},
	{"streams that count one too many", "journal streams", toldStreams(func(page []backend.StreamInfo, total int) ([]backend.StreamInfo, int) {
		for i := range page {
			page[i].Count++
		}
		return page, total
	})},
	{"streams that count what an id has dropped", "journal ids", booked(func(b *book) {
		of := map[string]int{}
		b.drops = func(e backend.JournalEntry, _ *line) { of[e.Stream]++ }
		b.counts = func(stream string, readable int) int { return readable + of[stream] }
	})},
	{"streams whose newest entry is the first", "journal streams", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := s.Streams(ctx, prefix, offset, limit)
			for i, info := range page {
				first, _ := s.ReadStream(bg, info.Stream, 0, 1)
				page[i].Last.Data = first[0].Data
			}
			return page, total, err
		}
	}},
	{"streams without the data of the newest entry", "journal streams", toldStreams(func(page []backend.StreamInfo, total int) ([]backend.StreamInfo, int) {
		for i := range page {
			page[i].Last.Data = nil
		}
		return page, total
	})},
	{"streams that are listed while others move", "journal streams while appending", func(s *memory.Store, f *fork) {
		f.streams = func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
			page, total, err := s.Streams(ctx, prefix, offset, limit)
			half := len(page) / 2
			if err != nil || half < 5 {
				return page, total, err
			}
			time.Sleep(20 * time.Microsecond)
			rest, total, err := s.Streams(ctx, prefix, offset+half, max(1, limit-half))
			return append(page[:half], rest...), total, err
		}
	}},
}
