package runs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/runs"
)

var finished = flag.Int("runs.finished", 500, "how many finished runs lie in the store of TestFinishedRunsCostNothing")

// TestFinishedRunsCostNothing compares how long a due run waits for its worker on an empty store
// and on one with many finished runs, in turns.
func TestFinishedRunsCostNothing(t *testing.T) {
	for _, store := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"memory", func(*testing.T) string { return "memory:" }},
		{"sqlite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "leases.db") }},
		{"nats", func(t *testing.T) string { return natstest.Alone(t).ClientURL() }},
	} {
		t.Run(store.name, func(t *testing.T) {
			task := runs.Task[int, int]{Name: "now"}
			began := make(chan time.Time, 1)
			open := func() (backend.Backend, *runs.Runner) {
				s, err := backends.Open(t.Context(), store.url(t))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				m, err := lease.NewManager(s)
				if err != nil {
					t.Fatal(err)
				}
				r := runs.New(m)
				task.Handle(r, func(context.Context, int) (int, error) { began <- time.Now(); return 0, nil })
				return s, r
			}
			_, empty := open()
			s, full := open()
			waits := func(r *runs.Runner, key string) time.Duration {
				if _, started, err := task.Start(t.Context(), r, key, 0, nil); err != nil || !started {
					t.Fatalf("started is %t, error %v", started, err)
				}
				at := time.Now()
				return (<-began).Sub(at)
			}
			stopEmpty, stopFull := work(t, empty), work(t, full)
			waits(full, "pattern")
			if _, err := task.Wait(t.Context(), full, "pattern"); err != nil {
				t.Fatal(err)
			}
			stopFull()
			at := time.Now()
			fill(t, s, "default/pattern", *finished)
			filled := time.Since(at)
			stopFull = work(t, full)
			var without, with []time.Duration
			for i := range 100 {
				without = append(without, waits(empty, fmt.Sprint("run_", i)))
				with = append(with, waits(full, fmt.Sprint("run_", i)))
			}
			stopEmpty()
			stopFull()
			slices.Sort(without)
			slices.Sort(with)
			t.Logf("filled in %v; without: median %v, 99th percentile %v; with %d finished runs: %v, %v", filled.Round(time.Millisecond),
				without[50], without[98], *finished, with[50], with[98])
			if with[50] > without[50]*3/2+50*time.Microsecond {
				t.Errorf("the median is %v with %d finished runs, and %v without", with[50], *finished, without[50])
			}
		})
	}
}

// fill writes n copies of the record at key under keys of their own.
func fill(t *testing.T, s backend.Backend, key string, n int) {
	t.Helper()
	e, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan int)
	var writing sync.WaitGroup
	for range 64 {
		writing.Go(func() {
			for i := range next {
				if _, err := s.CompareAndSet(t.Context(), fmt.Sprint("default/finished_", i), 0, e.Value, 24*time.Hour); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	writing.Wait()
}
