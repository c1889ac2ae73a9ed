package timeline_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/timeline"
)

// mustFill appends notes from 0 on.
func mustFill(t testing.TB, s *timeline.Store, runID string, n int) {
	t.Helper()
	for from := 0; from < n; from += backend.MaxJournalBatch {
		var batch []timeline.Entry
		for i := from; i < min(n, from+backend.MaxJournalBatch); i++ {
			batch = append(batch, note(runID, i))
		}
		mustAppend(t, s, batch...)
	}
}

func TestPagesOfATimeline(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		mustFill(t, s, "long", 3100)
		mustFill(t, s, "thousand", 1000)
		mustFill(t, s, "longer", 2)
		mustFill(t, s, "short", 3)
		for _, tt := range []struct {
			runID         string
			offset, limit int
			from, to      int
			total         int
		}{
			{"short", 0, 200, 0, 3, 3},
			{"short", 1, 1, 1, 2, 3},
			{"short", 3, 1, 0, 0, 3},
			{"short", 100, 1, 0, 0, 3},
			{"thousand", 0, 1000, 0, 1000, 1000},
			{"thousand", 999, 2, 999, 1000, 1000},
			{"thousand", 0, 1, 0, 1, 1000},
			{"long", 0, 2000, 0, 2000, 3100}, // the journal has a timeline whose name begins so
			{"long", 990, 20, 990, 1010, 3100},
			{"long", 2000, 2000, 2000, 3100, 3100},
			{"long", 4000, 10, 0, 0, 3100},
			{"lon", 0, 10, 0, 0, 0},
			{"longer", 0, 1, 0, 1, 2},
		} {
			entries, total, err := s.Read(t.Context(), "ns", tt.runID, tt.offset, tt.limit)
			if err != nil || total != tt.total || !slices.Equal(types(entries), numbers(tt.from, tt.to)) {
				t.Errorf("%s from %d, up to %d: %d entries of %d, error %v", tt.runID, tt.offset, tt.limit, len(entries), total, err)
			}
		}
	})
}

func TestNewest(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		mustFill(t, s, "a", 1200)
		other := note("a", 7)
		other.Namespace = "ns2"
		mustAppend(t, s, other)
		mustFill(t, s, "b", 2)
		for _, tt := range []struct {
			offset, limit int
			want          []string
		}{
			{0, 1, []string{"b note 1"}},
			{0, 4, []string{"b note 1", "b note 0", "a note 1199", "a note 1198"}},
			{2, 1, []string{"a note 1199"}},
			{1200, 500, []string{"a note 1", "a note 0"}},
			{1202, 1, nil},
			{timeline.MaxOffset, timeline.MaxNewest, nil},
		} {
			entries, err := s.Newest(t.Context(), "ns", tt.offset, tt.limit)
			var got []string
			for _, e := range entries {
				got = append(got, e.RunID+" "+e.Type+" "+e.Status)
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("from %d, up to %d: %q, want %q, error %v", tt.offset, tt.limit, got, tt.want, err)
			}
		}
		entries, err := s.Newest(t.Context(), "ns2", 0, 10)
		if err != nil || len(entries) != 1 || entries[0].Namespace != "ns2" || entries[0].Status != "7" {
			t.Errorf("the other namespace has %+v, error %v", entries, err)
		}
	})
}

func TestRuns(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		for i, runID := range []string{"a/1", "a/2", "b", "a/10", "a/1"} {
			mustAppend(t, s, note(runID, i))
		}
		other := note("a/3", 0)
		other.Namespace = "n"
		mustAppend(t, s, other)
		for _, tt := range []struct {
			prefix        string
			offset, limit int
			want          []string
			total         int
		}{
			{"", 0, 10, []string{"a/1 2 4", "a/10 1 3", "b 1 2", "a/2 1 1"}, 4},
			{"a/", 0, 10, []string{"a/1 2 4", "a/10 1 3", "a/2 1 1"}, 3},
			{"a/1", 0, 10, []string{"a/1 2 4", "a/10 1 3"}, 2},
			{"a/", 1, 1, []string{"a/10 1 3"}, 3},
			{"a/", 3, 1, nil, 3},
			{"c", 0, 1, nil, 0},
		} {
			runs, total, err := s.Runs(t.Context(), "ns", tt.prefix, tt.offset, tt.limit)
			var got []string
			for _, r := range runs {
				got = append(got, fmt.Sprint(r.RunID, " ", r.Count, " ", r.Last.Status))
				if r.Last.RunID != r.RunID || r.Last.Namespace != "ns" || r.Last.Type != "note" {
					t.Errorf("the last entry is %+v", r.Last)
				}
			}
			if err != nil || total != tt.total || !slices.Equal(got, tt.want) {
				t.Errorf("prefix %q from %d, up to %d: %q of %d, error %v", tt.prefix, tt.offset, tt.limit, got, total, err)
			}
		}
	})
}

// One entry that cannot be read does not hide the others.
func TestUnreadableEntries(t *testing.T) {
	b := memory.New()
	s := mustOpen(t, b)
	mustAppend(t, s, note("r", 0))
	later := backend.JournalEntry{Stream: "ns/r", Data: []byte("binary, of a later version"), Keep: time.Hour}
	if err := b.Append(t.Context(), []backend.JournalEntry{later}); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, note("r", 1))
	if got, want := types(mustRead(t, s, "r")), []string{"note 0", "unreadable ", "note 1"}; !slices.Equal(got, want) {
		t.Errorf("the timeline is %q, want %q", got, want)
	}
}

func TestPagesOutOfLimits(t *testing.T) {
	s := mustOpen(t, memory.New())
	ctx := t.Context()
	read := func(namespace, runID string, offset, limit int) error {
		_, _, err := s.Read(ctx, namespace, runID, offset, limit)
		return err
	}
	newest := func(namespace string, offset, limit int) error {
		_, err := s.Newest(ctx, namespace, offset, limit)
		return err
	}
	list := func(namespace string, offset, limit int) error {
		_, _, err := s.Runs(ctx, namespace, "", offset, limit)
		return err
	}
	for _, tt := range []struct {
		name  string
		err   error
		field string
	}{
		{"read, namespace", read("", "r", 0, 1), "namespace"},
		{"read, run id", read("ns", "", 0, 1), "run_id"},
		{"read, offset", read("ns", "r", -1, 1), "offset"},
		{"read, no limit", read("ns", "r", 0, 0), "limit"},
		{"read, limit", read("ns", "r", 0, 2001), "limit"},
		{"newest, namespace", newest("a/b", 0, 1), "namespace"},
		{"newest, offset", newest("ns", 10_001, 1), "offset"},
		{"newest, limit", newest("ns", 0, 501), "limit"},
		{"runs, namespace", list("", 0, 1), "namespace"},
		{"runs, offset", list("ns", -1, 1), "offset"},
		{"runs, limit", list("ns", 0, 501), "limit"},
	} {
		var field *lease.FieldError
		if !errors.As(tt.err, &field) || field.Field != tt.field || !errors.Is(tt.err, lease.ErrInvalid) {
			t.Errorf("%s: error is %v", tt.name, tt.err)
		}
	}
}

// BenchmarkRead reads a timeline of 10 000 entries, its first page and its last.
func BenchmarkRead(b *testing.B) {
	for _, store := range stores {
		s := mustOpen(b, store.open(b))
		mustFill(b, s, "r", 10_000)
		mustFill(b, s, "q", 10_000)
		mustFill(b, s, "qq", 1) // a newer one, whose name begins so
		for _, tt := range []struct {
			name, runID string
			offset      int
		}{{"first", "r", 0}, {"last", "r", 9800}, {"first of one that others begin with", "q", 0}} {
			b.Run(store.name+"/"+tt.name, func(b *testing.B) {
				for b.Loop() {
					if entries, total, err := s.Read(b.Context(), "ns", tt.runID, tt.offset, 200); err != nil || len(entries) != 200 || total != 10_000 {
						b.Fatal(len(entries), total, err)
					}
				}
			})
		}
	}
}
