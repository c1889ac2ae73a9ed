package proof

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/internal/natstest"
)

// handles opens a store for each host of a test, all on the same data. Closing ends them; it is called once.
type handles struct {
	name string
	open func(t testing.TB) (stores []backend.Backend, closing func())
}

// everyStore is every kind of store, as one host has it and as several do.
var everyStore = []handles{
	{"memory", func(testing.TB) ([]backend.Backend, func()) {
		return []backend.Backend{memory.New()}, func() {}
	}},
	{"sqlite", sqliteHandles(1)},
	{"sqlite, two on one file", sqliteHandles(2)},
	{"nats", natsHandles(1, func(t testing.TB) string { return natstest.Alone(t).ClientURL() })},
	{"nats, a cluster of three", natsHandles(3, func(t testing.TB) string { return natstest.StartCluster(t).URL() })},
}

func sqliteHandles(n int) func(t testing.TB) ([]backend.Backend, func()) {
	return func(t testing.TB) (stores []backend.Backend, closing func()) {
		path := filepath.Join(t.TempDir(), "leases.db")
		var all []*sqlite.Store
		for range n {
			s, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			all, stores = append(all, s), append(stores, s)
		}
		return stores, func() {
			for _, s := range all {
				s.Close()
			}
		}
	}
}

func natsHandles(n int, start func(t testing.TB) (url string)) func(t testing.TB) ([]backend.Backend, func()) {
	return func(t testing.TB) (stores []backend.Backend, closing func()) {
		url := start(t)
		var all []*natskv.Store
		for range n {
			s, err := natskv.Open(t.Context(), url, natskv.WithReplicas(n))
			if err != nil {
				t.Fatal(err)
			}
			all, stores = append(all, s), append(stores, s)
		}
		return stores, func() {
			for _, s := range all {
				s.Close()
			}
		}
	}
}

// TestDoRunsOnce has 64 goroutines on all hosts ask for the same work at once, on every store.
func TestDoRunsOnce(t *testing.T) {
	for _, h := range everyStore {
		t.Run(h.name, func(t *testing.T) {
			stores, closing := h.open(t)
			defer closing()
			var hosts []*lease.Manager
			for _, s := range stores {
				m, err := lease.NewManager(s)
				if err != nil {
					t.Fatal(err)
				}
				hosts = append(hosts, m)
			}
			if _, err := hosts[0].Wait(t.Context(), "warm up"); err != nil {
				t.Fatal(err)
			}
			before := goleak.IgnoreCurrent()                                   // what the stores, and servers in this process, run for themselves
			for _, takes := range []time.Duration{0, 300 * time.Millisecond} { // without and with a watch of its own
				key := fmt.Sprint("takes ", takes)
				var runs atomic.Int64
				var all sync.WaitGroup
				begun := time.Now()
				for i := range 64 {
					all.Go(func() {
						got, err := lease.Do(t.Context(), hosts[i%len(hosts)], key, func(ctx context.Context, held *lease.Held) (string, error) {
							time.Sleep(takes)
							return fmt.Sprint("run ", runs.Add(1), " with token ", held.Token()), ctx.Err()
						})
						l, err2 := hosts[0].Result(t.Context(), key)
						if err != nil || err2 != nil || string(l.Result) != fmt.Sprintf("%q", got) {
							t.Errorf("got %q, %v; stored is %s, %v", got, err, l.Result, err2)
						}
					})
				}
				all.Wait()
				if runs.Load() != 1 {
					t.Errorf("the function ran %d times", runs.Load())
				}
				t.Logf("work of %v: all 64 have its result after %v", takes, time.Since(begun).Round(time.Millisecond))
			}
			natstest.Eventually(t, "nothing is left running", func() bool { return goleak.Find(before) == nil })
		})
	}
}
