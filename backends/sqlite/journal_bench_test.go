package sqlite_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

// BenchmarkJournalAppend adds entries, so many in a batch, and reports entries per second.
func BenchmarkJournalAppend(b *testing.B) {
	for _, each := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint("batch=", each), func(b *testing.B) {
			s := open(b, newPath(b))
			batch := make([]backend.JournalEntry, each)
			n := 0
			for b.Loop() {
				for i := range batch {
					batch[i] = note(fmt.Sprint("ns/run_", n/5), "", "an event of a lease, in some two hundred bytes", 24*time.Hour)
					n++
				}
				add(b, s, batch...)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "entries/s")
		})
	}
}

// others is how many entries of other streams BenchmarkJournalPages has beside ten.
const others = 1_000_000

// BenchmarkJournalPages reads pages of ten entries, and reports how many times as long each takes
// beside a million entries of other streams, which are newer. The two stores take turns.
func BenchmarkJournalPages(b *testing.B) {
	alone, beside := withOthers(b, 0), withOthers(b, others)
	ctx := context.Background()
	entries := func(page []backend.JournalEntry, err error) int {
		if err != nil {
			b.Fatal(err)
		}
		return len(page)
	}
	streams := func(page []backend.StreamInfo, total int, err error) int {
		if err != nil || total != 2 {
			b.Fatal(total, err)
		}
		return len(page)
	}
	for _, c := range []struct {
		name string
		read func(s *sqlite.Store) int
		want int
	}{
		{"ReadStream", func(s *sqlite.Store) int { return entries(s.ReadStream(ctx, "ns/a", 0, 10)) }, 5},
		{"ReadNewest of a namespace", func(s *sqlite.Store) int { return entries(s.ReadNewest(ctx, "ns/", 0, 10)) }, 10},
		{"ReadNewest of a prefix", func(s *sqlite.Store) int { return entries(s.ReadNewest(ctx, "ns/a", 0, 10)) }, 5},
		{"Streams of a namespace", func(s *sqlite.Store) int { return streams(s.Streams(ctx, "ns/", 0, 10)) }, 2},
		{"Streams of a prefix", func(s *sqlite.Store) int { return streams(s.Streams(ctx, "ns", 0, 10)) }, 2},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took [2][]time.Duration
			for b.Loop() {
				for i, s := range []*sqlite.Store{alone, beside} {
					begun := time.Now()
					if n := c.read(s); n != c.want {
						b.Fatalf("%d found, want %d", n, c.want)
					}
					took[i] = append(took[i], time.Since(begun))
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			median := func(d []time.Duration) float64 { return float64(d[len(d)/2].Nanoseconds()) }
			b.ReportMetric(median(took[0])/1000, "µs-alone")
			b.ReportMetric(median(took[1])/1000, "µs-beside")
			b.ReportMetric(median(took[1])/median(took[0]), "x-alone")
		})
	}
}

// withOthers returns a store with ten entries in two streams of a namespace, and n of others.
func withOthers(b *testing.B, n int) *sqlite.Store {
	b.Helper()
	s := open(b, newPath(b), sqlite.WithSynchronous(sqlite.Normal))
	for i := range 10 {
		add(b, s, note([]string{"ns/a", "ns/b"}[i%2], "", "", time.Hour))
	}
	for i := 0; i < n; {
		var batch []backend.JournalEntry
		for range backend.MaxJournalBatch {
			batch = append(batch, note(fmt.Sprint("other", i%3, "/run_", i/5), "", "an event", time.Hour))
			i++
		}
		add(b, s, batch...)
	}
	return s
}
