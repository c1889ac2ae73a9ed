package natskv_test

import (
	"fmt"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// BenchmarkJournal runs each call in turns on two journals of one server or cluster: one with
// 100 000 entries of other streams beside, and, as its raw twin, one without. x-raw is the former's
// throughput in terms of the latter's.
func BenchmarkJournal(b *testing.B) {
	for name, setup := range map[string]func() (url string, replicas int){
		"alone": func() (string, int) {
			o := natstest.Options(b.TempDir())
			o.SyncAlways = false
			return natstest.Start(b, o).ClientURL(), 1
		},
		"cluster": func() (string, int) { return natstest.StartCluster(b).URL(), 3 },
	} {
		b.Run(name, func(b *testing.B) {
			url, replicas := setup()
			beside := open(b, url, natskv.WithBucket("beside"), natskv.WithReplicas(replicas))
			empty := open(b, url, natskv.WithBucket("empty"), natskv.WithReplicas(replicas))
			ours := func(s *natskv.Store) {
				for i := range 100 {
					var batch []backend.JournalEntry
					for range 10 {
						batch = append(batch, entry(fmt.Sprint("ours/", i), "", "data of an event"))
					}
					add(b, s, batch...)
				}
			}
			others := func(n int) {
				for i := range n {
					var batch []backend.JournalEntry
					for k := range 1000 {
						batch = append(batch, entry(fmt.Sprint("others/", k), "", "data of an event"))
					}
					batch[i].ID = "one"
					add(b, beside, batch...)
				}
			}
			others(50)
			ours(beside)
			others(50)
			ours(empty)
			check := func(what string, got, want int, err error) error {
				if err == nil && got != want {
					err = fmt.Errorf("%s returned %d, want %d", what, got, want)
				}
				return err
			}
			for _, call := range []struct {
				name string
				op   func(s *natskv.Store, i int) error
			}{
				{"ReadStream of 10", func(s *natskv.Store, i int) error {
					got, err := s.ReadStream(ctx, fmt.Sprint("ours/", i%100), 0, 100)
					return check("ReadStream", len(got), 10, err)
				}},
				{"ReadNewest of 100", func(s *natskv.Store, i int) error {
					got, err := s.ReadNewest(ctx, "ours/", 0, 100)
					return check("ReadNewest", len(got), 100, err)
				}},
				{"Streams 20 of 100", func(s *natskv.Store, i int) error {
					got, total, err := s.Streams(ctx, "ours/", 0, 20)
					return check("Streams", len(got)+total, 120, err)
				}},
				{"Append of 1", func(s *natskv.Store, i int) error {
					return s.Append(ctx, []backend.JournalEntry{entry("appended/a", "", "data of an event")})
				}},
				{"Append of 1 with id", func(s *natskv.Store, i int) error {
					return s.Append(ctx, []backend.JournalEntry{entry("appended/ids", fmt.Sprint(b.N, "_", i), "data of an event")})
				}},
				{"Append of 100", func(s *natskv.Store, i int) error {
					var batch []backend.JournalEntry
					for k := range 100 {
						batch = append(batch, entry(fmt.Sprint("appended/", k%10), "", "data of an event"))
					}
					return s.Append(ctx, batch)
				}},
			} {
				b.Run(call.name, func(b *testing.B) {
					alternate(b, 1, func(i int) error { return call.op(beside, i) }, func(i int) error { return call.op(empty, i) })
				})
			}
			b.Run("Streams of all", func(b *testing.B) {
				for b.Loop() {
					got, total, err := beside.Streams(ctx, "others/", 0, 20)
					if err := check("Streams", len(got)+total, 1020, err); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
