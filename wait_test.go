package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// The tests here run in bubbles, by whose clock everything takes exactly as long as it has to wait. A bubble fails a test that leaves a goroutine behind.

// managerOn returns a Manager by the bubble's clock.
func managerOn(t testing.TB, b backend.Backend, opts ...lease.Option) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// waiter is a call of Wait.
type waiter struct {
	lease    lease.Lease
	err      error
	from, to time.Time
	done     chan struct{}
}

func startWait(ctx context.Context, m *lease.Manager, key string) *waiter {
	w := &waiter{from: time.Now(), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.lease, w.err = m.Wait(ctx, key)
		w.to = time.Now()
	}()
	return w
}

func (w *waiter) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// mustWait fails the test if w has returned by the time when nothing moves any more.
func (w *waiter) mustWait(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if w.ended() {
		t.Fatalf("Wait has returned after %v: %+v, %v", w.to.Sub(w.from), w.lease, w.err)
	}
}

// mustReturn fails the test unless w returns by the time when nothing moves any more.
func (w *waiter) mustReturn(t *testing.T) (lease.Lease, error) {
	t.Helper()
	synctest.Wait()
	if !w.ended() {
		t.Fatalf("Wait goes on after %v", time.Since(w.from))
	}
	return w.lease, w.err
}

func TestWaitReturnsAtOnceWhenNothingIsInProgress(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(t *testing.T, m *lease.Manager)
		want lease.State
	}{
		{"there is no lease", func(*testing.T, *lease.Manager) {}, lease.StateNotFound},
		{"it has completed", func(t *testing.T, m *lease.Manager) {
			l := mustAcquire(t, m, "k", lease.AcquireOptions{})
			if _, err := m.Complete(ctx, "k", l.LeaseID, lease.Completion{Result: json.RawMessage(`1`)}); err != nil {
				t.Fatal(err)
			}
		}, lease.StateCompleted},
		{"it has failed", func(t *testing.T, m *lease.Manager) {
			l := mustAcquire(t, m, "k", lease.AcquireOptions{})
			if _, err := m.Cancel(ctx, "k", l.LeaseID, ""); err != nil {
				t.Fatal(err)
			}
		}, lease.StateFailed},
		{"it has expired", func(t *testing.T, m *lease.Manager) {
			mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Second})
			time.Sleep(time.Second)
		}, lease.StateExpired},
		{"it expired as one that may be had once", func(t *testing.T, m *lease.Manager) {
			mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Second, AtMostOnce: true})
			time.Sleep(time.Second)
		}, lease.StateFailed},
		{"its retention is over", func(t *testing.T, m *lease.Manager) {
			mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Second})
			time.Sleep(8 * 24 * time.Hour)
		}, lease.StateNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &watched{Store: memory.New()}
				m := managerOn(t, b)
				tt.set(t, m)
				gets := b.gets.Load()
				w := startWait(t.Context(), m, "k")
				l, err := w.mustReturn(t)
				if err != nil || l.State != tt.want || l.Key != "k" {
					t.Errorf("Wait returned %+v, %v, want %s", l, err, tt.want)
				}
				result, err := m.Result(ctx, "k")
				if err != nil {
					t.Fatal(err)
				}
				same(t, l, result)
				if n := b.gets.Load() - gets; n != 2 || b.watches.Load() != 0 {
					t.Errorf("%d reads, %d watches; want one read, and one of Result", n, b.watches.Load())
				}
			})
		})
	}
}

// TestWaitReturnsAsTheLeaseEnds on a store that pushes: without any delay.
func TestWaitReturnsAsTheLeaseEnds(t *testing.T) {
	type step struct {
		after time.Duration
		do    func(m, other *lease.Manager, held lease.Lease) error
	}
	extend := func(ttl time.Duration) func(m, _ *lease.Manager, held lease.Lease) error {
		return func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Extend(ctx, "k", held.LeaseID, ttl)
			return err
		}
	}
	done := func(m, _ *lease.Manager, held lease.Lease) error {
		_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`{"n":1}`)})
		return err
	}
	// The other does not allow for the clocks to differ.
	takeOver := func(ttl time.Duration) func(_, other *lease.Manager, _ lease.Lease) error {
		return func(_, other *lease.Manager, _ lease.Lease) error {
			_, acquired, err := other.Acquire(ctx, "k", lease.AcquireOptions{TTL: ttl})
			if err == nil && !acquired {
				err = errors.New("not taken over")
			}
			return err
		}
	}
	const skew = 10 * time.Second
	for _, tt := range []struct {
		name  string
		opt   lease.AcquireOptions
		steps []step
		want  lease.Lease   // what matters of it
		after time.Duration // of the last step
	}{
		{"it is completed", lease.AcquireOptions{}, []step{{time.Minute, done}},
			lease.Lease{State: lease.StateCompleted, Version: 2, Result: json.RawMessage(`{"n":1}`)}, 0},
		{"it is failed", lease.AcquireOptions{}, []step{{time.Minute, func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "c"})
			return err
		}}}, lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "c"}, 0},
		{"it is cancelled", lease.AcquireOptions{}, []step{{time.Minute, func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Cancel(ctx, "k", held.LeaseID, "")
			return err
		}}}, lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "canceled"}, 0},
		{"it is forgotten", lease.AcquireOptions{}, []step{{time.Minute, func(m, _ *lease.Manager, _ lease.Lease) error { return m.Forget(ctx, "k") }}},
			lease.Lease{State: lease.StateNotFound}, 0},
		{"it expires, which is not told before another may have it", lease.AcquireOptions{TTL: time.Minute}, []step{{0, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it expires as one that may be had once", lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true}, []step{{0, extend(time.Minute)}},
			lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "expired"}, time.Minute + skew},
		{"it is extended, and expires later", lease.AcquireOptions{TTL: time.Minute}, []step{{30 * time.Second, extend(time.Minute)}, {59 * time.Second, extend(time.Hour)}},
			lease.Lease{State: lease.StateExpired, Version: 3}, time.Hour + skew},
		{"it is extended past its deadline", lease.AcquireOptions{TTL: time.Minute}, []step{{65 * time.Second, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it is shortened, and expires sooner", lease.AcquireOptions{TTL: time.Hour}, []step{{time.Minute, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it is extended, and then shortened", lease.AcquireOptions{TTL: time.Minute}, []step{{time.Second, extend(time.Hour)}, {time.Second, extend(10 * time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 3}, 10*time.Minute + skew},
		{"it is taken over, and the other completes it", lease.AcquireOptions{TTL: time.Minute}, []step{{time.Minute, takeOver(time.Minute)}, {65 * time.Second, func(_, other *lease.Manager, _ lease.Lease) error {
			l, err := other.Status(ctx, "k")
			if err == nil {
				_, err = other.Complete(ctx, "k", l.LeaseID, lease.Completion{})
			}
			return err
		}}}, lease.Lease{State: lease.StateCompleted, Version: 3}, 0},
		{"it is taken over, and expires again", lease.AcquireOptions{TTL: time.Hour}, []step{{time.Hour, takeOver(time.Second)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Second + skew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				m, other := managerOn(t, store, lease.WithClockSkew(skew)), managerOn(t, store)
				held := mustAcquire(t, m, "k", tt.opt)
				w := startWait(t.Context(), m, "k")
				for _, s := range tt.steps {
					time.Sleep(s.after)
					w.mustWait(t)
					if err := s.do(m, other, held); err != nil {
						t.Fatal(err)
					}
				}
				if tt.after > 0 {
					time.Sleep(tt.after - 1)
					w.mustWait(t)
					time.Sleep(time.Nanosecond)
				}
				l, err := w.mustReturn(t)
				if err != nil || l.State != tt.want.State || l.Version != tt.want.Version || l.ErrorCode != tt.want.ErrorCode || !bytes.Equal(l.Result, tt.want.Result) {
					t.Errorf("Wait returned %+v, %v, want %+v", l, err, tt.want)
				}
			})
		})
	}
}

func TestWaitsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &shaky{Store: memory.New()}
		m := managerOn(t, store)
		mustAcquire(t, m, "k", lease.AcquireOptions{})

		_, err := startWait(t.Context(), m, "a\x00b").mustReturn(t)
		isInvalid(t, err, "key", "control character")

		waits, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := startWait(waits, m, "k")
		w.mustWait(t)
		time.Sleep(time.Minute)
		if l, err := w.mustReturn(t); !errors.Is(err, context.DeadlineExceeded) || l.Key != "" {
			t.Errorf("when the context ended Wait returned %+v, %v", l, err)
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
		entry, err := store.Get(ctx, "default/k")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.CompareAndSet(ctx, "default/k", entry.Revision, []byte("rubbish"), 0); err != nil {
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
					store := &shaky{Store: memory.New()}
					var b backend.Backend = store
					if !pushes {
						b = asked{store}
					}
					m := managerOn(t, b)
					mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Minute})
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
			store := &shaky{Store: memory.New()}
			m, elsewhere := managerOn(t, asked{store}), managerOn(t, store.Store)
			held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Minute})
			w := startWait(t.Context(), m, "k")
			synctest.Wait()
			store.away.Store(true)
			time.Sleep(50 * time.Second)
			if _, err := elsewhere.Extend(ctx, "k", held.LeaseID, time.Hour); err != nil {
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

func TestAThousandWhoWaitShareOneWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &watched{Store: memory.New()}
		m := managerOn(t, b)
		held := mustAcquire(t, m, "k", lease.AcquireOptions{})
		var all []*waiter
		leaving, leave := context.WithCancel(t.Context())
		for i := range 1000 {
			who := t.Context()
			if i%10 == 0 {
				who = leaving
			}
			all = append(all, startWait(who, m, "k"))
		}
		synctest.Wait()
		leave()
		time.Sleep(time.Minute)
		if _, err := m.Extend(ctx, "k", held.LeaseID, time.Hour); err != nil {
			t.Fatal(err)
		}
		all[1].mustWait(t)
		if n := b.watches.Load(); n != 1 {
			t.Errorf("the store was asked for %d watches", n)
		}
		if n := b.gets.Load(); n != 1000 {
			t.Errorf("the store was read %d times, want once by each", n)
		}
		if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`"done"`)}); err != nil {
			t.Fatal(err)
		}
		for i, w := range all {
			l, err := w.mustReturn(t)
			if i%10 == 0 {
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("waiter %d, who left: %v", i, err)
				}
				continue
			}
			if err != nil || string(l.Result) != `"done"` || w.to.Sub(w.from) != time.Minute {
				t.Fatalf("waiter %d, after %v: %+v, %v", i, w.to.Sub(w.from), l, err)
			}
			clear(l.Result) // it belongs to the caller alone
		}
		if n := b.watching.Load(); n != 0 {
			t.Errorf("%d watches go on when nobody waits", n)
		}

		// The next one begins a watch of its own, as does another key.
		other := mustAcquire(t, m, "l", lease.AcquireOptions{})
		w := startWait(t.Context(), m, "l")
		w.mustWait(t)
		if n := b.watches.Load(); n != 2 {
			t.Errorf("%d watches in all, want 2", n)
		}
		if _, err := m.Complete(ctx, "l", other.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w.mustReturn(t)
	})
}

// TestNamespacesShareWatchesOfTheirOwnKeysOnly has two namespaces wait for the same key.
func TestNamespacesShareWatchesOfTheirOwnKeysOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &watched{Store: memory.New()}
		one := managerOn(t, b)
		two, err := one.InNamespace("two")
		if err != nil {
			t.Fatal(err)
		}
		again, err := two.InNamespace("default")
		if err != nil {
			t.Fatal(err)
		}
		held, elsewhere := mustAcquire(t, one, "k", lease.AcquireOptions{}), mustAcquire(t, two, "k", lease.AcquireOptions{})
		w1, w2, w3 := startWait(t.Context(), one, "k"), startWait(t.Context(), two, "k"), startWait(t.Context(), again, "k")
		w1.mustWait(t)
		if n := b.watches.Load(); n != 2 {
			t.Errorf("%d watches, want one for each namespace", n)
		}
		if _, err := one.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w1.mustReturn(t)
		w3.mustReturn(t)
		w2.mustWait(t)
		if _, err := two.Complete(ctx, "k", elsewhere.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w2.mustReturn(t)
	})
}

// TestAStoreThatDoesNotPushIsAskedLessAndLessOften counts for an hour.
func TestAStoreThatDoesNotPushIsAskedLessAndLessOften(t *testing.T) {
	for _, tt := range []struct {
		name       string
		b          func(*watched) backend.Backend
		retryAfter time.Duration
		atMost     int64
	}{
		{"each 5 seconds in the end", func(s *watched) backend.Backend { return asked{s} }, 5 * time.Second, 800},
		{"each second in the end", func(s *watched) backend.Backend { return asked{s} }, time.Second, 3800},
		{"always an eighth of the time that has passed", func(s *watched) backend.Backend { return asked{s} }, time.Hour, 100},
		{"also one that could push, but fails to", func(s *watched) backend.Backend { return neverPushes{s} }, 5 * time.Second, 800},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, waited := range []time.Duration{time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute, time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					store := &watched{Store: memory.New()}
					m := managerOn(t, tt.b(store), lease.WithRetryAfter(tt.retryAfter))
					held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: 24 * time.Hour})
					w := startWait(t.Context(), m, "k")
					joins := startWait(t.Context(), m, "k") // and costs one question more, at first
					time.Sleep(waited)
					w.mustWait(t)
					if n := store.gets.Load(); waited == time.Hour && (n > tt.atMost || n < tt.atMost/2) {
						t.Errorf("the store was asked %d times in an hour, want about %d at most", n, tt.atMost)
					}
					if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
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
		b := breaking(time.Minute)
		m := managerOn(t, b)
		held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: 24 * time.Hour})
		w := startWait(t.Context(), m, "k")
		time.Sleep(time.Hour - time.Second)
		w.mustWait(t)
		if n := b.watches.Load(); n < 50 || n > 60 {
			t.Errorf("%d watches in an hour, want one a minute, and a pause of up to 6 seconds after each", n)
		}
		b.breaks.Store(0)
		time.Sleep(2 * time.Minute)
		w.mustWait(t)
		if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w.mustReturn(t) // without delay: it was pushed
	})
	t.Run("and what ends in between is seen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := breaking(time.Minute)
			m := managerOn(t, b)
			held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: 24 * time.Hour})
			w := startWait(t.Context(), m, "k")
			time.Sleep(time.Minute + time.Millisecond)
			w.mustWait(t)
			if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
				t.Fatal(err)
			}
			w.mustWait(t)
			time.Sleep(7 * time.Second)
			w.mustReturn(t)
		})
	})
	t.Run("and one that breaks off at once, always, is not resumed all the time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := breaking(time.Nanosecond)
			m := managerOn(t, b)
			mustAcquire(t, m, "k", lease.AcquireOptions{TTL: 24 * time.Hour})
			w := startWait(t.Context(), m, "k")
			time.Sleep(time.Hour)
			w.mustWait(t)
			if n := b.watches.Load(); n > 1000 {
				t.Errorf("the store was asked for %d watches in an hour", n)
			}
		})
	})
}

// TestAWatchThatLags tells those who wait what is not so any more.
func TestAWatchThatLags(t *testing.T) {
	anew := func(t *testing.T, m *lease.Manager) lease.Lease {
		t.Helper()
		if err := m.Forget(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		return mustAcquire(t, m, "k", lease.AcquireOptions{})
	}
	end := func(t *testing.T, m *lease.Manager, held lease.Lease) {
		t.Helper()
		if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease)
	}{
		{"an absence that is over ends nothing", func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease) {
			early := startWait(t.Context(), m, "k")
			early.mustWait(t)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			early.mustWait(t)
			late.mustWait(t)
			b.tell <- b.state(t)
			late.mustWait(t)
			end(t, m, second)
			b.tell <- b.state(t)
			for _, w := range []*waiter{early, late} {
				if l, err := w.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != second.Token {
					t.Errorf("Wait returned %+v, %v", l, err)
				}
			}
		}},
		{"a completion ends only who waited for that lease", func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease) {
			early := startWait(t.Context(), m, "k")
			early.mustWait(t)
			end(t, m, held)
			completed := b.state(t)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- completed
			if l, err := early.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != held.Token {
				t.Errorf("who waited for the first lease got %+v, %v", l, err)
			}
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			late.mustWait(t)
			end(t, m, second)
			b.tell <- b.state(t)
			if l, err := late.mustReturn(t); err != nil || l.Token != second.Token {
				t.Errorf("who waited for the second lease got %+v, %v", l, err)
			}
		}},
		{"who joins a watch that has seen the end of an older lease waits", func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease) {
			lazy := make(chan struct{}) // somebody who is busy with the first state keeps the watch
			busy := make(chan struct{})
			go func() {
				defer close(lazy)
				for range m.Watch(t.Context(), "k") {
					<-busy
				}
			}()
			first := startWait(t.Context(), m, "k")
			first.mustWait(t)
			b.tell <- b.state(t)
			end(t, m, held)
			b.tell <- b.state(t)
			first.mustReturn(t)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			later := startWait(t.Context(), m, "k")
			late.mustWait(t)
			later.mustWait(t)
			end(t, m, second)
			b.tell <- b.state(t)
			for _, w := range []*waiter{late, later} {
				if l, err := w.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != second.Token {
					t.Errorf("Wait returned %+v, %v", l, err)
				}
			}
			close(busy)
			<-lazy
		}},
		// The watch need not tell the state between two absences, nor the second then.
		{"the second of two absences is found out", func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease) {
			w := startWait(t.Context(), m, "k")
			w.mustWait(t)
			anew(t, m)
			b.tell <- backend.Entry{Key: "default/k"}
			w.mustWait(t)
			if err := m.Forget(ctx, "k"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if l, err := w.mustReturn(t); err != nil || l.State != lease.StateNotFound {
				t.Errorf("Wait returned %+v, %v", l, err)
			}
		}},
		// The watch has not told of the long lease when the store does, and never tells of it.
		{"a deadline that comes before the one that the store told of", func(t *testing.T, b *scripted, m *lease.Manager, held lease.Lease) {
			if _, err := m.Extend(ctx, "k", held.LeaseID, time.Minute); err != nil {
				t.Fatal(err)
			}
			first := startWait(t.Context(), m, "k")
			first.mustWait(t)
			b.tell <- b.state(t)
			if _, err := m.Extend(ctx, "k", held.LeaseID, 24*time.Hour); err != nil {
				t.Fatal(err)
			}
			w := startWait(t.Context(), m, "k")
			w.mustWait(t)
			if _, err := m.Extend(ctx, "k", held.LeaseID, 10*time.Minute); err != nil {
				t.Fatal(err)
			}
			b.tell <- b.state(t)
			w.mustWait(t)
			time.Sleep(10 * time.Minute)
			w.mustReturn(t)
			first.mustReturn(t)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &scripted{Store: memory.New(), tell: make(chan backend.Entry)}
				m := managerOn(t, b)
				tt.run(t, b, m, mustAcquire(t, m, "k", lease.AcquireOptions{}))
			})
		})
	}
}

// TestWaitNeitherMissesAnEndNorMakesOneUp has a lease go through all that may happen to it, while the watch lags, and checks each who waits: the key was free at some moment
// of the wait, and the wait does not go on when it has been free for a while.
func TestWaitNeitherMissesAnEndNorMakesOneUp(t *testing.T) {
	const notice = 3 * time.Second // enough for the lag, or the pause between questions, and a second if it has to be asked again
	for _, tt := range []struct {
		name string
		b    func(*memory.Store, *rand.Rand) backend.Backend
	}{
		{"pushed", func(s *memory.Store, _ *rand.Rand) backend.Backend { return s }},
		{"pushed late, with states left out", func(s *memory.Store, r *rand.Rand) backend.Backend { return &skipping{s, r} }},
		{"asked", func(s *memory.Store, _ *rand.Rand) backend.Backend { return asked{s} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := 0
			for seed := range uint64(300) {
				random := rand.New(rand.NewPCG(seed, 1))
				synctest.Test(t, func(t *testing.T) {
					store := memory.New()
					holder := managerOn(t, store)
					m := managerOn(t, tt.b(store, rand.New(rand.NewPCG(seed, 2))), lease.WithRetryAfter(time.Second))
					type free struct{ from, to time.Time }
					frees := []free{{time.Now(), time.Time{}}} // to is zero while it lasts
					var held lease.Lease
					var all []*waiter
					isFree := func() bool {
						last := frees[len(frees)-1]
						if last.to.IsZero() {
							return true
						}
						if time.Now().Before(held.ExpiresAt) {
							return false
						}
						frees = append(frees, free{from: held.ExpiresAt})
						return true
					}
					must := func(err error) {
						t.Helper()
						if err != nil {
							t.Fatalf("seed %d: %v", seed, err)
						}
					}
					for range 60 {
						switch action, isFree := random.IntN(8), isFree(); {
						case action == 0:
							all = append(all, startWait(t.Context(), m, "k"))
						case action == 1, isFree && action < 5:
							if err := holder.Forget(ctx, "k"); err == nil && !isFree {
								frees = append(frees, free{from: time.Now()})
							}
							held = mustAcquire(t, holder, "k", lease.AcquireOptions{TTL: []time.Duration{time.Second, time.Minute, time.Hour}[random.IntN(3)]})
							frees[len(frees)-1].to = time.Now()
						case isFree:
						case action <= 3:
							var err error
							held, err = holder.Extend(ctx, "k", held.LeaseID, []time.Duration{time.Second, 5 * time.Second, time.Hour}[random.IntN(3)])
							must(err)
						case action == 4:
							must(holder.Forget(ctx, "k"))
							frees = append(frees, free{from: time.Now()})
						case action == 5:
							_, err := holder.Complete(ctx, "k", held.LeaseID, lease.Completion{})
							must(err)
							frees = append(frees, free{from: time.Now()})
						}
						switch random.IntN(4) {
						case 0: // no time passes, nor does anybody else come to run
						case 1:
							synctest.Wait()
						case 2:
							time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
						case 3:
							time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
						}
						synctest.Wait()
						if isFreeNow := isFree(); isFreeNow && time.Since(frees[len(frees)-1].from) > notice {
							for i, w := range all {
								if !w.ended() {
									t.Fatalf("seed %d: waiter %d goes on, though the key has been free for %v", seed, i, time.Since(frees[len(frees)-1].from))
								}
							}
						}
					}
					if !isFree() {
						must(holder.Forget(ctx, "k"))
						frees = append(frees, free{from: time.Now()})
					}
					time.Sleep(notice)
					frees[len(frees)-1].to = time.Now()
					for i, w := range all {
						if _, err := w.mustReturn(t); err != nil {
							t.Fatalf("seed %d: waiter %d: %v", seed, i, err)
						}
						if !slices.ContainsFunc(frees, func(f free) bool { return !f.from.After(w.to) && !f.to.Before(w.from) }) {
							t.Fatalf("seed %d: waiter %d, from %v to %v, returned %+v, but the key was never free: %v", seed, i, w.from, w.to, w.lease, frees)
						}
						if w.lease.State == lease.StateInProgress {
							t.Fatalf("seed %d: waiter %d returned %+v", seed, i, w.lease)
						}
						if w.to.After(w.from) {
							ended++
						}
					}
				})
			}
			if ended < 300 {
				t.Errorf("only %d waits had anything to wait for", ended)
			}
		})
	}
}

// take is what Watch yields, one line each.
func take(l lease.Lease, err error) string {
	if err != nil {
		return "error"
	}
	return strings.Join([]string{string(l.State), string(l.Metadata), string(l.Result)}, " ")
}

func TestWatchYieldsEachState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &watched{Store: memory.New()}
		m := managerOn(t, b)
		held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Minute, Metadata: json.RawMessage(`{"a":1}`)})
		var got []lease.Lease
		ended := false
		go func() {
			for l, err := range m.Watch(t.Context(), "k") {
				if err != nil {
					t.Error(err)
				}
				clear(l.Metadata) // it is a copy
				got = append(got, l)
			}
			ended = true
		}()
		count := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(got) != n || ended {
				t.Fatalf("Watch has yielded %+v, ended is %t, want %d", got, ended, n)
			}
		}
		count(1)
		time.Sleep(30 * time.Second)
		count(1)
		if _, err := m.Extend(ctx, "k", held.LeaseID, time.Hour); err != nil {
			t.Fatal(err)
		}
		count(2)
		if got[0].Version != 1 || got[1].Version != 2 || got[1].TTLLeft != time.Hour || got[1].State != lease.StateInProgress {
			t.Errorf("Watch has yielded %+v", got)
		}
		if l, err := m.Status(ctx, "k"); err != nil || string(l.Metadata) != `{"a":1}` {
			t.Errorf("status is %+v, %v", l, err)
		}
		time.Sleep(time.Minute)
		if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`7`)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !ended || len(got) != 3 || got[2].State != lease.StateCompleted || string(got[2].Result) != "7" {
			t.Errorf("Watch has yielded %+v, ended is %t", got, ended)
		}
		if b.watching.Load() != 0 {
			t.Error("a watch goes on")
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, m *lease.Manager, store *shaky, held lease.Lease)
		want []string
	}{
		{"with an expiry", func(*testing.T, *lease.Manager, *shaky, lease.Lease) {}, []string{"in_progress  ", "expired  "}},
		{"with an absence", func(t *testing.T, m *lease.Manager, _ *shaky, _ lease.Lease) {
			if err := m.Forget(ctx, "k"); err != nil {
				t.Error(err)
			}
		}, []string{"in_progress  ", "not_found  "}},
		{"with a failure", func(t *testing.T, m *lease.Manager, _ *shaky, held lease.Lease) {
			if _, err := m.Cancel(ctx, "k", held.LeaseID, ""); err != nil {
				t.Error(err)
			}
		}, []string{"in_progress  ", "failed  "}},
		{"with an error", func(_ *testing.T, _ *lease.Manager, store *shaky, _ lease.Lease) { store.away.Store(true) }, []string{"in_progress  ", "error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &shaky{Store: memory.New()}
				m := managerOn(t, store)
				held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Minute})
				time.AfterFunc(time.Second, func() { tt.do(t, m, store, held) })
				var got []string
				for l, err := range m.Watch(t.Context(), "k") {
					got = append(got, take(l, err))
					var e *lease.Error
					if err != nil && (!errors.Is(err, lease.ErrUnavailable) || !errors.As(err, &e) || e.Op != "watch" || l.Key != "") {
						t.Errorf("with %+v came %v", l, err)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("Watch yielded %q, want %q", got, tt.want)
				}
			})
		})
	}
	t.Run("at once when nothing is in progress, with that", func(t *testing.T) {
		m := managerOn(t, memory.New())
		var got []string
		for l, err := range m.Watch(ctx, "k") {
			got = append(got, take(l, err))
		}
		if !slices.Equal(got, []string{"not_found  "}) {
			t.Errorf("Watch yielded %q", got)
		}
	})
	t.Run("at once with an error for a key that cannot be", func(t *testing.T) {
		n := 0
		for l, err := range managerOn(t, memory.New()).Watch(ctx, "") {
			n++
			isInvalid(t, err, "key", "0 characters")
			if l.State != "" {
				t.Errorf("with the error came %+v", l)
			}
		}
		if n != 1 {
			t.Errorf("%d were yielded", n)
		}
	})
	t.Run("when its caller has seen enough, at any state", func(t *testing.T) {
		for enough := range 3 {
			synctest.Test(t, func(t *testing.T) {
				b := &watched{Store: memory.New()}
				m := managerOn(t, b)
				held := mustAcquire(t, m, "k", lease.AcquireOptions{})
				time.AfterFunc(time.Second, func() {
					if _, err := m.Extend(ctx, "k", held.LeaseID, 0); err != nil {
						t.Error(err)
					}
				})
				time.AfterFunc(2*time.Second, func() {
					if err := m.Forget(ctx, "k"); err != nil {
						t.Error(err)
					}
				})
				n := 0
				for range m.Watch(t.Context(), "k") {
					if n == enough {
						break
					}
					n++
				}
				synctest.Wait()
				if n != enough || b.watching.Load() != 0 {
					t.Errorf("%d states, want %d; %d watches go on", n, enough, b.watching.Load())
				}
				time.Sleep(2 * time.Second)
			})
		}
	})
	t.Run("with the context's error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := managerOn(t, memory.New())
			mustAcquire(t, m, "k", lease.AcquireOptions{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var last error
			n := 0
			for _, last = range m.Watch(ctx, "k") {
				n++
			}
			if n != 2 || !errors.Is(last, context.DeadlineExceeded) {
				t.Errorf("%d yielded, the last with %v", n, last)
			}
		})
	})
}

// watched counts what the store is asked.
type watched struct {
	*memory.Store
	gets, watches, watching atomic.Int64
	breaks                  atomic.Int64 // how long a watch lasts, in nanoseconds; 0 for as long as it is wanted
}

// breaking is a store whose watches last so long.
func breaking(after time.Duration) *watched {
	s := &watched{Store: memory.New()}
	s.breaks.Store(int64(after))
	return s
}

func (s *watched) Get(ctx context.Context, key string) (backend.Entry, error) {
	s.gets.Add(1)
	return s.Store.Get(ctx, key)
}

func (s *watched) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	s.watches.Add(1)
	s.watching.Add(1)
	context.AfterFunc(ctx, func() { s.watching.Add(-1) })
	if breaks := s.breaks.Load(); breaks > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(breaks))
		context.AfterFunc(ctx, cancel)
	}
	return s.Store.Watch(ctx, key)
}

// asked hides that a store pushes.
type asked struct{ backend.Backend }

// neverPushes fails to watch.
type neverPushes struct{ backend.Backend }

func (neverPushes) Watch(context.Context, string) (<-chan backend.Entry, error) {
	return nil, backend.ErrUnavailable
}

// shaky cannot be read while it is away. Its watches go on.
type shaky struct {
	*memory.Store
	away atomic.Bool
}

func (s *shaky) Get(ctx context.Context, key string) (backend.Entry, error) {
	if s.away.Load() {
		return backend.Entry{}, backend.ErrUnavailable
	}
	return s.Store.Get(ctx, key)
}

// scripted is a store whose watch tells what the test has it tell.
type scripted struct {
	*memory.Store
	tell chan backend.Entry
}

func (s *scripted) Watch(ctx context.Context, _ string) (<-chan backend.Entry, error) {
	states := make(chan backend.Entry)
	go func() {
		defer close(states)
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-s.tell:
				states <- e // the watch always takes it
			}
		}
	}()
	return states, nil
}

func (s *scripted) state(t *testing.T) backend.Entry {
	t.Helper()
	e, err := s.Get(ctx, "default/k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// skipping is a store whose watches are late, and leave out what they may: all but the newest state, and that too if it is an absence after another.
type skipping struct {
	*memory.Store
	random *rand.Rand // used by the one watch there is
}

func (s *skipping) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	fresh, err := s.Store.Watch(ctx, key)
	if err != nil {
		return nil, err
	}
	states := make(chan backend.Entry)
	late := make([]time.Duration, 64)
	for i := range late {
		late[i] = time.Duration(s.random.IntN(300)) * time.Millisecond
	}
	go func() {
		defer close(states)
		var last *backend.Entry
		for i := 0; ; i++ {
			time.Sleep(late[i%len(late)])
			e, ok := <-fresh
			if !ok {
				return
			}
			if last != nil && last.Revision == e.Revision {
				continue
			}
			last = &e
			states <- e
		}
	}()
	return states, nil
}
