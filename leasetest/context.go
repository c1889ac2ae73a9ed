package leasetest

import (
	"cmp"
	"context"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/testhook"
)

// Context returns a context as a function under [lease.Do] gets it, with no Manager behind it. The
// function finds l in it: lease.FromContext and lease.Token read it, lease.Load reads its
// Checkpoint, lease.Save and lease.Progress change it in memory. It is in progress, with key
// "test", lease id "test", attempt 1, version 1 and token 1 unless l says otherwise. It ends with
// the test.
func Context(t testing.TB, l lease.Lease) context.Context {
	t.Helper()
	l.Key, l.LeaseID = cmp.Or(l.Key, "test"), cmp.Or(l.LeaseID, "test")
	l.State = cmp.Or(l.State, lease.StateInProgress)
	l.Attempt, l.Version, l.Token = cmp.Or(l.Attempt, 1), cmp.Or(l.Version, 1), cmp.Or(l.Token, 1)
	return testhook.Context(t.Context(), l)
}

// TakeOver takes the lease of key away from whoever holds it, and returns the new lease, whose
// token is greater and which has the checkpoint. A function that runs under the old one learns of
// that as soon as the store tells. To the old holder it is as if the lease had expired, but
// TakeOver takes an at-most-once lease too. It fails the test if nobody holds the key, or if
// another caller who waits for the key is faster.
func TakeOver(t testing.TB, m *lease.Manager, key string) lease.Lease {
	t.Helper()
	old, err := m.Status(t.Context(), key)
	if err != nil {
		t.Fatalf("leasetest: %v", err)
	}
	if old.State != lease.StateInProgress {
		t.Fatalf("leasetest: nobody holds %q: its state is %s", key, old.State)
	}
	if _, err := m.Release(t.Context(), key, old.LeaseID); err != nil {
		t.Fatalf("leasetest: %v", err)
	}
	l, acquired, err := m.Acquire(t.Context(), key, &lease.AcquireOptions{AtMostOnce: old.AtMostOnce})
	if err != nil {
		t.Fatalf("leasetest: %v", err)
	}
	if !acquired {
		t.Fatalf("leasetest: %q was not taken over: another caller was faster", key)
	}
	return l
}
