package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// counting counts what a store is asked.
type counting struct {
	backend.Backend
	calls atomic.Int64
}

func (c *counting) Get(ctx context.Context, key string) (backend.Entry, error) {
	c.calls.Add(1)
	return c.Backend.Get(ctx, key)
}

func (c *counting) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	c.calls.Add(1)
	return c.Backend.CompareAndSet(ctx, key, expected, value, keep)
}

func (c *counting) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	c.calls.Add(1)
	return c.Backend.CompareAndDelete(ctx, key, expected)
}

func TestStoreCalls(t *testing.T) {
	store := memory.New()
	b := &counting{Backend: store}
	m, _ := newManager(t, b)
	elsewhere, _ := newManager(t, store)
	var held, theirs lease.Lease
	for _, step := range []struct {
		name string
		want int64
		do   func() error
	}{
		{"acquire of a fresh key", 1, func() (err error) { held, _, err = m.Acquire(ctx, "k", lease.AcquireOptions{}); return }},
		{"acquire of a key held by this Manager", 1, func() error { _, _, err := m.Acquire(ctx, "k", lease.AcquireOptions{}); return err }},
		{"status", 1, func() error { _, err := m.Status(ctx, "k"); return err }},
		{"extend by the holder", 1, func() error { _, err := m.Extend(ctx, "k", held.LeaseID, 0); return err }},
		{"extend by the holder again", 1, func() error { _, err := m.Extend(ctx, "k", held.LeaseID, 0); return err }},
		{"complete by the holder", 1, func() error { _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); return err }},
		{"complete once more", 1, func() error { _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); return err }},
		{"acquire of a key that completed here", 1, func() error { _, _, err := m.Acquire(ctx, "k", lease.AcquireOptions{}); return err }},
		{"somebody else acquires a key", 0, func() (err error) { theirs, _, err = elsewhere.Acquire(ctx, "l", lease.AcquireOptions{}); return }},
		{"acquire of that key, of which this Manager does not know", 2, func() error { _, _, err := m.Acquire(ctx, "l", lease.AcquireOptions{}); return err }},
		{"acquire of that key, of which it does now", 1, func() error { _, _, err := m.Acquire(ctx, "l", lease.AcquireOptions{}); return err }},
		{"somebody else extends it", 0, func() error { _, err := elsewhere.Extend(ctx, "l", theirs.LeaseID, 0); return err }},
		{"complete with their id, on an outdated memory", 3, func() error { _, err := m.Complete(ctx, "l", theirs.LeaseID, lease.Completion{}); return err }},
		{"lock of a fresh key", 1, func() error { _, _, err := m.CheckLock(ctx, "m", lease.LockOptions{}); return err }},
		{"lock of a key locked by this Manager", 1, func() error { _, _, err := m.CheckLock(ctx, "m", lease.LockOptions{}); return err }},
		{"somebody else locks a key", 0, func() error { _, _, err := elsewhere.CheckLock(ctx, "n", lease.LockOptions{}); return err }},
		{"lock of that key, of which this Manager does not know", 2, func() error { _, _, err := m.CheckLock(ctx, "n", lease.LockOptions{}); return err }},
		{"lock of that key, of which it does now", 1, func() error { _, _, err := m.CheckLock(ctx, "n", lease.LockOptions{}); return err }},
		{"acquire of a fresh key of the same name", 1, func() error { _, _, err := m.Acquire(ctx, "m", lease.AcquireOptions{}); return err }},
	} {
		before := b.calls.Load()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := b.calls.Load() - before; got != step.want {
			t.Errorf("%s took %d store calls, want %d", step.name, got, step.want)
		}
	}
}
