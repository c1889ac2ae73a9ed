package runs_test

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/runs"
)

var many = flag.Int("runs.many", 400, "how many runs TestEachRunOnce queues")

// TestEachRunOnce has four workers, on two handles of one store, do many queued runs: each once.
func TestEachRunOnce(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "leases.db")
	var mu sync.Mutex
	began := map[string][]time.Time{}
	task := runs.Task[string, string]{Name: "once"}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	var runners []*runs.Runner
	for range 2 {
		s, err := backends.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		m, err := lease.NewManager(s)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r := runs.New(m, runs.WithConcurrency(4))
			task.Handle(r, func(_ context.Context, key string) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				began[key] = append(began[key], time.Now())
				return key, nil
			})
			runners = append(runners, r)
		}
	}
	defer working.Wait()
	defer stop()

	keys := make(chan string)
	var starting sync.WaitGroup
	queued := make(map[string]time.Time, *many)
	for range 16 {
		starting.Go(func() {
			for key := range keys {
				if _, started, err := task.Start(t.Context(), runners[0], key, key, nil); err != nil || !started {
					t.Errorf("started is %t, error %v", started, err)
				}
				mu.Lock()
				queued[key] = time.Now()
				mu.Unlock()
			}
		})
	}
	for i := range *many {
		keys <- fmt.Sprint("run_", i)
	}
	close(keys)
	starting.Wait()
	from := time.Now()
	for _, r := range runners {
		working.Go(func() {
			if err := r.Work(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for key := range queued {
		if got, err := task.Wait(t.Context(), runners[0], key); err != nil || got != key {
			t.Fatalf("a run came to %q, error %v", got, err)
		}
	}
	took := time.Since(from)
	stop()
	working.Wait()
	var waited []time.Duration
	for key := range queued {
		if n := len(began[key]); n != 1 {
			t.Errorf("a run was executed %d times", n)
			continue
		}
		waited = append(waited, began[key][0].Sub(from))
	}
	slices.Sort(waited)
	if len(waited) > 0 {
		t.Logf("%d runs in %v, %.0f a second; from the workers' start to its own, median %v, 99th percentile %v", len(waited),
			took.Round(time.Millisecond), float64(len(waited))/took.Seconds(), waited[len(waited)/2].Round(time.Millisecond), waited[len(waited)*99/100].Round(time.Millisecond))
	}
}
