package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// How Wait and Watch get along with a store that is away, hangs, or does not push.

func TestWaitsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScriptedStore()
		m := host(t, store)
		mustTake(t, m, "k", nil)

		_, err := startWait(t.Context(), m, "a\x00b").mustReturn(t)
		mustNameField(t, err, "key")

		waits, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := startWait(waits, m, "k")
		w.mustWait(t)
		time.Sleep(time.Minute)
		if l, err := w.mustReturn(t); !errors.Is(err, context.DeadlineExceeded) || l.Key != "" {
			t.Errorf("when the context ended Wait returned %+v, %v", l, err)
		} else if e, ok := errors.AsType[*lease.Error](err); !ok || e.Lease.State != lease.StateInProgress {
			t.Errorf("when the context ended the error told of the lease %+v", e.Lease)
		}
		if _, err := startWait(waits, m, "k").mustReturn(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that had ended: %v", err)
		}

		store.away.Store(true)
		_, err = startWait(t.Context(), m, "k").mustReturn(t)
		var e *lease.Error
		if !errors.Is(err, lease.ErrUnavailable) || !errors.As(err, &e) || e.Op != "wait" || e.Key != "k" {
			t.Errorf("when the store could not be asked: %v", err)
		}
		store.away.Store(false)

		w = startWait(t.Context(), m, "k")
		w.mustWait(t)
		entry, err := store.Get(bg, "default/k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.CompareAndSet(bg, "default/k", entry.Revision, []byte("rubbish"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.mustReturn(t); !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("when the record became unreadable: %v", err)
		}
		if _, err := startWait(t.Context(), m, "k").mustReturn(t); !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("of an unreadable record: %v", err)
		}
	})
}

// TestAStoreThatGoesAwayIsWaitedFor has it go away before the deadline, and come back or not.
func TestAStoreThatGoesAwayIsWaitedFor(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		for _, tt := range []struct {
			name string
			away time.Duration // past the deadline
			err  error
		}{
			{"until after the deadline", time.Second, nil},
			{"for almost half a minute past the deadline", 29 * time.Second, nil},
			{"for longer", 40 * time.Second, lease.ErrUnavailable},
		} {
			name := tt.name + ", asked"
			if pushes {
				name = tt.name + ", pushing"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newScriptedStore()
					var b backend.Backend = store
					if !pushes {
						b = threeMethods{store}
					}
					m := host(t, b)
					mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
					w := startWait(t.Context(), m, "k")
					time.Sleep(time.Second)
					store.away.Store(true)
					time.Sleep(59*time.Second + min(tt.away, 30*time.Second) - 1)
					w.mustWait(t)
					time.Sleep(tt.away - min(tt.away, 30*time.Second) + 1)
					store.away.Store(false)
					time.Sleep(time.Second)
					l, err := w.mustReturn(t)
					if !errors.Is(err, tt.err) || err == nil && l.State != lease.StateExpired {
						t.Errorf("Wait returned %+v, %v, want error %v", l, err, tt.err)
					}
				})
			})
		}
	}
	t.Run("and what was extended meanwhile goes on", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newScriptedStore()
			m, elsewhere := host(t, threeMethods{store}), host(t, store.Store)
			held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
			w := startWait(t.Context(), m, "k")
			synctest.Wait()
			store.away.Store(true)
			time.Sleep(50 * time.Second)
			if _, err := elsewhere.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: time.Hour}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * time.Second)
			store.away.Store(false)
			time.Sleep(30 * time.Minute)
			w.mustWait(t)
			time.Sleep(31 * time.Minute)
			if l, err := w.mustReturn(t); err != nil || l.State != lease.StateExpired || l.Version != 2 {
				t.Errorf("Wait returned %+v, %v", l, err)
			}
		})
	})
}

// TestAStoreThatDoesNotPushIsAskedLessAndLessOften counts for an hour.
func TestAStoreThatDoesNotPushIsAskedLessAndLessOften(t *testing.T) {
	for _, tt := range []struct {
		name       string
		b          func(*scriptedStore) backend.Backend
		retryAfter time.Duration
		atMost     int64
	}{
		{"each 5 seconds in the end", func(s *scriptedStore) backend.Backend { return threeMethods{s} }, 5 * time.Second, 800},
		{"each second in the end", func(s *scriptedStore) backend.Backend { return threeMethods{s} }, time.Second, 3800},
		{"always an eighth of the time that has passed", func(s *scriptedStore) backend.Backend { return threeMethods{s} }, time.Hour, 100},
		{"also one that could push, but fails to", func(s *scriptedStore) backend.Backend { return neverPushes{s} }, 5 * time.Second, 800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, waited := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute, time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					store := newScriptedStore()
					m := host(t, tt.b(store), lease.WithRetryAfter(tt.retryAfter))
					held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: 24 * time.Hour})
					w := startWait(t.Context(), m, "k")
					joins := startWait(t.Context(), m, "k") // and costs one question more, at first
					time.Sleep(waited)
					w.mustWait(t)
					if n := store.reads.Load(); waited == time.Hour && (n > tt.atMost || n < tt.atMost/2) {
						t.Errorf("the store was asked %d times in an hour, want about %d at most", n, tt.atMost)
					}
					if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
						t.Fatal(err)
					}
					// The pause is the eighth or the cap, and up to a quarter more.
					late := min(max(20*time.Millisecond, waited/8), tt.retryAfter) * 5 / 4
					time.Sleep(late + 10*time.Millisecond)
					if l, err := w.mustReturn(t); err != nil || l.State != lease.StateCompleted {
						t.Errorf("Wait returned %+v, %v", l, err)
					}
					joins.mustReturn(t)
				})
			}
		})
	}
}

// TestAWatchThatBreaksOffIsResumed has the store close the channel again and again.
func TestAWatchThatBreaksOffIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, lasts := breaking(time.Minute)
		m := host(t, b)
		held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: 24 * time.Hour})
		w := startWait(t.Context(), m, "k")
		time.Sleep(time.Hour - time.Second)
		w.mustWait(t)
		if n := b.watches.Load(); n < 50 || n > 60 {
			t.Errorf("%d watches in an hour, want one a minute, and a pause of up to 6 seconds after each", n)
		}
		lasts.Store(0)
		time.Sleep(2 * time.Minute)
		w.mustWait(t)
		if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w.mustReturn(t) // without delay: it was pushed
	})
	t.Run("and what ends in between is seen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, _ := breaking(time.Minute)
			m := host(t, b)
			held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: 24 * time.Hour})
			w := startWait(t.Context(), m, "k")
			time.Sleep(time.Minute + time.Millisecond)
			w.mustWait(t)
			if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
				t.Fatal(err)
			}
			w.mustWait(t)
			time.Sleep(7 * time.Second)
			w.mustReturn(t)
		})
	})
	t.Run("and one that breaks off at once, always, is not resumed all the time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b, _ := breaking(time.Nanosecond)
			m := host(t, b)
			mustTake(t, m, "k", &lease.AcquireOptions{TTL: 24 * time.Hour})
			w := startWait(t.Context(), m, "k")
			time.Sleep(time.Hour)
			w.mustWait(t)
			if n := b.watches.Load(); n > 1000 {
				t.Errorf("the store was asked for %d watches in an hour", n)
			}
		})
	})
}

// TestReadsThatHang: a request that got lost delays an end by its time at most.
func TestReadsThatHang(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		bubbleWith(t, fmt.Sprintf("for a while, the store pushes: %t", pushes), func(t *testing.T, b *scriptedStore) {
			var s backend.Backend = b
			if !pushes {
				s = threeMethods{b}
			}
			m, other := host(t, s), host(t, b.Store)
			held := mustTake(t, other, "k", &lease.AcquireOptions{TTL: time.Hour})
			time.AfterFunc(30*time.Second, func() { b.hangs.Store(true) })
			time.AfterFunc(40*time.Second, func() { b.hangs.Store(false) })
			time.AfterFunc(45*time.Second, func() {
				if _, err := other.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
					t.Error(err)
				}
			})
			begun := time.Now()
			l, err := m.Wait(t.Context(), "k")
			if took := time.Since(begun); err != nil || l.State != lease.StateCompleted || took < 45*time.Second || took > time.Minute {
				t.Errorf("completed after 45s, Wait returned after %v: %s, %v", took, l.State, err)
			}
		})
	}
	bubbleWith(t, "when it is asked to push", func(t *testing.T, b *scriptedStore) {
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if b.watches.Load() == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return b.Store.Watch(ctx, key)
		}
		m := host(t, b)
		held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Hour})
		time.AfterFunc(15*time.Second, func() {
			if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
				t.Error(err)
			}
		})
		begun := time.Now()
		l, err := m.Wait(t.Context(), "k")
		if took := time.Since(begun); err != nil || l.State != lease.StateCompleted || took != 15*time.Second {
			t.Errorf("completed after 15s, Wait returned after %v: %s, %v", took, l.State, err)
		}
	})
	bubbleWith(t, "when the deadline is over", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		held := mustTake(t, other, "k", &lease.AcquireOptions{TTL: time.Minute})
		time.AfterFunc(30*time.Second, func() { b.hangs.Store(true) })
		time.AfterFunc(61*time.Second, func() {
			if _, err := other.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
				t.Error(err)
			}
		})
		begun := time.Now()
		l, err := m.Wait(t.Context(), "k")
		if took := time.Since(begun); err != nil || l.State != lease.StateCompleted || took < 61*time.Second || took > 75*time.Second {
			t.Errorf("completed after 61s, Wait returned after %v: %s, %v", took, l.State, err)
		}
	})
}

// TestWaitDoesNotGiveUpBeforeTheDeadline, although the store is away and its watch is of no help.
func TestWaitDoesNotGiveUpBeforeTheDeadline(t *testing.T) {
	bubbleWith(t, "of a lease of an hour", func(t *testing.T, b *scriptedStore) {
		b.watch = absent(false)
		m := host(t, b)
		mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Hour})
		begun := time.Now()
		time.AfterFunc(time.Minute, func() { b.away.Store(true) })
		_, err := m.Wait(t.Context(), "k")
		if took := time.Since(begun); !errors.Is(err, lease.ErrUnavailable) || took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("Wait returned %v after %v", err, took)
		}
	})
}

// breaking is a store whose watches last so long; 0 is for as long as they are wanted.
func breaking(after time.Duration) (b *scriptedStore, lasts *atomic.Int64) {
	b, lasts = newScriptedStore(), new(atomic.Int64)
	lasts.Store(int64(after))
	b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
		if lasts := lasts.Load(); lasts > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(lasts))
			context.AfterFunc(ctx, cancel)
		}
		return b.Store.Watch(ctx, key)
	}
	return b, lasts
}
