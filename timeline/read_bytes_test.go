package timeline_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/timeline"
)

// TestPagesAreBoundedInBytes: a page of long entries ends early, and the next one goes on there.
func TestPagesAreBoundedInBytes(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		const n, bytes = 90, 60 << 10
		fields := []byte(fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", bytes)))
		var all []timeline.Entry
		for i := range n {
			e := note("run", i)
			e.Fields = fields
			all = append(all, e)
		}
		mustAppend(t, s, all...)
		const fits = timeline.MaxReadBytes/bytes + 1
		var got []timeline.Entry
		for len(got) < n {
			page, total, err := s.Read(t.Context(), "ns", "run", len(got), timeline.MaxRead)
			if err != nil || total != n || len(page) == 0 || len(page) > fits {
				t.Fatalf("after %d: %d entries of %d, want up to %d of %d, error %v", len(got), len(page), total, fits, n, err)
			}
			got = append(got, page...)
		}
		if !slices.Equal(types(got), numbers(0, n)) {
			t.Errorf("read %q", types(got))
		}
		got = nil
		for {
			page, err := s.Newest(t.Context(), "ns", len(got), timeline.MaxNewest)
			if err != nil || len(page) > fits {
				t.Fatalf("after %d: %d of the newest, want up to %d, error %v", len(got), len(page), fits, err)
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		slices.Reverse(got)
		if !slices.Equal(types(got), numbers(0, n)) {
			t.Errorf("the newest are %q", types(got))
		}
	})
}

// frugal is a journal that fails if it is asked for a long page.
type frugal struct {
	*memory.Store
	t     *testing.T
	pages int
}

func (f *frugal) count(limit int) {
	f.t.Helper()
	if f.pages++; limit > 128 {
		f.t.Errorf("a page of %d entries was asked for", limit)
	}
}

func (f *frugal) ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	f.count(limit)
	return f.Store.ReadStream(ctx, stream, after, limit)
}

func (f *frugal) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	f.count(limit)
	return f.Store.ReadNewest(ctx, prefix, before, limit)
}

// TestNoLongPageOfTheJournalIsHeld, whatever is asked for.
func TestNoLongPageOfTheJournalIsHeld(t *testing.T) {
	b := &frugal{Store: memory.New(), t: t}
	s := mustOpen(t, b)
	mustFill(t, s, "run", 1000)
	if entries, total, err := s.Read(t.Context(), "ns", "run", 0, timeline.MaxRead); len(entries) != 1000 || total != 1000 || err != nil {
		t.Errorf("%d entries of %d, error %v", len(entries), total, err)
	}
	if entries, err := s.Newest(t.Context(), "ns", 300, timeline.MaxNewest); len(entries) != timeline.MaxNewest || err != nil {
		t.Errorf("%d entries, error %v", len(entries), err)
	}
	if b.pages < 14 {
		t.Errorf("only %d pages were read", b.pages)
	}
}
