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
)

// What the store tells of a lease that Do holds may be old, or may be about another.

// TestARecordThatBecomesUnreadable is somebody's who knows better, or damage.
func TestARecordThatBecomesUnreadable(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		bubble(t, fmt.Sprintf("the store pushes: %t", pushes), func(t *testing.T, store *memory.Store) {
			var b backend.Backend = store
			if !pushes {
				b = threeMethods{store}
			}
			var e ending
			err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				time.Sleep(time.Second)
				was, err := store.Get(ctx, "default/k")
				if err == nil {
					_, err = store.CompareAndSet(ctx, "default/k", was.Revision, []byte(`{"format":99}`), 0)
				}
				if err != nil {
					t.Error(err)
				}
				return untilItEnds(&e)(ctx)
			})
			mustNotFail(t, err, lease.ErrUnreadable)
			if !errors.Is(err, lease.ErrLost) || !errors.Is(e.cause, lease.ErrUnreadable) || e.after > 200*time.Millisecond {
				t.Errorf("got %v; the context ended after %v with %v", err, e.after, e.cause)
			}
		})
	}
}

// TestShortenedByAnother: whoever has the lease id may shorten it; Do extends it at once.
func TestShortenedByAnother(t *testing.T) {
	for _, ttl := range []time.Duration{time.Second, time.Minute} {
		bubbleWith(t, ttl.String(), func(t *testing.T, b *scriptedStore) {
			m, other := host(t, b), host(t, b.Store)
			err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				time.Sleep(time.Second)
				l, _ := lease.FromContext(ctx)
				if _, err := other.Extend(ctx, "k", l.LeaseID, &lease.ExtendOptions{TTL: ttl}); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if l := status(t, other, "k"); l.TTLLeft != time.Hour || l.Version != 3 {
					t.Errorf("%v are left at version %d", l.TTLLeft, l.Version)
				}
				return stay(ctx, 2*time.Hour)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	// An extension is on its way back when another sets a deadline that is later than the one that
	// the holder knows, and sooner than the one that it asked for.
	bubbleWith(t, "while an extension is under way", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		b.always = func(w write) (uint64, error) {
			r, err := w.apply()
			if b.writes.Load() == 2 {
				if _, err := other.Extend(ctx, "k", status(t, other, "k").LeaseID, &lease.ExtendOptions{TTL: 45 * time.Second}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // the news come first
				b.away.Store(true)
			}
			return r, err
		}
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, untilItEnds(&e))
		mustNotFail(t, err, lease.ErrLost)
		if e.after >= 65*time.Second {
			t.Errorf("it ended after %v, and another could have the lease after 65s", e.after)
		}
	})
}

// TestShortenedAndToldLate: the deadline that another has set has passed when that is told. Nobody
// has taken over, so the lease is extended at once, unless the timer that gives it up is faster.
func TestShortenedAndToldLate(t *testing.T) {
	bubble(t, "by two seconds", func(t *testing.T, store *memory.Store) {
		slow := lateClock{lease.SystemClock(), time.Millisecond}
		m, other := host(t, lagging{store, 2 * time.Second}, lease.WithClock(slow)), host(t, store)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			time.Sleep(5 * time.Second)
			if _, err := other.Extend(bg, "k", status(t, other, "k").LeaseID, &lease.ExtendOptions{TTL: time.Second}); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			if l := mustStand(t, other, "k", "in_progress 1"); l.TTLLeft != 59*time.Second {
				t.Errorf("%v are left a second after it was told", l.TTLLeft)
			}
			return ctx.Err()
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// TestDoIsNotMisledByOldNews: others have waited for the key since before this lease was acquired,
// and their watch lags.
func TestDoIsNotMisledByOldNews(t *testing.T) {
	bubble(t, "of the lease before, and its absence", func(t *testing.T, store *memory.Store) {
		m := host(t, lagging{store, 30 * time.Second})
		mustTake(t, m, "k", nil)
		var all sync.WaitGroup
		all.Go(func() { // keeps the watch alive
			for range m.Watch(t.Context(), "k") {
			}
		})
		synctest.Wait()
		if err := m.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		if err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error { return stay(ctx, 10*time.Minute) }); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	bubbleWith(t, "which come while an extension is under way", func(t *testing.T, b *scriptedStore) {
		states := make(chan backend.Entry)
		b.watch = tells(states)
		m, other := host(t, b), host(t, b.Store)
		mustTake(t, other, "k", nil)
		waits, stop := context.WithCancel(t.Context())
		var waiter sync.WaitGroup
		waiter.Go(func() { _, _ = m.Wait(waits, "k") })
		synctest.Wait()
		states <- entry(t, b)
		if err := other.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		var slow atomic.Bool
		b.before = func(context.Context) error {
			if slow.Load() {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Second}, func(ctx context.Context) error {
			slow.Store(true)
			time.Sleep(350 * time.Millisecond) // the first extension is under way
			states <- backend.Entry{Key: "default/k"}
			synctest.Wait()
			states <- entry(t, b)
			return stay(ctx, 3*time.Second)
		})
		if err != nil {
			t.Errorf("nobody touched the lease: %v", err)
		}
		stop()
		waiter.Wait()
	})
	bubble(t, "but of what was told before it listened", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		var watching sync.WaitGroup
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			l, _ := lease.FromContext(ctx)
			watching.Go(func() { // this watch is there before that of Do, and stays
				for l := range m.Watch(t.Context(), "k") {
					if l.Version == 2 {
						time.Sleep(time.Minute)
					}
				}
			})
			synctest.Wait()
			if _, err := other.Extend(bg, "k", l.LeaseID, nil); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if _, err := other.Cancel(bg, "k", l.LeaseID, ""); err != nil {
				t.Error(err)
			}
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrFinished)
		if e.after > 100*time.Millisecond {
			t.Errorf("told after %v", e.after)
		}
		watching.Wait()
	})
	bubbleWith(t, "but finds out that it was forgotten, also if the store fails once", func(t *testing.T, b *scriptedStore) {
		var once atomic.Bool
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if once.CompareAndSwap(true, false) {
				return backend.Entry{}, backend.ErrUnavailable
			}
			return b.Store.Get(ctx, key)
		}
		m, other := host(t, b), host(t, b.Store)
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			time.Sleep(time.Second)
			once.Store(true)
			if err := other.Forget(ctx, "k"); err != nil {
				t.Error(err)
			}
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		if e.after > 5*time.Second || once.Load() {
			t.Errorf("told after %v; the store has failed: %t", e.after, !once.Load())
		}
	})
	bubbleWith(t, "and watches again soon when a watch ends", func(t *testing.T, b *scriptedStore) {
		var mu sync.Mutex
		var cut context.CancelFunc
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			ctx, cancel := context.WithCancel(ctx)
			mu.Lock()
			defer mu.Unlock()
			cut = cancel
			return b.Store.Watch(ctx, key)
		}
		m, other := host(t, b), host(t, b.Store)
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			time.Sleep(19 * time.Minute)
			mu.Lock()
			cut() // the connection is lost, and back at once
			mu.Unlock()
			synctest.Wait()
			if err := other.Forget(ctx, "k"); err != nil {
				t.Error(err)
			}
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		if e.after > time.Second {
			t.Errorf("told after %v", e.after)
		}
		mu.Lock()
		defer mu.Unlock()
		cut()
	})
}
