package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// FuzzRecord puts any bytes under a key, as a damaged disk or another program might. Whatever they
// are, no call panics. If they cannot be read as a record of the key's kind, every call says so and
// leaves them as they are, but for Forget and ForgetLock.
func FuzzRecord(f *testing.F) {
	store := memory.New()
	m, _ := newManager(f, store)
	held := mustAcquire(f, m, "k", &lease.AcquireOptions{Nonce: "r", InputHash: "i"})
	keep := func(storeKey string) {
		e, err := store.Get(ctx, storeKey)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(e.Value)
		f.Add(e.Value[:len(e.Value)/2])
		f.Add(bytes.Replace(e.Value, []byte(`"format":1`), []byte(`"format":2`), 1))
		f.Add(bytes.Replace(e.Value, []byte(`"version":`), []byte(`"version":-`), 1))
		f.Add(bytes.ReplaceAll(e.Value, []byte("2026"), []byte("9999")))
		f.Add(bytes.ReplaceAll(e.Value, []byte("2026"), []byte("0001")))
	}
	keep("default/k")
	must := func(_ lease.Lease, err error) {
		if err != nil {
			f.Fatal(err)
		}
		keep("default/k")
	}
	must(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`{"page":1}`), CheckpointSeq: 3}))
	held = mustAcquire(f, m, "k", &lease.AcquireOptions{Nonce: "s", InputHash: "j", Replace: true, Retention: time.Hour})
	keep("default/k")
	must(m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "c", Text: "\u2028", Retryable: true}))
	held = mustAcquire(f, m, "k", nil)
	must(m.Release(ctx, "k", held.LeaseID))
	held = mustAcquire(f, m, "k", nil)
	must(m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`{"a":"é"}`)}))
	mustLock(f, m, "k", nil)
	keep("default:lock/k")
	for _, s := range []string{"", "null", "{}", "[]", "\x00", `{"format":1e400}`, `{"format":1,"state":"in_progress","version":18446744073709551615}`, `{"format":1,"prev":{"version":-1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		ctx := context.Background()
		store := memory.New()
		m, _ := newManager(t, store)
		if _, err := store.CompareAndSet(ctx, "default/k", 0, value, 0); err != nil {
			return // larger than a backend takes
		}
		_, err := m.Status(ctx, "k")
		unreadable := errors.Is(err, lease.ErrUnreadable)
		if err != nil && !unreadable {
			t.Fatalf("status: %v", err)
		}
		for _, call := range everyCall(ctx, m, "k") {
			if call.name == "forget" {
				continue
			}
			if err := call.do(); unreadable && !errors.Is(err, lease.ErrUnreadable) {
				t.Errorf("%s of an unreadable record: %v", call.name, err)
			}
		}
		if e, err := store.Get(ctx, "default/k"); unreadable && (err != nil || !bytes.Equal(e.Value, value)) {
			t.Errorf("an unreadable record was overwritten: %v, %q", err, e.Value)
		}
		if _, err := store.CompareAndSet(ctx, "default:lock/k", 0, value, 0); err != nil {
			t.Fatal(err)
		}
		_, locked, err := m.CheckLock(ctx, "k", nil)
		if err != nil && !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("lock: %v", err)
		}
		if e, err := store.Get(ctx, "default:lock/k"); !locked && (err != nil || !bytes.Equal(e.Value, value)) {
			t.Errorf("what was not locked anew was overwritten: %v, %q", err, e.Value)
		}
		if err := m.ForgetLock(ctx, "k"); err != nil && !errors.Is(err, lease.ErrNotFound) {
			t.Errorf("forget lock: %v", err)
		}
		if err := m.Forget(ctx, "k"); err != nil && !errors.Is(err, lease.ErrNotFound) {
			t.Errorf("forget: %v", err)
		}
	})
}
