package proof

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/natstest"
)

// TestDoIsToldOfItsLoss has another host forget or cancel the lease of a function that need not
// extend it for hours.
func TestDoIsToldOfItsLoss(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			here, there := d.ends(t)
			m, elsewhere := managerOn(t, here), managerOn(t, there)
			for name, loss := range map[string]func(l lease.Lease) error{
				"forgotten": func(l lease.Lease) error { return elsewhere.Forget(t.Context(), l.Key) },
				"cancelled": func(l lease.Lease) error {
					_, err := elsewhere.Cancel(t.Context(), l.Key, l.LeaseID, "")
					return err
				},
				"forgotten and acquired": func(l lease.Lease) error {
					err := elsewhere.Forget(t.Context(), l.Key)
					mustAcquire(t, elsewhere, l.Key, time.Hour)
					return err
				},
			} {
				var told time.Duration
				_, err := lease.Do(t.Context(), m, name, &lease.DoOptions{TTL: 24 * time.Hour}, func(ctx context.Context) (string, error) {
					l, _ := lease.FromContext(ctx)
					if err := loss(l); err != nil {
						t.Error(err)
					}
					begun := time.Now()
					select {
					case <-ctx.Done():
						told = time.Since(begun)
						return "", context.Cause(ctx)
					case <-time.After(30 * time.Second):
						return "not told", nil
					}
				})
				if !errors.Is(err, lease.ErrLost) || told > 10*time.Second { // the watch begins after 50 ms; the machine may be busy
					t.Errorf("%s: told %v, after %v", name, err, told)
				}
				t.Logf("%s: told after %v", name, told.Round(time.Millisecond))
			}
		})
	}
}

// TestDoRunsOnce has 64 goroutines on all hosts ask for the same work at once, on every store.
func TestDoRunsOnce(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			var hosts []*lease.Manager
			for _, s := range d.open(t) {
				hosts = append(hosts, managerOn(t, s))
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
						got, err := lease.Do(t.Context(), hosts[i%len(hosts)], key, nil, func(ctx context.Context) (string, error) {
							time.Sleep(takes)
							token, err := lease.Token(ctx, key)
							if err != nil {
								return "", err
							}
							return fmt.Sprint("run ", runs.Add(1), " with token ", token), ctx.Err()
						})
						l, err2 := hosts[0].Status(t.Context(), key)
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
