package lease_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Nothing is left running when a call has returned.

// TestNoTimerIsLeft: nothing waits for the clock any more when a call has returned.
func TestNoTimerIsLeft(t *testing.T) {
	one := returns(1, nil)
	for _, tt := range []struct {
		name string
		runs int
		do   func(ctx context.Context, m *lease.Manager, ran func())
	}{
		{"Do", 1, func(ctx context.Context, m *lease.Manager, ran func()) {
			_, _ = lease.Do(ctx, m, "k", nil, func(ctx context.Context) (int, error) { ran(); return one(ctx) })
		}},
		{"Do that fails", 1, func(ctx context.Context, m *lease.Manager, ran func()) {
			_, _ = lease.Do(ctx, m, "k", nil, func(context.Context) (int, error) { ran(); return 0, coded("boom") })
		}},
		{"Do whose function panics", 1, func(ctx context.Context, m *lease.Manager, ran func()) {
			defer func() { _ = recover() }()
			_, _ = lease.Do(ctx, m, "k", nil, func(context.Context) (int, error) { ran(); panic("boom") })
		}},
		{"Do whose caller goes away", 1, func(ctx context.Context, m *lease.Manager, ran func()) {
			ctx, cancel := context.WithCancel(ctx)
			_, _ = lease.Do(ctx, m, "k", nil, func(context.Context) (int, error) { ran(); cancel(); return 0, ctx.Err() })
		}},
		{"Do whose lease is lost", 1, func(ctx context.Context, m *lease.Manager, ran func()) {
			_, _ = lease.Do(ctx, m, "k", nil, func(ctx context.Context) (int, error) {
				ran()
				if err := m.Forget(ctx, "k"); err != nil {
					return 0, err
				}
				return 0, lease.Save(ctx, 1)
			})
		}},
		{"Do that waits for another, in vain", 0, func(ctx context.Context, m *lease.Manager, ran func()) {
			_, _ = lease.Do(ctx, m, "held", nil, func(context.Context) (int, error) { ran(); return 0, nil })
		}},
		{"Wait", 0, func(ctx context.Context, m *lease.Manager, ran func()) { _, _ = m.Wait(ctx, "held") }},
		{"Watch", 0, func(ctx context.Context, m *lease.Manager, ran func()) {
			for range m.Watch(ctx, "held") {
				break
			}
		}},
	} {
		for _, pushes := range []bool{true, false} {
			name := tt.name + ", the store pushes"
			if !pushes {
				name = tt.name + ", the store is asked"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var b backend.Backend = memory.New()
					if !pushes {
						b = threeMethods{b}
					}
					clock := manualClock()
					m := host(t, b, lease.WithClock(clock))
					mustTake(t, m, "held", nil)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					runs := 0
					tt.do(ctx, m, func() { runs++ })
					synctest.Wait()
					if n := clock.Timers(); n != 0 || runs != tt.runs {
						t.Errorf("%d timers are left; it ran %d times, want %d", n, runs, tt.runs)
					}
				})
			})
		}
	}
}

// TestDoLeavesNothingRunning covers what a bubble cannot: the real clock, and many at a time.
func TestDoLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := host(t, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all, working sync.WaitGroup
	const keys = 5
	working.Add(keys)
	for i := range 50 {
		key := string(rune('a' + i%keys))
		all.Go(func() {
			_, _ = lease.Do(ctx, m, key, &lease.DoOptions{TTL: time.Second}, func(ctx context.Context) (int, error) {
				if ctx.Err() == nil {
					working.Done()
				}
				<-ctx.Done()
				return 0, ctx.Err()
			})
		})
		all.Go(func() { _, _ = m.Wait(ctx, key) })
	}
	working.Wait() // each key has its holder
	cancel()
	all.Wait()
}

// TestManyAtOnce has many callers do everything at once, by the real scheduler: no two functions
// run for one key, each caller gets a result or an error of its own making, and nothing is left
// running.
func TestManyAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	store := memory.New()
	hosts := []*lease.Manager{host(t, store), host(t, store), host(t, threeMethods{store})}
	const keys, rounds, callers = 4, 20, 64
	var running [keys][rounds]atomic.Int64
	var runs, results, failures, canceled atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		n, random := i%keys, rand.New(rand.NewPCG(uint64(i), 1))
		all.Go(func() {
			for round := range rounds {
				key, running := fmt.Sprint("k", n, "_", round), &running[n][round]
				ctx, cancel := context.WithCancelCause(context.Background())
				if random.IntN(4) == 0 {
					time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, func() { cancel(coded("enough")) })
				}
				opts := &lease.DoOptions{Attempts: random.IntN(3), Finish: random.IntN(4) == 0}
				way := random.IntN(6)
				v, err := lease.Do(ctx, hosts[random.IntN(3)], key, opts, func(ctx context.Context) (int, error) {
					if n := running.Add(1); n != 1 {
						t.Errorf("%d functions run for %q", n, key)
					}
					defer running.Add(-1)
					runs.Add(1)
					l, _ := lease.FromContext(ctx)
					lease.Progress(ctx, way)
					if err := lease.Save(ctx, l.Attempt); err != nil {
						t.Error(err)
					}
					switch way {
					case 0:
						return 0, coded("boom")
					case 1:
						<-time.After(time.Millisecond)
						return 0, ctx.Err()
					}
					return 7, ctx.Err()
				})
				switch {
				case err == nil && (v == 7 || v == 0):
					results.Add(1)
				case errors.Is(err, lease.ErrFailed):
					failures.Add(1)
				case errors.Is(err, context.Canceled) && ctx.Err() != nil:
					canceled.Add(1)
				default:
					t.Errorf("got %d, %v", v, err)
				}
				cancel(nil)
			}
		})
	}
	all.Wait()
	if runs.Load() < keys*rounds || results.Load() == 0 || failures.Load() == 0 || canceled.Load() == 0 {
		t.Errorf("%d runs, %d results, %d failures, %d canceled: too few of something", runs.Load(), results.Load(), failures.Load(), canceled.Load())
	}
}
