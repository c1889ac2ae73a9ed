package lease_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func TestExtendWithoutATTLKeepsTheLeasesOwn(t *testing.T) {
	m, clock := newManager(t, memory.New(), lease.WithDefaultTTL(time.Hour))
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	for i, tt := range []struct {
		opts *lease.ExtendOptions
		want time.Duration
	}{
		{nil, time.Minute},
		{&lease.ExtendOptions{}, time.Minute},
		{&lease.ExtendOptions{TTL: 10 * time.Minute}, 10 * time.Minute},
		{nil, 10 * time.Minute}, // that is its own now
		{&lease.ExtendOptions{Checkpoint: json.RawMessage(`1`)}, 10 * time.Minute},
		{&lease.ExtendOptions{TTL: 5 * time.Second}, 5 * time.Second}, // also less
	} {
		clock.Advance(time.Second)
		l, err := m.Extend(ctx, "k", held.LeaseID, tt.opts)
		if err != nil || l.TTL != tt.want || l.TTLLeft != tt.want || !l.ExpiresAt.Equal(clock.Now().Add(tt.want)) || l.Version != uint64(i+2) {
			t.Errorf("extension %d: lease %+v, error %v; want %v", i, l, err, tt.want)
		}
	}
}

func TestExtendCarriesMetadata(t *testing.T) {
	m, _ := newManager(t, memory.New())
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{Metadata: json.RawMessage(`{"a": 1}`)})
	for _, tt := range []struct{ given, want string }{
		{"", `{"a":1}`},
		{`{"b": 2}`, `{"b":2}`},
		{"", `{"b":2}`},
		{`{}`, `{}`},
	} {
		var opts lease.ExtendOptions
		if tt.given != "" {
			opts.Metadata = json.RawMessage(tt.given)
		}
		l, err := m.Extend(ctx, "k", held.LeaseID, &opts)
		status, err2 := m.Status(ctx, "k")
		if err := errors.Join(err, err2); err != nil || string(l.Metadata) != tt.want || string(status.Metadata) != tt.want {
			t.Errorf("given %q: the holder has %s, others see %s, want %s; %v", tt.given, l.Metadata, status.Metadata, tt.want, err)
		}
	}
}

// TestACheckpointGoesFromHolderToHolder, and to nobody else.
func TestACheckpointGoesFromHolderToHolder(t *testing.T) {
	store := memory.New()
	m, clock := newManager(t, store)
	other, err := lease.NewManager(store, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	saved := func(l lease.Lease, want string) {
		t.Helper()
		if string(l.Checkpoint) != want {
			t.Errorf("the checkpoint is %q, want %q", l.Checkpoint, want)
		}
	}
	must := func(l lease.Lease, err error) lease.Lease {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, Nonce: "n"})
	saved(held, "")
	saved(must(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(` {"page": 1} `), CheckpointSeq: 1})), `{"page":1}`)
	saved(must(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`{"page":2}`), CheckpointSeq: 2})), `{"page":2}`)
	late := must(m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`{"page":1}`), CheckpointSeq: 1}))
	saved(late, `{"page":2}`)
	if late.Version != 3 {
		t.Errorf("a checkpoint that came late made version %d of 3", late.Version)
	}
	saved(must(m.Extend(ctx, "k", held.LeaseID, nil)), `{"page":2}`)
	saved(mustAcquire(t, m, "k", &lease.AcquireOptions{Nonce: "n"}), `{"page":2}`) // the answer was lost
	polling, _, err := other.Acquire(ctx, "k", nil)
	saved(must(polling, err), "")
	saved(must(other.Status(ctx, "k")), "")

	clock.Advance(time.Minute)
	next := mustAcquire(t, other, "k", &lease.AcquireOptions{TTL: time.Minute})
	saved(next, `{"page":2}`)
	clear(next.Checkpoint) // it is the caller's
	saved(must(other.Extend(ctx, "k", next.LeaseID, nil)), `{"page":2}`)
	_, err = m.Extend(ctx, "k", held.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`{"page":3}`), CheckpointSeq: 3})
	if !errors.Is(err, lease.ErrLost) {
		t.Errorf("a holder who was fenced off saves: %v", err)
	}
	saved(must(other.Release(ctx, "k", next.LeaseID)), "")
	third := mustAcquire(t, m, "k", nil)
	saved(third, `{"page":2}`)
	saved(must(m.Fail(ctx, "k", third.LeaseID, lease.Failure{Code: "c", Retryable: true})), "")
	fourth := mustAcquire(t, other, "k", nil)
	saved(fourth, `{"page":2}`)
	saved(must(other.Complete(ctx, "k", fourth.LeaseID, lease.Completion{})), "")
	saved(must(other.Status(ctx, "k")), "")
}
