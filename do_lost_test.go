package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// Promise 4 of Do: the function's context ends before anyone else can acquire the lease. What is
// not announced is told as soon as the store tells.

func TestDoIsToldAtOnceWhatOthersDo(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(m *lease.Manager, l lease.Lease) error
		why  error
		then string // how the key stands in the end
	}{
		{"canceled", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Cancel(context.Background(), "k", l.LeaseID, "operator")
			return err
		}, lease.ErrFinished, "failed 1 canceled:operator"},
		{"failed", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Fail(context.Background(), "k", l.LeaseID, lease.Failure{Code: "theirs", Retryable: true})
			return err
		}, lease.ErrFinished, "failed 1 theirs, retryable"},
		{"completed", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{})
			return err
		}, lease.ErrFinished, "completed 1"},
		{"released", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Release(context.Background(), "k", l.LeaseID)
			return err
		}, lease.ErrLost, "released 1"},
		{"released and taken over", func(m *lease.Manager, l lease.Lease) error {
			if _, err := m.Release(context.Background(), "k", l.LeaseID); err != nil {
				return err
			}
			_, _, err := m.Acquire(context.Background(), "k", nil)
			return err
		}, lease.ErrLost, "in_progress 2"},
		{"replaced", func(m *lease.Manager, l lease.Lease) error {
			_, _, err := m.Acquire(context.Background(), "k", &lease.AcquireOptions{InputHash: "newer", Replace: true})
			return err
		}, lease.ErrLost, "in_progress 2"},
		// The function may return when the lease is forgotten, and not acquired yet.
		{"forgotten", func(m *lease.Manager, l lease.Lease) error { return m.Forget(context.Background(), "k") }, lease.ErrNotFound, "not_found 0"},
		{"forgotten and acquired anew", func(m *lease.Manager, l lease.Lease) error {
			if err := m.Forget(context.Background(), "k"); err != nil {
				return err
			}
			_, _, err := m.Acquire(context.Background(), "k", nil)
			return err
		}, lease.ErrLost, "in_progress 1"},
	} {
		for _, pushes := range []bool{true, false} {
			for _, fails := range []bool{true, false} {
				bubble(t, fmt.Sprintf("%s, the store pushes: %t, the function fails: %t", tt.name, pushes, fails), func(t *testing.T, store *memory.Store) {
					var l timeline
					var b backend.Backend = store
					if !pushes {
						b = threeMethods{store}
					}
					m, other := host(t, b, l.seen()), host(t, store)
					held := make(chan lease.Lease, 1)
					var all sync.WaitGroup
					all.Go(func() {
						time.Sleep(10 * time.Second)
						if err := tt.do(other, <-held); err != nil {
							t.Error(err)
						}
					})
					var e ending
					opts := &lease.DoOptions{TTL: time.Hour, Input: "older", Attempts: 5}
					err := mustExec(t, t.Context(), m, "k", opts, func(ctx context.Context) error {
						l, _ := lease.FromContext(ctx)
						held <- l
						err := untilItEnds(&e)(ctx)
						if !fails {
							return nil
						}
						return err
					})
					all.Wait()
					// A store that is asked is asked after an eighth of the time, and a quarter of
					// that.
					if pushes && e.after != 10*time.Second || e.after < 10*time.Second || e.after > 12*time.Second {
						t.Errorf("told after %v", e.after)
					}
					if !errors.Is(e.cause, lease.ErrLost) || !errors.Is(e.cause, tt.why) {
						t.Errorf("the cause is %v, want %v", e.cause, tt.why)
					}
					// That the lease was completed, without a result too, is what the function
					// wanted.
					if tt.name == "completed" && !fails {
						if err != nil {
							t.Error(err)
						}
					} else if between := errors.Is(err, lease.ErrNotFound); !errors.Is(err, tt.why) && !between || errors.Is(err, lease.ErrFailed) {
						t.Errorf("Do returned %v, want %v", err, tt.why)
					}
					mustStand(t, other, "k", tt.then)
					l.mustBe(t, "acquired 1", "lost 1")
				})
			}
		}
	}
}

// TestNobodyElseHoldsTheLeaseWhileTheContextLives has another host try to acquire the lease all the
// time, by a store that is well, while the holder's has a bad day.
func TestNobodyElseHoldsTheLeaseWhileTheContextLives(t *testing.T) {
	for name, day := range map[string]func(b *scriptedStore) *atomic.Bool{"refuses": setAway, "hangs": setHangs, "has no answers": setLost} {
		for _, ttl := range []time.Duration{time.Second, 5 * time.Second, time.Minute} {
			for _, from := range []time.Duration{0, ttl / 2, ttl} {
				bubbleWith(t, fmt.Sprintf("the store %s after %v, TTL %v", name, from, ttl), func(t *testing.T, b *scriptedStore) {
					m, other := host(t, b), host(t, b.Store)
					var live, worked atomic.Bool
					var all sync.WaitGroup
					all.Go(func() {
						_ = mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: ttl}, func(ctx context.Context) error {
							live.Store(true)
							worked.Store(true)
							context.AfterFunc(ctx, func() { live.Store(false) })
							time.AfterFunc(from, func() { day(b).Store(true) })
							<-ctx.Done()
							return ctx.Err()
						})
					})
					synctest.Wait()
					begun := time.Now()
					for acquired := false; !acquired; {
						if time.Since(begun) > 10*ttl {
							t.Fatal("nobody could take over")
						}
						time.Sleep(ttl / 50)
						var err error
						if _, acquired, err = other.Acquire(t.Context(), "k", nil); err != nil {
							t.Fatal(err)
						}
						if acquired && live.Load() {
							t.Errorf("acquired by another under a live context after %v", time.Since(begun))
						}
					}
					if !worked.Load() || time.Since(begun) < ttl {
						t.Errorf("taken over after %v", time.Since(begun))
					}
					day(b).Store(false)
					all.Wait()
				})
			}
		}
	}
	bubbleWith(t, "another has shortened it while the store is away", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			time.Sleep(time.Second)
			b.away.Store(true)
			l, _ := lease.FromContext(ctx)
			if _, err := other.Extend(ctx, "k", l.LeaseID, &lease.ExtendOptions{TTL: 10 * time.Second}); err != nil {
				t.Error(err)
			}
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		if e.after != 9*time.Second {
			t.Errorf("it ended after %v, want a second before the deadline", e.after)
		}
	})
}

func TestALateResultCountsUnlessAnotherTookOver(t *testing.T) {
	for _, taken := range []bool{false, true} {
		bubbleWith(t, fmt.Sprintf("taken over: %t", taken), func(t *testing.T, b *scriptedStore) {
			var l timeline
			m, other := host(t, b, l.seen()), host(t, b.Store)
			v, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{TTL: 10 * time.Second}, func(ctx context.Context) (string, error) {
				b.away.Store(true)
				<-ctx.Done()
				time.Sleep(time.Minute) // it does not stop
				if taken {
					mustTake(t, other, "k", nil)
				}
				b.away.Store(false)
				return "late", nil
			})
			if v != "late" {
				t.Errorf("got %q", v)
			}
			if taken {
				mustNotFail(t, err, lease.ErrLost)
				mustStand(t, other, "k", "in_progress 2")
				l.mustBe(t, "acquired 1", "lost 1")
				return
			}
			if err != nil {
				t.Error(err)
			}
			mustStand(t, other, "k", "completed 1")
			l.mustBe(t, "acquired 1", "lost 1", "completed 1")
		})
	}
}

// TestALossIsOneEvent, whoever finds out, and whatever the function returns.
func TestALossIsOneEvent(t *testing.T) {
	for _, tt := range []struct {
		name string
		work func(ctx context.Context, saw func()) error
	}{
		{"it returns a result", func(ctx context.Context, saw func()) error { <-ctx.Done(); saw(); return nil }},
		{"it returns an error", func(ctx context.Context, saw func()) error { <-ctx.Done(); saw(); return coded("boom") }},
		{"it finds out by Save", func(ctx context.Context, saw func()) error {
			if err := lease.Save(ctx, 1); errors.Is(err, lease.ErrLost) {
				saw()
			}
			return lease.Save(ctx, 2)
		}},
		{"it finds out at its end", func(ctx context.Context, saw func()) error { saw(); return nil }},
	} {
		bubbleWith(t, tt.name, func(t *testing.T, b *scriptedStore) {
			var events []lease.Event
			m := host(t, threeMethods{b}, lease.WithRetryAfter(time.Hour), lease.WithObserver(func(e lease.Event) {
				if e.Kind == lease.EventLost {
					events = append(events, e)
				}
			}))
			other, seen := host(t, b.Store), 0
			err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: 24 * time.Hour}, func(ctx context.Context) error {
				time.Sleep(time.Minute)
				leasetest.TakeOver(t, other, "k")
				return tt.work(ctx, func() { seen++ })
			})
			mustNotFail(t, err, lease.ErrLost)
			if err := m.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(events) != 1 || seen != 1 {
				t.Fatalf("%d events, want 1; the function saw %d", len(events), seen)
			}
			if e := events[0]; e.Token != 1 || e.Attempt != 1 || e.Key != "k" || !errors.Is(e.Err, lease.ErrLost) || e.Held < time.Minute || e.Held > 2*time.Minute {
				t.Errorf("told of token %d, attempt %d of %q, held for %v: %v", e.Token, e.Attempt, e.Key, e.Held, e.Err)
			}
		})
	}
}

// lateClock is a clock whose timers are late, as those of a busy machine are.
type lateClock struct {
	lease.Clock
	by time.Duration
}

func (c lateClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return c.Clock.AfterFunc(d+c.by, f)
}

// TestATimerIsLateButOnce: the time to give up has come, and its timer is late, when an extension
// fails. That must not set the timer anew.
func TestATimerIsLateButOnce(t *testing.T) {
	bubbleWith(t, "an extension fails meanwhile", func(t *testing.T, b *scriptedStore) {
		const ttl, grace, late = 2 * time.Second, 20 * time.Millisecond, 15 * time.Millisecond
		begun := time.Now()
		tries := 0
		b.before = func(context.Context) error {
			if b.writes.Load() == 1 {
				return nil
			}
			if due := begun.Add(ttl - grace + late - time.Millisecond); time.Until(due) < ttl/4 { // a try may take a third
				tries++
				time.Sleep(time.Until(due))
			}
			return backend.ErrUnavailable
		}
		var e ending
		m := host(t, b, lease.WithClock(lateClock{lease.SystemClock(), late}))
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: ttl, Grace: grace}, untilItEnds(&e))
		mustNotFail(t, err, lease.ErrLost)
		if e.after > ttl-grace+late || tries != 1 {
			t.Errorf("it ended after %v and %d tries, and was to end after %v at most", e.after, tries, ttl-grace+late)
		}
	})
}
