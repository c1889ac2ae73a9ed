package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// How Do acquires a lease while the store has a bad day.

// TestAnAcquireWhoseAnswerIsLost is asked for again with its nonce: nobody would do the work for a
// whole TTL if Do gave up.
func TestAnAcquireWhoseAnswerIsLost(t *testing.T) {
	bubbleWith(t, "until the store is back", func(t *testing.T, b *scriptedStore) {
		b.lost.Store(true)
		time.AfterFunc(10*time.Second, func() { b.lost.Store(false) })
		n, err := mustRun(t, t.Context(), host(t, b), "k", nil, attempt)
		if n != 1 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
	})
	bubbleWith(t, "for half a minute", func(t *testing.T, b *scriptedStore) {
		b.lost.Store(true)
		begun := time.Now()
		_, err := mustNotRun[int](t, t.Context(), host(t, b), "k", nil)
		mustNotFail(t, err, lease.ErrUnknownOutcome)
		if took := time.Since(begun); took < 30*time.Second || took > 45*time.Second {
			t.Errorf("it took %v", took)
		}
	})
	bubbleWith(t, "and each outage has its half minute", func(t *testing.T, b *scriptedStore) {
		other := host(t, b.Store)
		var bad atomic.Bool
		b.before = func(context.Context) error { // requests get lost
			if bad.Load() {
				return errLostAnswer
			}
			return nil
		}
		bad.Store(true)
		begun := time.Now()
		go func() {
			time.Sleep(4 * time.Second) // the first acquire has an unknown outcome
			l := mustTake(t, other, "k", nil)
			bad.Store(false)
			time.Sleep(time.Minute)
			bad.Store(true)
			if _, err := other.Release(bg, "k", l.LeaseID); err != nil {
				t.Error(err)
			}
			time.Sleep(20 * time.Second)
			bad.Store(false)
		}()
		n, err := mustRun(t, t.Context(), host(t, b), "k", nil, attempt)
		if took := time.Since(begun); n != 2 || err != nil || took < 84*time.Second {
			t.Errorf("attempt %d, %v after %v", n, err, took)
		}
	})
	bubbleWith(t, "and taken over meanwhile it is asked for anew", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		b.lost.Store(true)
		time.AfterFunc(10*time.Second, func() {
			l := status(t, other, "k")
			if _, err := other.Release(context.Background(), "k", l.LeaseID); err != nil {
				t.Error(err)
			}
			l = mustTake(t, other, "k", &lease.AcquireOptions{TTL: time.Minute})
			b.lost.Store(false)
			time.AfterFunc(10*time.Second, func() {
				if _, err := other.Complete(context.Background(), "k", l.LeaseID, lease.Completion{Result: "theirs"}); err != nil {
					t.Error(err)
				}
			})
		})
		if v, err := mustNotRun[string](t, t.Context(), m, "k", nil); v != "theirs" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
	})
	bubbleWith(t, "and released by another meanwhile it is asked for anew", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		b.lost.Store(true)
		time.AfterFunc(10*time.Second, func() {
			if _, err := other.Release(context.Background(), "k", status(t, other, "k").LeaseID); err != nil {
				t.Error(err)
			}
			b.lost.Store(false)
		})
		time.AfterFunc(time.Minute, func() { b.Close() }) // for a Do that asks for ever
		n, err := mustRun(t, t.Context(), m, "k", nil, attempt)
		if n != 2 || err != nil || b.reads.Load() > 1000 {
			t.Errorf("attempt %d, %v, after %d reads", n, err, b.reads.Load())
		}
	})
}

// TestAnAcquireThatIsAnsweredTooLate: the lease is about over, and cannot be extended either.
func TestAnAcquireThatIsAnsweredTooLate(t *testing.T) {
	bubbleWith(t, "it is acquired anew", func(t *testing.T, b *scriptedStore) {
		b.always = func(w write) (uint64, error) {
			r, err := w.apply()
			if b.writes.Load() == 1 {
				time.Sleep(4900 * time.Millisecond)
				b.away.Store(true)
				time.AfterFunc(10*time.Second, func() { b.away.Store(false) })
			}
			return r, err
		}
		begun := time.Now()
		n, err := mustRun(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: 5 * time.Second}, attempt)
		if took := time.Since(begun); n != 2 || err != nil || took < 14*time.Second || took > 18*time.Second {
			t.Errorf("attempt %d, %v after %v", n, err, took)
		}
	})
}

// TestAWaiterOutlivesARefusal: who has waited for long does not give up for a moment.
func TestAWaiterOutlivesARefusal(t *testing.T) {
	bubbleWith(t, "of its acquire", func(t *testing.T, b *scriptedStore) {
		mustTake(t, host(t, b.Store), "k", &lease.AcquireOptions{TTL: time.Minute})
		var once atomic.Bool
		b.before = func(context.Context) error {
			if once.CompareAndSwap(true, false) {
				return backend.ErrUnavailable
			}
			return nil
		}
		time.AfterFunc(time.Second, func() { once.Store(true) })
		n, err := mustRun(t, t.Context(), host(t, b), "k", nil, attempt)
		if n != 2 || err != nil || once.Load() {
			t.Errorf("attempt %d, %v; was refused: %t", n, err, !once.Load())
		}
	})
}
