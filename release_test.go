package lease_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func TestRelease(t *testing.T) {
	store := memory.New()
	m, clock := newManager(t, store, lease.WithClockSkew(10*time.Second))
	other, err := lease.NewManager(store, lease.WithClock(clock), lease.WithClockSkew(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Hour, Nonce: "n"})
	clock.Advance(time.Minute)
	want := held
	want.State, want.Released, want.Version, want.TTLLeft, want.ExpiresAt = lease.StateExpired, true, 2, 0, clock.Now()
	for range 2 { // the second time, as after a lost answer, it succeeds and changes nothing
		l, err := m.Release(ctx, "k", held.LeaseID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, l, want)
	}
	status, err := other.Status(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	same(t, status, want)
	_, err = m.Extend(ctx, "k", held.LeaseID, nil)
	if want := `lease: extend "k": lease lost: released at version 2`; !errors.Is(err, lease.ErrLost) || err.Error() != want {
		t.Errorf("extending what was released: %v, want %s", err, want)
	}
	if l, acquired, err := m.Acquire(ctx, "k", &lease.AcquireOptions{Nonce: "n"}); err != nil || acquired || l.State != lease.StateInProgress || l.Released {
		t.Errorf("the released call once more: acquired is %t, error %v, lease %+v; want polling", acquired, err, l)
	}
	next := mustAcquire(t, other, "k", nil) // at once, whatever the clock skew
	if next.Attempt != 2 || next.Version != 3 || next.Token <= held.Token || next.Released || next.Failures != 0 {
		t.Errorf("the next has %+v", next)
	}
	// The release is remembered as long as the next lease stands.
	if _, err := other.Extend(ctx, "k", next.LeaseID, nil); err != nil {
		t.Fatal(err)
	}
	if l, err := m.Release(ctx, "k", held.LeaseID); err != nil || l.Version != 2 || !l.Released || l.Token != held.Token {
		t.Errorf("released once more after another acquired: %v, %+v", err, l)
	}
	if _, err := other.Complete(ctx, "k", next.LeaseID, lease.Completion{}); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Release(ctx, "k", next.LeaseID); !errors.Is(err, lease.ErrFinished) {
		t.Errorf("releasing what has completed: %v, want ErrFinished", err)
	}
}

// TestAtMostOnceAndWhatWasHalfDone has an at-most-once caller meet plain work, and the other way
// round.
func TestAtMostOnceAndWhatWasHalfDone(t *testing.T) {
	type ending func(m *lease.Manager, l lease.Lease) error
	var expires ending // it just goes silent
	releases := func(m *lease.Manager, l lease.Lease) error { _, err := m.Release(ctx, "k", l.LeaseID); return err }
	fails := func(retryable bool) ending {
		return func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Fail(ctx, "k", l.LeaseID, lease.Failure{Code: "declined", Retryable: retryable})
			return err
		}
	}
	for _, tt := range []struct {
		name   string
		once   bool // the first lease is at most once
		end    ending
		asks   lease.AcquireOptions
		code   string // of the failure that is told; "" if the lease is acquired
		failed int    // how many failures are told of
	}{
		{"a plain lease that expired, for at most once", false, expires, lease.AcquireOptions{AtMostOnce: true}, "expired", 0},
		{"a plain lease that was released, for at most once", false, releases, lease.AcquireOptions{AtMostOnce: true}, "released", 0},
		{"a plain lease that failed retryably, for at most once", false, fails(true), lease.AcquireOptions{AtMostOnce: true}, "declined", 1},
		{"a plain lease that expired, for at most once, by who has looked", false, expires, lease.AcquireOptions{AtMostOnce: true, RetryFailed: true}, "", 0},
		{"a plain lease that was released, for at most once, by who has looked", false, releases, lease.AcquireOptions{AtMostOnce: true, RetryFailed: true}, "", 0},
		{"a plain lease that failed retryably, for at most once, by who has looked", false, fails(true), lease.AcquireOptions{AtMostOnce: true, RetryFailed: true}, "", 0},
		{"an at-most-once lease that expired", true, expires, lease.AcquireOptions{}, "expired", 0},
		{"an at-most-once lease that expired, for at most once", true, expires, lease.AcquireOptions{AtMostOnce: true}, "expired", 0},
		{"an at-most-once lease that expired, by who has looked", true, expires, lease.AcquireOptions{RetryFailed: true}, "", 0},
		{"an at-most-once lease that was released", true, releases, lease.AcquireOptions{AtMostOnce: true}, "", 0},
		{"an at-most-once lease that failed retryably", true, fails(true), lease.AcquireOptions{AtMostOnce: true}, "", 1},
		{"an at-most-once lease that failed for good", true, fails(false), lease.AcquireOptions{AtMostOnce: true}, "declined", 1},
		{"a plain lease that failed for good", false, fails(false), lease.AcquireOptions{}, "declined", 1},
		{"a plain lease that failed retryably", false, fails(true), lease.AcquireOptions{}, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, clock := newManager(t, memory.New())
			first := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: tt.once})
			if tt.end != nil {
				if err := tt.end(m, first); err != nil {
					t.Fatal(err)
				}
			}
			ended := clock.Now()
			if tt.end == nil {
				ended = ended.Add(time.Minute)
			}
			clock.Advance(2 * time.Minute)
			l, acquired, err := m.Acquire(ctx, "k", &tt.asks)
			if err != nil || acquired != (tt.code == "") || l.Failures != tt.failed {
				t.Fatalf("acquired is %t, error %v, lease %+v", acquired, err, l)
			}
			if acquired {
				if l.State != lease.StateInProgress || l.Attempt != 2 || l.AtMostOnce != tt.asks.AtMostOnce {
					t.Errorf("lease is %+v", l)
				}
				return
			}
			if l.State != lease.StateFailed || l.ErrorCode != tt.code || !l.DoneAt.Equal(ended) || l.RetryAfter != 0 || l.LeaseID != first.LeaseID {
				t.Errorf("told of %+v", l)
			}
			if got := lease.Code(l.DecodeResult(nil)); got != tt.code {
				t.Errorf("Code of what is told is %q, want %q", got, tt.code)
			}
		})
	}
}
