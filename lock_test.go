package lease_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func mustLock(t testing.TB, m *lease.Manager, key string, opt *lease.LockOptions) lease.Lock {
	t.Helper()
	l, locked, err := m.CheckLock(ctx, key, opt)
	if err != nil || !locked {
		t.Fatalf("lock %q: locked is %t, error %v, lock %+v", key, locked, err, l)
	}
	return l
}

func mustBeDuplicate(t testing.TB, m *lease.Manager, key string) lease.Lock {
	t.Helper()
	l, locked, err := m.CheckLock(ctx, key, nil)
	if err != nil || locked {
		t.Fatalf("lock %q: locked is %t, error %v, lock %+v", key, locked, err, l)
	}
	return l
}

func sameLock(t *testing.T, got, want lease.Lock) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("\n got %s\nwant %s", g, w)
	}
}

func TestALockFromFirstToAnew(t *testing.T) {
	store := memory.New()
	m, clock := newManager(t, store)
	elsewhere, err := lease.NewManager(store, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	first := mustLock(t, m, "charge_1", &lease.LockOptions{TTL: time.Minute, Metadata: json.RawMessage(`{ "order": 7 }`)})
	want := lease.Lock{Key: "charge_1", TTL: time.Minute, TTLLeft: time.Minute, ExpiresAt: t0.Add(time.Minute), FirstSeenAt: t0, Metadata: json.RawMessage(`{"order":7}`)}
	sameLock(t, first, want)
	for range 2 {
		clock.Advance(20 * time.Second)
		want.TTLLeft -= 20 * time.Second
		sameLock(t, mustBeDuplicate(t, m, "charge_1"), want)
		sameLock(t, mustBeDuplicate(t, elsewhere, "charge_1"), want)
	}
	clock.Advance(20*time.Second - 1)
	mustBeDuplicate(t, m, "charge_1")
	clock.Advance(1)
	again := mustLock(t, elsewhere, "charge_1", nil)
	sameLock(t, again, lease.Lock{Key: "charge_1", TTL: time.Hour, TTLLeft: time.Hour, ExpiresAt: t0.Add(time.Minute + time.Hour), FirstSeenAt: t0.Add(time.Minute)})
	sameLock(t, mustBeDuplicate(t, m, "charge_1"), again)
}

// TestALockWhoseAnswerWasLost may be asked for again.
func TestALockWhoseAnswerWasLost(t *testing.T) {
	m, _ := newManager(t, memory.New())
	first := mustLock(t, m, "charge_1", &lease.LockOptions{Nonce: "rq_1"})
	sameLock(t, mustLock(t, m, "charge_1", &lease.LockOptions{Nonce: "rq_1"}), first)
	mustBeDuplicate(t, m, "charge_1")
}

func TestClockSkewDelaysTheUnlocking(t *testing.T) {
	m, clock := newManager(t, memory.New(), lease.WithClockSkew(10*time.Second))
	mustLock(t, m, "k", &lease.LockOptions{TTL: time.Minute})
	clock.Advance(70*time.Second - 1)
	if l := mustBeDuplicate(t, m, "k"); l.TTLLeft != 0 {
		t.Errorf("within the skew: %+v", l)
	}
	clock.Advance(1)
	mustLock(t, m, "k", nil)
}

func TestLocksOfNamespaces(t *testing.T) {
	m, _ := newManager(t, memory.New())
	// Of 4 characters, as many as ":lock" has besides; and what a careless concatenation would
	// confuse.
	for _, name := range []string{"default", "other", "abcd", "lock", "a.lock", "a"} {
		n, err := m.InNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k", "lock/k", ":lock/k", "a:lock/k", "/k"} {
			mustLock(t, n, key, nil)
			mustAcquire(t, n, key, nil)
			mustBeDuplicate(t, n, key)
		}
	}
}

func TestALockAndALeaseOfTheSameKeyDoNotMeet(t *testing.T) {
	m, clock := newManager(t, memory.New())
	lock := mustLock(t, m, "k", &lease.LockOptions{TTL: time.Hour})
	if l, err := m.Status(ctx, "k"); err != nil || l.State != lease.StateNotFound {
		t.Fatalf("a locked key's lease is %+v, %v", l, err)
	}
	if err := m.Forget(ctx, "k"); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("forget of a locked key: %v, want ErrNotFound", err)
	}
	held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(time.Minute)
	held = mustAcquire(t, m, "k", nil) // expires by itself
	if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Forget(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if l := mustBeDuplicate(t, m, "k"); !l.FirstSeenAt.Equal(lock.FirstSeenAt) {
		t.Errorf("the lock is %+v, was %+v", l, lock)
	}
	held = mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: 2 * time.Hour})
	clock.Advance(time.Hour)
	mustLock(t, m, "k", nil)
	if l, err := m.Status(ctx, "k"); err != nil || l.LeaseID != held.LeaseID || l.State != lease.StateInProgress {
		t.Errorf("the lease is %+v, %v", l, err)
	}
}

func TestForgetLock(t *testing.T) {
	store := memory.New()
	m, _ := newManager(t, store)
	if err := m.ForgetLock(ctx, "k"); !errors.Is(err, lease.ErrNotFound) || err.Error() != `lease: forget lock "k": no such lease` {
		t.Errorf("of a key that is not locked: %v, want ErrNotFound", err)
	}
	held := mustAcquire(t, m, "k", nil)
	mustLock(t, m, "k", nil)
	if err := m.ForgetLock(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if l, err := m.Status(ctx, "k"); err != nil || l.LeaseID != held.LeaseID {
		t.Errorf("the lease of the same key is %+v, %v", l, err)
	}
	mustLock(t, m, "k", nil)
	mustBeDuplicate(t, m, "k")
	if err := m.ForgetLock(ctx, ""); !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("of no key: %v, want ErrInvalid", err)
	}
	// What cannot be read is removed too.
	if _, err := store.CompareAndSet(ctx, "default:lock/damaged", 0, []byte("rubbish"), 0); err != nil {
		t.Fatal(err)
	}
	if err := m.ForgetLock(ctx, "damaged"); err != nil {
		t.Fatal(err)
	}
	mustLock(t, m, "damaged", nil)
}

// TestALockOfAClockThatIsAhead is a duplicate like any other, however short the lock that is asked
// for.
func TestALockOfAClockThatIsAhead(t *testing.T) {
	store := memory.New()
	ahead, fast := newManager(t, store)
	fast.Advance(24 * time.Hour)
	mustLock(t, ahead, "k", nil)
	for _, skew := range []time.Duration{0, time.Minute} {
		m, _ := newManager(t, store, lease.WithClockSkew(skew))
		for range 2 {
			l, locked, err := m.CheckLock(ctx, "k", &lease.LockOptions{TTL: time.Second})
			if err != nil || locked || l.TTLLeft != 25*time.Hour {
				t.Errorf("locked is %t, error %v, lock %+v", locked, err, l)
			}
		}
	}
	m, _ := newManager(t, store)
	if err := m.ForgetLock(ctx, "k"); err != nil { // the remedy
		t.Fatal(err)
	}
	mustLock(t, m, "k", nil)
}

func TestLimitsOfLocks(t *testing.T) {
	const day = 24 * time.Hour
	long := strings.Repeat("\U0001F4A1", 256)
	for _, tt := range []struct {
		name    string
		key     string
		opt     *lease.LockOptions
		granted time.Duration

		// what a refusal says; "" if there must be none
		field, says string
	}{
		{"no TTL", "k", nil, time.Hour, "", ""},
		{"the least TTL", "k", &lease.LockOptions{TTL: time.Second}, time.Second, "", ""},
		{"a TTL above the maximum is clamped", "k", &lease.LockOptions{TTL: 31 * day}, 30 * day, "", ""},
		{"a TTL below the least", "k", &lease.LockOptions{TTL: time.Second - 1}, 0, "ttl", "must be at least 1s"},
		{"a negative TTL", "k", &lease.LockOptions{TTL: -1}, 0, "ttl", "must be at least 1s"},
		{"the longest key", long, nil, time.Hour, "", ""},
		{"a key too long", long + "x", nil, 0, "key", "257 characters, limit 256"},
		{"no key", "", nil, 0, "key", "0 characters"},
		{"metadata that is no object", "k", &lease.LockOptions{Metadata: json.RawMessage(`1`)}, 0, "metadata", "not an object"},
		{"a nonce too long", "k", &lease.LockOptions{Nonce: strings.Repeat("x", 257)}, 0, "nonce", "257 bytes, limit 256"},
		{"metadata too large", "k", &lease.LockOptions{Metadata: json.RawMessage(`{"k":"` + strings.Repeat("x", 2041) + `"}`)}, 0, "metadata", "2049 bytes, limit 2048"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newScriptedStore()
			m, _ := newManager(t, b, lease.WithNamespace(strings.Repeat("n", 64)))
			l, locked, err := m.CheckLock(ctx, tt.key, tt.opt)
			if tt.field == "" {
				if err != nil || !locked || l.TTL != tt.granted {
					t.Errorf("locked is %t, error %v, lock %+v", locked, err, l)
				}
				return
			}
			isInvalid(t, err, tt.field, tt.says)
			if e, ok := errors.AsType[*lease.Error](err); !ok || e.Op != "check lock" || e.Key != tt.key || b.calls() != 0 {
				t.Errorf("error is %+v, after %d store calls", e, b.calls())
			}
		})
	}
}

func TestWhatIsNoLockIsNeverOverwritten(t *testing.T) {
	inProgress := func(t *testing.T) []byte {
		store := memory.New()
		m, _ := newManager(t, store)
		mustAcquire(t, m, "k", nil)
		e, err := store.Get(ctx, "default/k")
		if err != nil {
			t.Fatal(err)
		}
		return e.Value
	}
	for _, value := range [][]byte{[]byte("rubbish"), []byte(`{"format":2}`), inProgress(t)} {
		store := memory.New()
		m, _ := newManager(t, store)
		if _, err := store.CompareAndSet(ctx, "default:lock/k", 0, value, 0); err != nil {
			t.Fatal(err)
		}
		if _, locked, err := m.CheckLock(ctx, "k", nil); locked || !errors.Is(err, lease.ErrUnreadable) {
			t.Errorf("locked is %t, error %v, want ErrUnreadable", locked, err)
		}
		if e, err := store.Get(ctx, "default:lock/k"); err != nil || !bytes.Equal(e.Value, value) {
			t.Errorf("%s was overwritten: %+v, %v", value, e, err)
		}
	}
}

func TestTheStoreKeepsALockNoLongerThanItLasts(t *testing.T) {
	var keep time.Duration
	b := newScriptedStore(func(w write) (uint64, error) { keep = w.keep; return w.apply() })
	m, _ := newManager(t, b, lease.WithClockSkew(10*time.Second))
	mustLock(t, m, "k", &lease.LockOptions{TTL: time.Minute})
	if keep != 70*time.Second {
		t.Errorf("it is asked to keep it for %v", keep)
	}
}
