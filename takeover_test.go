package lease_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func TestTakeover(t *testing.T) {
	b := memory.New()
	m, clock := newManager(t, b)
	other, err := lease.NewManager(b, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	first := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(time.Minute)
	if l, err := other.Status(ctx, "k"); err != nil || l.State != lease.StateExpired || l.TTLLeft != 0 {
		t.Fatalf("status past the deadline: %+v, %v", l, err)
	}
	second := mustAcquire(t, other, "k", &lease.AcquireOptions{TTL: time.Minute})
	if second.Attempt != 2 || second.Version != 2 || second.Token <= first.Token || second.LeaseID == first.LeaseID || !second.FirstSeenAt.Equal(t0) {
		t.Fatalf("taken over: %+v\nfrom %+v", second, first)
	}
	_, err = m.Complete(ctx, "k", first.LeaseID, lease.Completion{})
	var e *lease.Error
	if !errors.Is(err, lease.ErrLost) || !errors.As(err, &e) || e.Lease.Token != second.Token {
		t.Fatalf("the former holder's completion: %v, %+v", err, e)
	}
	if want := `lease: complete "k": lease lost: held under another lease id, version 2`; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestLateHolderIsAcceptedIfNobodyTookOver(t *testing.T) {
	for _, once := range []bool{false, true} {
		m, clock := newManager(t, memory.New())
		held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: once})
		clock.Advance(time.Hour)
		if l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil || l.State != lease.StateCompleted {
			t.Errorf("at most once %t: a late completion: %+v, %v", once, l, err)
		}
	}
}

func TestClockSkewDelaysTheTakeover(t *testing.T) {
	m, clock := newManager(t, memory.New(), lease.WithClockSkew(10*time.Second))
	mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(69 * time.Second)
	l, acquired, err := m.Acquire(ctx, "k", nil)
	if err != nil || acquired || l.State != lease.StateInProgress || l.TTLLeft != 0 || l.RetryAfter != time.Second {
		t.Fatalf("within the skew: acquired is %t, error %v, lease %+v", acquired, err, l)
	}
	clock.Advance(time.Second)
	mustAcquire(t, m, "k", nil)
}
