package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// listed returns the keys that were listed, sorted, each once, and fails the test at an error.
func listed(t testing.TB, leases iter.Seq2[lease.Lease, error]) []string {
	t.Helper()
	keys := []string{}
	for l, err := range leases {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, l.Key)
	}
	slices.Sort(keys)
	return keys
}

// leaseInEveryState fills the store through m: one key past its retention, and one in each state,
// of those that have failed two.
func leaseInEveryState(t testing.TB, m *lease.Manager, clock *leasetest.Clock) {
	t.Helper()
	must := func(_ lease.Lease, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(m.Complete(ctx, "job/gone", mustAcquire(t, m, "job/gone", nil).LeaseID, lease.Completion{}))
	clock.Advance(8 * 24 * time.Hour)
	for _, key := range []string{"job/running", "chat/running"} {
		mustAcquire(t, m, key, &lease.AcquireOptions{TTL: time.Hour, Metadata: json.RawMessage(`{"a":1}`)})
	}
	mustAcquire(t, m, "job/expired", &lease.AcquireOptions{TTL: time.Minute})
	mustAcquire(t, m, "job/once", &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true})
	must(m.Complete(ctx, "job/completed", mustAcquire(t, m, "job/completed", nil).LeaseID, lease.Completion{Result: json.RawMessage(`"secret"`)}))
	must(m.Fail(ctx, "job/failed", mustAcquire(t, m, "job/failed", nil).LeaseID, lease.Failure{Code: "c"}))
	clock.Advance(time.Minute)
}

func TestList(t *testing.T) {
	m, clock := newManager(t, memory.New())
	leaseInEveryState(t, m, clock)
	for _, tt := range []struct {
		name   string
		filter lease.Filter
		want   []string
	}{
		{"all, but for what is past its retention", lease.Filter{}, []string{"chat/running", "job/completed", "job/expired", "job/failed", "job/once", "job/running"}},
		{"in progress", lease.Filter{State: lease.StateInProgress}, []string{"chat/running", "job/running"}},
		{"expired, by the clock", lease.Filter{State: lease.StateExpired}, []string{"job/expired"}},
		{"completed", lease.Filter{State: lease.StateCompleted}, []string{"job/completed"}},
		{"failed, also by expiry", lease.Filter{State: lease.StateFailed}, []string{"job/failed", "job/once"}},
		{"not found is nothing", lease.Filter{State: lease.StateNotFound}, []string{}},
		{"by prefix", lease.Filter{Prefix: "chat/"}, []string{"chat/running"}},
		{"by a prefix that is a whole key", lease.Filter{Prefix: "job/once"}, []string{"job/once"}},
		{"by a prefix that none has", lease.Filter{Prefix: "JOB"}, []string{}},
		{"by prefix and state", lease.Filter{Prefix: "job/", State: lease.StateInProgress}, []string{"job/running"}},
		{"fewer than the limit", lease.Filter{State: lease.StateFailed, Limit: 3}, []string{"job/failed", "job/once"}},
		{"as many as the limit", lease.Filter{State: lease.StateFailed, Limit: 2}, []string{"job/failed", "job/once"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := listed(t, m.List(ctx, &tt.filter)); !slices.Equal(got, tt.want) {
				t.Errorf("listed %q, want %q", got, tt.want)
			}
		})
	}
	for limit := 1; limit < 6; limit++ {
		if got := listed(t, m.List(ctx, &lease.Filter{Limit: limit})); len(got) != limit {
			t.Errorf("limit %d: listed %q", limit, got)
		}
	}
	for l, err := range m.List(ctx, nil) {
		status, err2 := m.Status(ctx, l.Key)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		status.Result = nil // which a listing leaves out
		same(t, l, status)
		clear(l.Metadata)
		again, err := m.Status(ctx, l.Key)
		if err != nil {
			t.Fatal(err)
		}
		again.Result = nil
		same(t, again, status)
	}
	clock.Advance(time.Hour)
	if got := listed(t, m.List(ctx, &lease.Filter{State: lease.StateExpired})); !slices.Equal(got, []string{"chat/running", "job/expired", "job/running"}) {
		t.Errorf("expired an hour later: %q", got)
	}
}

func TestListKeepsToItsNamespace(t *testing.T) {
	m, _ := newManager(t, memory.New(), lease.WithNamespace("a"))
	for _, name := range []string{"a", "a.b", "ab", "A"} {
		in, err := m.InNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		mustAcquire(t, in, "in "+name, nil)
		mustAcquire(t, in, "a/in "+name, nil)
	}
	for _, name := range []string{"a", "a.b", "ab", "A", "b"} {
		in, err := m.InNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"a/in " + name, "in " + name}
		if name == "b" {
			want = []string{}
		}
		if got := listed(t, in.List(ctx, nil)); !slices.Equal(got, want) {
			t.Errorf("in namespace %s: listed %q, want %q", name, got, want)
		}
	}
}

func TestListGoesOnAfterAnUnreadableRecord(t *testing.T) {
	store := memory.New()
	m, _ := newManager(t, store)
	for i := range 5 {
		mustAcquire(t, m, fmt.Sprint("good ", i), nil)
		if _, err := store.CompareAndSet(ctx, fmt.Sprint("default/bad ", i), 0, []byte("rubbish"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		filter    lease.Filter
		good, bad int
	}{
		{lease.Filter{}, 5, 5},
		{lease.Filter{State: lease.StateCompleted}, 0, 5},
		{lease.Filter{Prefix: "bad"}, 0, 5},
		{lease.Filter{Prefix: "bad", Limit: 2}, 0, 2},
		{lease.Filter{Prefix: "good"}, 5, 0},
	} {
		good, bad := 0, 0
		for l, err := range m.List(ctx, &tt.filter) {
			if err == nil {
				good++
				continue
			}
			bad++
			var e *lease.Error
			if !errors.Is(err, lease.ErrUnreadable) || !errors.As(err, &e) || e.Op != "list" || e.Key != l.Key || !strings.HasPrefix(l.Key, "bad ") {
				t.Errorf("with %+v came %v", l, err)
			}
			same(t, l, lease.Lease{Key: l.Key})
		}
		if good != tt.good || bad != tt.bad {
			t.Errorf("%+v: %d readable and %d not, want %d and %d", tt.filter, good, bad, tt.good, tt.bad)
		}
	}
}

func TestListsThatFail(t *testing.T) {
	m, _ := newManager(t, memory.New())
	mustAcquire(t, m, "k", nil)
	broken := errors.New("disk on fire")
	bad := newScriptedStore()
	bad.list = func(context.Context, string) iter.Seq2[backend.Entry, error] {
		return func(yield func(backend.Entry, error) bool) { yield(backend.Entry{}, broken) }
	}
	onBroken, _ := newManager(t, bad)
	unlisted, _ := newManager(t, threeMethods{memory.New()})
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for _, tt := range []struct {
		name  string
		list  iter.Seq2[lease.Lease, error]
		is    error
		field string
	}{
		{"a backend that cannot list", unlisted.List(ctx, nil), errors.ErrUnsupported, ""},
		{"no such state", m.List(ctx, &lease.Filter{State: "done"}), lease.ErrInvalid, "state"},
		{"a negative limit", m.List(ctx, &lease.Filter{Limit: -1}), lease.ErrInvalid, "limit"},
		{"a prefix with a control character", m.List(ctx, &lease.Filter{Prefix: "a\n"}), lease.ErrInvalid, "prefix"},
		{"a prefix that no key can have", m.List(ctx, &lease.Filter{Prefix: strings.Repeat("p", backend.MaxKeyBytes)}), lease.ErrInvalid, "prefix"},
		{"a context that has ended", m.List(canceled, nil), context.Canceled, ""},
		{"a store that fails", onBroken.List(ctx, nil), lease.ErrUnavailable, ""},
		{"a store that fails, and says why", onBroken.List(ctx, nil), broken, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			for l, err := range tt.list {
				n++
				var e *lease.Error
				if !errors.Is(err, tt.is) || !errors.As(err, &e) || e.Op != "list" {
					t.Errorf("error is %v, want %v", err, tt.is)
				}
				if tt.field != "" {
					isInvalid(t, err, tt.field, "")
				}
				same(t, l, lease.Lease{})
			}
			if n != 1 {
				t.Errorf("%d were yielded, want the error alone", n)
			}
		})
	}
	t.Run("a context that ends meanwhile", func(t *testing.T) {
		for i := range 200 { // so that the store has more than one page, or shard
			mustAcquire(t, m, fmt.Sprint(i), nil)
		}
		ends, cancel := context.WithCancel(ctx)
		defer cancel()
		good := 0
		var last error
		for _, err := range m.List(ends, nil) {
			if last != nil {
				t.Fatalf("after %v came more", last)
			}
			if last = err; err == nil {
				good++
				cancel()
			}
		}
		if !errors.Is(last, context.Canceled) || errors.Is(last, lease.ErrUnavailable) || good > 100 {
			t.Errorf("%d were listed, and then came %v", good, last)
		}
	})
}

func TestListWhileItsCallerWrites(t *testing.T) {
	m, clock := newManager(t, memory.New())
	const n = 200
	for i := range n {
		mustAcquire(t, m, fmt.Sprint(i), &lease.AcquireOptions{TTL: time.Minute})
	}
	clock.Advance(time.Minute)
	seen := map[string]bool{}
	for l, err := range m.List(ctx, &lease.Filter{State: lease.StateExpired}) {
		if err != nil || seen[l.Key] {
			t.Fatalf("%+v, %v, seen before: %t", l, err, seen[l.Key])
		}
		seen[l.Key] = true
		if len(seen)%2 == 0 {
			if err := m.Forget(ctx, l.Key); err != nil {
				t.Fatal(err)
			}
		} else {
			mustAcquire(t, m, l.Key, nil)
		}
	}
	if len(seen) != n {
		t.Errorf("%d expired leases were listed of %d", len(seen), n)
	}
	if got := listed(t, m.List(ctx, &lease.Filter{State: lease.StateInProgress})); len(got) != n/2 {
		t.Errorf("%d were taken over, want %d", len(got), n/2)
	}
}

func TestListWhoseCallerHasSeenEnough(t *testing.T) {
	m, clock := newManager(t, memory.New())
	leaseInEveryState(t, m, clock)
	for enough := 1; enough < 6; enough++ {
		n := 0
		for range m.List(ctx, nil) {
			if n++; n == enough {
				break
			}
		}
		if n != enough {
			t.Errorf("%d were yielded, want %d", n, enough)
		}
	}
	list := m.List(ctx, nil) // may be ranged over again
	if a, b := listed(t, list), listed(t, list); !slices.Equal(a, b) || len(a) != 6 {
		t.Errorf("listed %q, and then %q", a, b)
	}
}
