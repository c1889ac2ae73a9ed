package lease_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func TestInputMismatch(t *testing.T) {
	m, _ := newManager(t, memory.New())
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{Input: map[string]int{"a": 1, "b": 2}})
	// The same input in another shape is shared.
	l, acquired, err := m.Acquire(ctx, "k", &lease.AcquireOptions{Input: json.RawMessage(`{"b": 2.0, "a": 1}`)})
	if err != nil || acquired || l.LeaseID != held.LeaseID || l.InputHash != held.InputHash {
		t.Errorf("the same input: acquired is %t, error %v, lease %+v", acquired, err, l)
	}
	l, acquired, err = m.Acquire(ctx, "k", &lease.AcquireOptions{InputHash: held.InputHash})
	if err != nil || acquired || l.LeaseID != held.LeaseID {
		t.Errorf("its hash: acquired is %t, error %v, lease %+v", acquired, err, l)
	}
	_, _, err = m.Acquire(ctx, "k", &lease.AcquireOptions{Input: map[string]int{"a": 2}})
	if e, ok := errors.AsType[*lease.Error](err); !errors.Is(err, lease.ErrInputMismatch) || !ok || e.Lease.LeaseID != held.LeaseID {
		t.Errorf("another input: error is %+v, want ErrInputMismatch", err)
	}
}

func TestReplace(t *testing.T) {
	store := memory.New()
	m, clock := newManager(t, store)
	other, err := lease.NewManager(store, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	asks := func(hash, nonce string) *lease.AcquireOptions {
		return &lease.AcquireOptions{InputHash: hash, Nonce: nonce, Replace: true}
	}
	first := mustAcquire(t, m, "k", asks("i1", "n1"))
	if _, err := m.Extend(ctx, "k", first.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`1`)}); err != nil {
		t.Fatal(err)
	}
	l, acquired, err := other.Acquire(ctx, "k", asks("i1", "n2"))
	if err != nil || acquired || l.LeaseID != first.LeaseID {
		t.Fatalf("the same input: acquired is %t, error %v, lease %+v; want it shared", acquired, err, l)
	}
	clock.Advance(time.Second)
	second := mustAcquire(t, other, "k", asks("i2", "n2"))
	if second.Attempt != 2 || second.Version != 3 || second.Token <= first.Token || second.InputHash != "i2" || !second.FirstSeenAt.Equal(t0) || second.Checkpoint != nil {
		t.Errorf("replaced by %+v", second)
	}
	// Everything that the old holder asks for is lost, and nothing of it is written.
	for name, call := range map[string]func() (lease.Lease, error){
		"extend": func() (lease.Lease, error) { return m.Extend(ctx, "k", first.LeaseID, nil) },
		"save": func() (lease.Lease, error) {
			return m.Extend(ctx, "k", first.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`2`)})
		},
		"release":  func() (lease.Lease, error) { return m.Release(ctx, "k", first.LeaseID) },
		"complete": func() (lease.Lease, error) { return m.Complete(ctx, "k", first.LeaseID, lease.Completion{}) },
		"fail":     func() (lease.Lease, error) { return m.Fail(ctx, "k", first.LeaseID, lease.Failure{Code: "c"}) },
	} {
		if _, err := call(); !errors.Is(err, lease.ErrLost) {
			t.Errorf("%s by the old holder: %v, want ErrLost", name, err)
		}
	}
	// The older input does not come back over the newer one, though its answer was lost.
	if _, acquired, err := m.Acquire(ctx, "k", asks("i1", "n1")); acquired || !errors.Is(err, lease.ErrLost) {
		t.Errorf("the replaced call once more: acquired is %t, error %v; want ErrLost", acquired, err)
	}
	if again := mustAcquire(t, other, "k", asks("i2", "n2")); again.LeaseID != second.LeaseID || again.Version != 3 {
		t.Errorf("the replacing call once more: %+v", again)
	}
	if _, err := other.Complete(ctx, "k", second.LeaseID, lease.Completion{Result: "two"}); err != nil {
		t.Fatal(err)
	}
	// A result of other input is replaced too.
	if third := mustAcquire(t, m, "k", asks("i3", "n3")); third.Attempt != 3 || third.Result != nil || third.Version != 5 {
		t.Errorf("after completion: %+v", third)
	}
}

func TestReplaceLeavesAtMostOnceAlone(t *testing.T) {
	m, clock := newManager(t, memory.New())
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{InputHash: "i1", AtMostOnce: true, TTL: time.Minute})
	newer := &lease.AcquireOptions{InputHash: "i2", Replace: true}
	for _, state := range []lease.State{lease.StateInProgress, lease.StateFailed} {
		_, acquired, err := m.Acquire(ctx, "k", newer)
		e, ok := errors.AsType[*lease.Error](err)
		if acquired || !errors.Is(err, lease.ErrInputMismatch) || !ok || e.Lease.State != state || e.Lease.LeaseID != held.LeaseID {
			t.Errorf("%s: acquired is %t, error %+v; want ErrInputMismatch", state, acquired, err)
		}
		clock.Advance(time.Hour)
	}
}
