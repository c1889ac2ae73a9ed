package lease_test

import (
	"encoding/json"
	"testing"

	"github.com/ailease/lease"
)

// TestStoreCalls counts what a store is asked: mostly once for each operation.
func TestStoreCalls(t *testing.T) {
	b := newScriptedStore()
	m, _ := newManager(t, b)
	elsewhere, _ := newManager(t, b.Store)
	var held, theirs lease.Lease
	only := func(_ lease.Lease, err error) error { return err }
	acquire := func(l *lease.Lease, m *lease.Manager, key string, opts *lease.AcquireOptions) func() error {
		return func() (err error) { *l, _, err = m.Acquire(ctx, key, opts); return }
	}
	lock := func(m *lease.Manager, key string) func() error {
		return func() error { _, _, err := m.CheckLock(ctx, key, nil); return err }
	}
	var ignored lease.Lease
	newer := &lease.AcquireOptions{InputHash: "i2", Replace: true}
	newest := &lease.AcquireOptions{InputHash: "i3", Replace: true}
	for _, step := range []struct {
		name string
		want int64
		do   func() error
	}{
		{"acquire of a fresh key", 1, acquire(&held, m, "k", nil)},
		{"acquire of a key held by this Manager", 1, acquire(&ignored, m, "k", nil)},
		{"status", 1, func() error { return only(m.Status(ctx, "k")) }},
		{"extend by the holder", 1, func() error { return only(m.Extend(ctx, "k", held.LeaseID, nil)) }},
		{"extend by the holder again, with a checkpoint", 1, func() error {
			return only(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`1`), CheckpointSeq: 2}))
		}},
		{"a checkpoint that comes late", 1, func() error {
			return only(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`0`), CheckpointSeq: 1}))
		}},
		{"release by the holder", 1, func() error { return only(m.Release(ctx, "k", held.LeaseID)) }},
		{"release once more", 1, func() error { return only(m.Release(ctx, "k", held.LeaseID)) }},
		{"acquire of a key that was released here", 2, acquire(&held, m, "k", nil)},
		{"fail by the holder", 1, func() error {
			return only(m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "c", Retryable: true}))
		}},
		{"acquire of a key that failed retryably here", 2, acquire(&held, m, "k", nil)},
		{"complete by the holder", 1, func() error { return only(m.Complete(ctx, "k", held.LeaseID, lease.Completion{})) }},
		{"complete once more", 1, func() error { return only(m.Complete(ctx, "k", held.LeaseID, lease.Completion{})) }},
		{"acquire of a key that completed here", 1, acquire(&ignored, m, "k", nil)},
		{"cancel of a fresh lease", 2, func() error {
			l, _, err := m.Acquire(ctx, "c", nil)
			if err != nil {
				return err
			}
			return only(m.Cancel(ctx, "c", l.LeaseID, ""))
		}},
		{"acquire with an input", 1, acquire(&held, m, "r", &lease.AcquireOptions{InputHash: "i1"})},
		{"replace of what is held here", 1, acquire(&held, m, "r", newer)},
		{"replace by the same input", 1, acquire(&ignored, m, "r", newer)},
		{"somebody else replaces it", 0, acquire(&theirs, elsewhere, "r", newest)},
		{"extend by the former holder, on an outdated memory", 2, func() error {
			if _, err := m.Extend(ctx, "r", held.LeaseID, nil); err == nil {
				t.Error("the former holder extends")
			}
			return nil
		}},
		{"somebody else acquires a key", 0, acquire(&theirs, elsewhere, "l", nil)},
		{"acquire of that key, of which this Manager does not know", 2, acquire(&ignored, m, "l", nil)},
		{"acquire of that key, of which it does now", 1, acquire(&ignored, m, "l", nil)},
		{"somebody else extends it", 0, func() error { return only(elsewhere.Extend(ctx, "l", theirs.LeaseID, nil)) }},
		{"complete with their id, on an outdated memory", 3, func() error {
			return only(m.Complete(ctx, "l", theirs.LeaseID, lease.Completion{}))
		}},
		{"lock of a fresh key", 1, lock(m, "m")},
		{"lock of a key locked by this Manager", 1, lock(m, "m")},
		{"somebody else locks a key", 0, lock(elsewhere, "n")},
		{"lock of that key, of which this Manager does not know", 2, lock(m, "n")},
		{"lock of that key, of which it does now", 1, lock(m, "n")},
		{"acquire of a fresh key of the same name", 1, acquire(&ignored, m, "m", nil)},
		{"forget", 2, func() error { return m.Forget(ctx, "m") }},
		{"forget of a lock", 2, func() error { return m.ForgetLock(ctx, "m") }},
	} {
		before := b.calls()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := b.calls() - before; got != step.want {
			t.Errorf("%s took %d store calls, want %d", step.name, got, step.want)
		}
	}
}
