package runs_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/runs"
)

// BenchmarkStartToHandler is how long an idle worker takes to begin a run, from the end of Start.
func BenchmarkStartToHandler(b *testing.B) {
	for _, store := range []struct {
		name    string
		url     func(b *testing.B) string
		another bool // the worker has a handle of its own, as another process has
	}{
		{"memory", func(*testing.B) string { return "memory:" }, false},
		{"sqlite", func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "leases.db") }, false},
		{"sqlite/another", func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "leases.db") }, true},
		{"nats/another", func(b *testing.B) string { return natstest.Alone(b).ClientURL() }, true},
	} {
		b.Run(store.name, func(b *testing.B) {
			url := store.url(b)
			manager := func() *lease.Manager {
				s, err := backends.Open(b.Context(), url)
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { s.Close() })
				m, err := lease.NewManager(s)
				if err != nil {
					b.Fatal(err)
				}
				return m
			}
			m := manager()
			starter, worker := runs.New(m), runs.New(m)
			if store.another {
				worker = runs.New(manager())
			}
			task := runs.Task[int, int]{Name: "now"}
			began := make(chan time.Time, 1)
			task.Handle(worker, func(context.Context, int) (int, error) { began <- time.Now(); return 0, nil })
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- worker.Work(ctx) }()
			var took []time.Duration
			for i := range min(b.N, 200) {
				if _, started, err := task.Start(ctx, starter, fmt.Sprint("run_", b.N, "_", i), i, nil); err != nil || !started {
					b.Fatalf("started is %t, error %v", started, err)
				}
				at := time.Now()
				took = append(took, (<-began).Sub(at))
			}
			stop()
			if err := <-ended; err != nil {
				b.Error(err)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
