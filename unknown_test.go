package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// TestUnknownOutcomesAreSettled runs every operation that writes through every bad day that ends.
// Each must end as on a good day.
func TestUnknownOutcomesAreSettled(t *testing.T) {
	operations := []struct {
		name string
		do   func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error)
		want lease.Lease // what matters of it
	}{
		{"acquire", func(t *testing.T, m *lease.Manager, _ string) (lease.Lease, error) {
			return mustAcquire(t, m, "fresh", nil), nil
		}, lease.Lease{State: lease.StateInProgress, Version: 1}},
		{"replace", func(t *testing.T, m *lease.Manager, _ string) (lease.Lease, error) {
			return mustAcquire(t, m, "k", &lease.AcquireOptions{InputHash: "i2", Replace: true}), nil
		}, lease.Lease{State: lease.StateInProgress, Version: 2}},
		{"extend", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) {
			return m.Extend(ctx, "k", id, &lease.ExtendOptions{TTL: time.Minute})
		},
			lease.Lease{State: lease.StateInProgress, Version: 2}},
		{"save", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) {
			return m.Extend(ctx, "k", id, &lease.ExtendOptions{Checkpoint: json.RawMessage(`1`), CheckpointSeq: 1})
		}, lease.Lease{State: lease.StateInProgress, Version: 2}},
		{"release", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) { return m.Release(ctx, "k", id) },
			lease.Lease{State: lease.StateExpired, Version: 2}},
		{"complete", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) {
			return m.Complete(ctx, "k", id, lease.Completion{})
		}, lease.Lease{State: lease.StateCompleted, Version: 2}},
		{"fail", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) {
			return m.Fail(ctx, "k", id, lease.Failure{Code: "c"})
		}, lease.Lease{State: lease.StateFailed, Version: 2}},
		{"cancel", func(t *testing.T, m *lease.Manager, id string) (lease.Lease, error) {
			return m.Cancel(ctx, "k", id, "")
		},
			lease.Lease{State: lease.StateFailed, Version: 2}},
		{"forget", func(t *testing.T, m *lease.Manager, _ string) (lease.Lease, error) {
			if err := m.Forget(ctx, "k"); err != nil {
				return lease.Lease{}, err
			}
			return m.Status(ctx, "k")
		}, lease.Lease{State: lease.StateNotFound}},
	}
	held1, after1 := late()
	held2, after2 := lateBefore()
	for _, d := range []struct {
		name string
		plan []day
	}{
		{"a good day", nil},
		{"the answer is lost", []day{answerLost}},
		{"the request is lost", []day{requestLost}},
		{"both are lost, again and again", []day{requestLost, requestLost, answerLost, answerLost, requestLost, answerLost}},
		{"the answer is lost and then the store is away for a while", []day{answerLost, unavailable, unavailable, unavailable}},
		{"the request is lost, and the next is refused because of it", []day{requestLost, busy, busy}},
		{"the write is refused because another is under way", []day{busy}},
		{"the write is refused although it was applied", []day{refusedThoughApplied}},
		{"the answer is lost, and the next is refused", []day{answerLost, busy}},
		{"the request lands after it was sent again", []day{held1, after1}},
		{"the request lands before it is sent again", []day{held2, after2}},
	} {
		for _, op := range operations {
			t.Run(op.name+", "+d.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newScriptedStore()
					m, _ := newManager(t, b)
					held := mustAcquire(t, m, "k", &lease.AcquireOptions{InputHash: "i1"})
					b.plan = d.plan
					l, err := op.do(t, m, held.LeaseID)
					if err != nil {
						t.Fatal(err)
					}
					if l.State != op.want.State || l.Version != op.want.Version {
						t.Fatalf("lease is %+v, want %+v", l, op.want)
					}
					if op.name == "forget" {
						return
					}
					// The store agrees, and the holder can go on.
					status, err := m.Status(ctx, l.Key)
					if err != nil || status.Version != l.Version || status.LeaseID != l.LeaseID || status.Token != l.Token {
						t.Fatalf("status is %+v, %v", status, err)
					}
					if l.State == lease.StateInProgress {
						if l, err := m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{}); err != nil || l.Version != status.Version+1 {
							t.Fatalf("then complete: %+v, %v", l, err)
						}
					}
				})
			})
		}
	}
}

func TestUnknownOutcomeOnlyWhenTheStoreStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScriptedStore()
		m, _ := newManager(t, b)
		held := mustAcquire(t, m, "k", nil)
		b.always = requestLost
		b.writes.Store(0)
		begun := time.Now()
		_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
		if !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, errLostAnswer) {
			t.Fatalf("error is %v, want ErrUnknownOutcome that wraps the cause", err)
		}
		if took := time.Since(begun); took > 4*time.Second || b.writes.Load() < 10 {
			t.Errorf("it took %v and %d tries", took, b.writes.Load())
		}
		b.always = nil
		if l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil || l.Version != 2 {
			t.Errorf("asked again: %+v, %v", l, err)
		}
	})
}

func TestNothingIsTriedTwiceThatWasNotWritten(t *testing.T) {
	b := newScriptedStore()
	m, _ := newManager(t, b)
	held := mustAcquire(t, m, "k", nil)
	b.always = unavailable
	b.writes.Store(0)
	_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
	if !errors.Is(err, lease.ErrUnavailable) || errors.Is(err, lease.ErrUnknownOutcome) || b.writes.Load() != 1 {
		t.Errorf("error is %v after %d tries, want ErrUnavailable after 1", err, b.writes.Load())
	}
}

func TestContextEndsDuringAWrite(t *testing.T) {
	t.Run("a write that was applied is a success", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newScriptedStore(hanging)
			m, _ := newManager(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, acquired, err := m.Acquire(ctx, "k", nil)
			if err != nil || !acquired || l.Version != 1 {
				t.Errorf("acquired is %t, error %v, lease %+v", acquired, err, l)
			}
		})
	})
	t.Run("a store that hangs is not waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &scriptedStore{Store: memory.New(), always: hanging}
			m, _ := newManager(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			_, _, err := m.Acquire(ctx, "k", nil)
			if !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v, want ErrUnknownOutcome that wraps context.DeadlineExceeded", err)
			}
			if took := time.Since(begun) - time.Minute; took > time.Second {
				t.Errorf("it returned %v after the context had ended", took)
			}
		})
	})
}

func TestForgetLeavesANewLeaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		b := &scriptedStore{Store: store}
		m, _ := newManager(t, b)
		other, _ := newManager(t, store)
		mustAcquire(t, m, "k", nil)
		var fresh lease.Lease
		b.plan = []day{func(w write) (uint64, error) {
			_, err := answerLost(w)
			fresh = mustAcquire(t, other, "k", nil)
			return 0, err
		}}
		if err := m.Forget(ctx, "k"); !errors.Is(err, lease.ErrUnknownOutcome) {
			t.Errorf("error is %v, want ErrUnknownOutcome", err)
		}
		if l, err := other.Status(ctx, "k"); err != nil || l.LeaseID != fresh.LeaseID {
			t.Errorf("the new lease is %+v, %v", l, err)
		}
	})
}

func TestReadsThatFail(t *testing.T) {
	broken := errors.New("disk on fire")
	b := newScriptedStore()
	b.get = func(context.Context, string) (backend.Entry, error) { return backend.Entry{}, broken }
	m, _ := newManager(t, b)
	for _, call := range everyCall(ctx, m, "k") {
		if call.name == "acquire" {
			continue // a fresh one reads nothing
		}
		if err := call.do(); !errors.Is(err, lease.ErrUnavailable) || !errors.Is(err, broken) {
			t.Errorf("%s: %v, want ErrUnavailable that wraps the cause", call.name, err)
		}
	}
}

// TestAStoreThatOnlyConflicts bounds the loop against a store that breaks its promises.
func TestAStoreThatOnlyConflicts(t *testing.T) {
	b := &scriptedStore{Store: memory.New(), always: busy}
	m, _ := newManager(t, b)
	if _, _, err := m.Acquire(ctx, "k", nil); !errors.Is(err, lease.ErrUnavailable) || b.writes.Load() > 1000 {
		t.Errorf("error is %v after %d tries", err, b.writes.Load())
	}
}
