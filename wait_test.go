package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// The tests here run in bubbles, by whose clock everything takes exactly as long as it has to wait.
// A bubble fails a test that leaves a goroutine behind.

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
			l := mustTake(t, m, "k", nil)
			if _, err := m.Complete(bg, "k", l.LeaseID, lease.Completion{Result: json.RawMessage(`1`)}); err != nil {
				t.Fatal(err)
			}
		}, lease.StateCompleted},
		{"it has failed", func(t *testing.T, m *lease.Manager) {
			l := mustTake(t, m, "k", nil)
			if _, err := m.Cancel(bg, "k", l.LeaseID, ""); err != nil {
				t.Fatal(err)
			}
		}, lease.StateFailed},
		{"it has expired", func(t *testing.T, m *lease.Manager) {
			mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Second})
			time.Sleep(time.Second)
		}, lease.StateExpired},
		{"it was released", func(t *testing.T, m *lease.Manager) {
			l := mustTake(t, m, "k", nil)
			if _, err := m.Release(bg, "k", l.LeaseID); err != nil {
				t.Fatal(err)
			}
		}, lease.StateExpired},
		{"it expired as one that may be had once", func(t *testing.T, m *lease.Manager) {
			mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Second, AtMostOnce: true})
			time.Sleep(time.Second)
		}, lease.StateFailed},
		{"its retention is over", func(t *testing.T, m *lease.Manager) {
			mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Second})
			time.Sleep(8 * 24 * time.Hour)
		}, lease.StateNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newScriptedStore()
				m := host(t, b)
				tt.set(t, m)
				gets := b.reads.Load()
				w := startWait(t.Context(), m, "k")
				l, err := w.mustReturn(t)
				if err != nil || l.State != tt.want || l.Key != "k" {
					t.Errorf("Wait returned %+v, %v, want %s", l, err, tt.want)
				}
				result, err := m.Status(bg, "k")
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(l, result) {
					t.Errorf("Wait returned %+v, Status says %+v", l, result)
				}
				if n := b.reads.Load() - gets; n != 2 || b.watches.Load() != 0 {
					t.Errorf("%d reads, %d watches; want one read, and one of Status", n, b.watches.Load())
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
			_, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: ttl})
			return err
		}
	}
	done := func(m, _ *lease.Manager, held lease.Lease) error {
		_, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`{"n":1}`)})
		return err
	}
	// The other does not allow for the clocks to differ.
	takeOver := func(ttl time.Duration) func(_, other *lease.Manager, _ lease.Lease) error {
		return func(_, other *lease.Manager, _ lease.Lease) error {
			_, acquired, err := other.Acquire(bg, "k", &lease.AcquireOptions{TTL: ttl})
			if err == nil && !acquired {
				err = errors.New("not taken over")
			}
			return err
		}
	}
	replace := func(ttl time.Duration) func(_, other *lease.Manager, _ lease.Lease) error {
		return func(_, other *lease.Manager, _ lease.Lease) error {
			_, acquired, err := other.Acquire(bg, "k", &lease.AcquireOptions{TTL: ttl, InputHash: "newer", Replace: true})
			if err == nil && !acquired {
				err = errors.New("not replaced")
			}
			return err
		}
	}
	const skew = 10 * time.Second
	for _, tt := range []struct {
		name  string
		opt   *lease.AcquireOptions
		steps []step
		want  lease.Lease   // what matters of it
		after time.Duration // of the last step
	}{
		{"it is completed", nil, []step{{time.Minute, done}},
			lease.Lease{State: lease.StateCompleted, Version: 2, Result: json.RawMessage(`{"n":1}`)}, 0},
		{"it is failed", nil, []step{{time.Minute, func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Fail(bg, "k", held.LeaseID, lease.Failure{Code: "c"})
			return err
		}}}, lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "c"}, 0},
		{"it is cancelled", nil, []step{{time.Minute, func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Cancel(bg, "k", held.LeaseID, "")
			return err
		}}}, lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "canceled"}, 0},
		{"it is released, which another may take over at once", nil, []step{{time.Minute, func(m, _ *lease.Manager, held lease.Lease) error {
			_, err := m.Release(bg, "k", held.LeaseID)
			return err
		}}}, lease.Lease{State: lease.StateExpired, Version: 2}, 0},
		{"it is replaced, and the newer one completes", &lease.AcquireOptions{InputHash: "older"}, []step{{time.Minute, replace(time.Hour)}, {time.Minute, func(_, other *lease.Manager, _ lease.Lease) error {
			l, err := other.Status(bg, "k")
			if err == nil {
				_, err = other.Complete(bg, "k", l.LeaseID, lease.Completion{})
			}
			return err
		}}}, lease.Lease{State: lease.StateCompleted, Version: 3}, 0},
		{"it is replaced, and the newer one expires sooner", &lease.AcquireOptions{TTL: time.Hour, InputHash: "older"}, []step{{time.Minute, replace(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it is replaced, and the newer one expires later", &lease.AcquireOptions{TTL: time.Minute, InputHash: "older"}, []step{{time.Second, replace(time.Hour)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Hour + skew},
		{"it is forgotten", nil, []step{{time.Minute, func(m, _ *lease.Manager, _ lease.Lease) error { return m.Forget(bg, "k") }}},
			lease.Lease{State: lease.StateNotFound}, 0},
		{"it expires, which is not told before another may have it", &lease.AcquireOptions{TTL: time.Minute}, []step{{0, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it expires as one that may be had once", &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true}, []step{{0, extend(time.Minute)}},
			lease.Lease{State: lease.StateFailed, Version: 2, ErrorCode: "expired"}, time.Minute + skew},
		{"it is extended, and expires later", &lease.AcquireOptions{TTL: time.Minute}, []step{{30 * time.Second, extend(time.Minute)}, {59 * time.Second, extend(time.Hour)}},
			lease.Lease{State: lease.StateExpired, Version: 3}, time.Hour + skew},
		{"it is extended past its deadline", &lease.AcquireOptions{TTL: time.Minute}, []step{{65 * time.Second, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it is shortened, and expires sooner", &lease.AcquireOptions{TTL: time.Hour}, []step{{time.Minute, extend(time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Minute + skew},
		{"it is extended, and then shortened", &lease.AcquireOptions{TTL: time.Minute}, []step{{time.Second, extend(time.Hour)}, {time.Second, extend(10 * time.Minute)}},
			lease.Lease{State: lease.StateExpired, Version: 3}, 10*time.Minute + skew},
		{"it is taken over, and the other completes it", &lease.AcquireOptions{TTL: time.Minute}, []step{{time.Minute, takeOver(time.Minute)}, {65 * time.Second, func(_, other *lease.Manager, _ lease.Lease) error {
			l, err := other.Status(bg, "k")
			if err == nil {
				_, err = other.Complete(bg, "k", l.LeaseID, lease.Completion{})
			}
			return err
		}}}, lease.Lease{State: lease.StateCompleted, Version: 3}, 0},
		{"it is taken over, and expires again", &lease.AcquireOptions{TTL: time.Hour}, []step{{time.Hour, takeOver(time.Second)}},
			lease.Lease{State: lease.StateExpired, Version: 2}, time.Second + skew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				m, other := host(t, store, lease.WithClockSkew(skew)), host(t, store)
				held := mustTake(t, m, "k", tt.opt)
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

func TestAThousandWhoWaitShareOneWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScriptedStore()
		m := host(t, b)
		held := mustTake(t, m, "k", nil)
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
		if _, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		all[1].mustWait(t)
		if n := b.watches.Load(); n != 1 {
			t.Errorf("the store was asked for %d watches", n)
		}
		if n := b.reads.Load(); n != 1000 {
			t.Errorf("the store was read %d times, want once by each", n)
		}
		if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`"done"`)}); err != nil {
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
		other := mustTake(t, m, "l", nil)
		w := startWait(t.Context(), m, "l")
		w.mustWait(t)
		if n := b.watches.Load(); n != 2 {
			t.Errorf("%d watches in all, want 2", n)
		}
		if _, err := m.Complete(bg, "l", other.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w.mustReturn(t)
	})
}

// TestNamespacesShareWatchesOfTheirOwnKeysOnly has two namespaces wait for the same key.
func TestNamespacesShareWatchesOfTheirOwnKeysOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScriptedStore()
		one := host(t, b)
		two, err := one.InNamespace("two")
		if err != nil {
			t.Fatal(err)
		}
		again, err := two.InNamespace("default")
		if err != nil {
			t.Fatal(err)
		}
		held, elsewhere := mustTake(t, one, "k", nil), mustTake(t, two, "k", nil)
		w1, w2, w3 := startWait(t.Context(), one, "k"), startWait(t.Context(), two, "k"), startWait(t.Context(), again, "k")
		w1.mustWait(t)
		if n := b.watches.Load(); n != 2 {
			t.Errorf("%d watches, want one for each namespace", n)
		}
		if _, err := one.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w1.mustReturn(t)
		w3.mustReturn(t)
		w2.mustWait(t)
		if _, err := two.Complete(bg, "k", elsewhere.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		w2.mustReturn(t)
	})
}
