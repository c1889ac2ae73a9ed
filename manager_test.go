package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// newManager returns a Manager on b whose clock stands at t0.
func newManager(t testing.TB, b backend.Backend, opts ...lease.Option) (*lease.Manager, *leasetest.Clock) {
	t.Helper()
	clock := leasetest.NewClock(t0)
	m, err := lease.NewManager(b, append([]lease.Option{lease.WithClock(clock)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return m, clock
}

func mustAcquire(t testing.TB, m *lease.Manager, key string, opt *lease.AcquireOptions) lease.Lease {
	t.Helper()
	l, acquired, err := m.Acquire(ctx, key, opt)
	if err != nil || !acquired {
		t.Fatalf("acquire %q: acquired is %t, error %v, lease %+v", key, acquired, err, l)
	}
	return l
}

func TestALeaseLivesItsWholeLife(t *testing.T) {
	m, clock := newManager(t, memory.New())
	held := mustAcquire(t, m, "chat_1", &lease.AcquireOptions{TTL: 30 * time.Minute, Metadata: json.RawMessage(`{ "customer": 7 }`)})
	want := lease.Lease{
		Key: "chat_1", State: lease.StateInProgress, LeaseID: held.LeaseID, Version: 1, Token: held.Token, Attempt: 1,
		TTL: 30 * time.Minute, TTLLeft: 30 * time.Minute, ExpiresAt: t0.Add(30 * time.Minute), FirstSeenAt: t0, AcquiredAt: t0,
		Metadata: json.RawMessage(`{"customer":7}`), RetryAfter: 5 * time.Second,
	}
	same(t, held, want)
	if held.Token == 0 || !strings.HasPrefix(held.LeaseID, "lease_") {
		t.Errorf("token %d, lease id %q", held.Token, held.LeaseID)
	}

	clock.Advance(10 * time.Minute)
	polled, acquired, err := m.Acquire(ctx, "chat_1", nil)
	if err != nil || acquired {
		t.Fatalf("a second acquire: acquired is %t, error %v", acquired, err)
	}
	want.TTLLeft = 20 * time.Minute
	same(t, polled, want)
	status, err := m.Status(ctx, "chat_1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, status, want)

	extended, err := m.Extend(ctx, "chat_1", held.LeaseID, &lease.ExtendOptions{TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	want.Version, want.TTL, want.TTLLeft, want.ExpiresAt = 2, time.Hour, time.Hour, t0.Add(70*time.Minute)
	same(t, extended, want)

	clock.Advance(time.Minute)
	completed, err := m.Complete(ctx, "chat_1", held.LeaseID, lease.Completion{Result: json.RawMessage(`{"messages": 15}`), ResultHash: "abc"})
	if err != nil {
		t.Fatal(err)
	}
	want.State, want.Version, want.TTLLeft, want.RetryAfter, want.DoneAt = lease.StateCompleted, 3, 0, 0, t0.Add(11*time.Minute)
	want.Result, want.ResultHash = json.RawMessage(`{"messages":15}`), "abc"
	same(t, completed, want)
	status, err = m.Status(ctx, "chat_1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, status, want)
	finished, acquired, err := m.Acquire(ctx, "chat_1", nil)
	if err != nil || acquired {
		t.Fatalf("acquire of a completed key: acquired is %t, error %v", acquired, err)
	}
	same(t, finished, want)

	clock.Advance(7 * 24 * time.Hour)
	status, err = m.Status(ctx, "chat_1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, status, lease.Lease{Key: "chat_1", State: lease.StateNotFound, RetryAfter: 5 * time.Second})
	again := mustAcquire(t, m, "chat_1", nil)
	if again.Version != 1 || again.Attempt != 1 || again.Token <= held.Token {
		t.Errorf("acquired after retention: version %d, attempt %d, token %d after %d", again.Version, again.Attempt, again.Token, held.Token)
	}
}

func TestFailureAndCancellation(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(m *lease.Manager, id string) (lease.Lease, error)
		code string
		hash string
	}{
		{"fail", func(m *lease.Manager, id string) (lease.Lease, error) {
			return m.Fail(ctx, "k", id, lease.Failure{Code: "connection_lost", Hash: "e1"})
		}, "connection_lost", "e1"},
		{"cancel", func(m *lease.Manager, id string) (lease.Lease, error) { return m.Cancel(ctx, "k", id, "") }, "canceled", ""},
		{"cancel with a reason", func(m *lease.Manager, id string) (lease.Lease, error) { return m.Cancel(ctx, "k", id, "user left") }, "canceled:user left", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newManager(t, memory.New())
			held := mustAcquire(t, m, "k", nil)
			for range 2 { // the second time, as after a lost answer, it succeeds and changes nothing
				l, err := tt.end(m, held.LeaseID)
				if err != nil || l.State != lease.StateFailed || l.ErrorCode != tt.code || l.ErrorHash != tt.hash || l.Version != 2 {
					t.Fatalf("error %v, lease %+v", err, l)
				}
			}
			if l, acquired, err := m.Acquire(ctx, "k", nil); err != nil || acquired || l.State != lease.StateFailed {
				t.Fatalf("acquire of a failed key: acquired is %t, error %v, lease %+v", acquired, err, l)
			}
			retried := mustAcquire(t, m, "k", &lease.AcquireOptions{RetryFailed: true})
			if retried.Attempt != 2 || retried.Version != 3 || retried.Token <= held.Token {
				t.Errorf("retried: %+v", retried)
			}
			// The former holder is told again, as long as the new lease stands.
			for range 2 {
				if l, err := tt.end(m, held.LeaseID); err != nil || l.State != lease.StateFailed || l.ErrorCode != tt.code || l.Version != 2 || l.Token != held.Token {
					t.Errorf("the former holder got %v, lease %+v", err, l)
				}
				if _, err := m.Extend(ctx, "k", retried.LeaseID, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNonceMakesAcquireRepeatable(t *testing.T) {
	b := memory.New()
	m, clock := newManager(t, b)
	first := mustAcquire(t, m, "k", &lease.AcquireOptions{Nonce: "r"})
	other, err := lease.NewManager(b, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	same(t, mustAcquire(t, other, "k", &lease.AcquireOptions{Nonce: "r"}), first)
	if _, acquired, err := other.Acquire(ctx, "k", &lease.AcquireOptions{Nonce: "s"}); err != nil || acquired {
		t.Errorf("another nonce: acquired is %t, error %v", acquired, err)
	}
}

func TestNamespacesDoNotSeeEachOther(t *testing.T) {
	m, _ := newManager(t, memory.New(), lease.WithNamespace("a"))
	inB, err := m.InNamespace("b")
	if err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, m, "b/k", nil)
	mustAcquire(t, inB, "b/k", nil)
	mustAcquire(t, inB, "k", nil)
	if l, err := m.Status(ctx, "k"); err != nil || l.State != lease.StateNotFound {
		t.Errorf("status is %q, error %v", l.State, err)
	}
	backToA, err := inB.InNamespace("a")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := backToA.Status(ctx, "b/k"); err != nil || l.State != lease.StateInProgress {
		t.Errorf("status is %q, error %v", l.State, err)
	}
	for _, bad := range []string{"", "a/b", "é", strings.Repeat("n", 65)} {
		if _, err := m.InNamespace(bad); !errors.Is(err, lease.ErrInvalid) {
			t.Errorf("namespace %q: error is %v, want ErrInvalid", bad, err)
		}
	}
}

func TestForget(t *testing.T) {
	m, clock := newManager(t, memory.New())
	held := mustAcquire(t, m, "k", nil)
	if err := m.Forget(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if err := m.Forget(ctx, "k"); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("forgetting twice: %v, want ErrNotFound", err)
	}
	if _, err := m.Extend(ctx, "k", held.LeaseID, nil); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("extending what was forgotten: %v, want ErrNotFound", err)
	}
	again := mustAcquire(t, m, "k", nil)
	if again.Version != 1 || again.Token <= held.Token {
		t.Errorf("acquired after forgetting: version %d, token %d after %d", again.Version, again.Token, held.Token)
	}
	clock.Advance(365 * 24 * time.Hour)
	if err := m.Forget(ctx, "k"); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("forgetting what is past its retention: %v, want ErrNotFound", err)
	}
}

func TestAnUnreadableRecordIsNeverOverwritten(t *testing.T) {
	for _, value := range []string{"rubbish", `{"format":2}`} {
		b := memory.New()
		m, _ := newManager(t, b)
		revision, err := b.CompareAndSet(ctx, "default/k", 0, []byte(value), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range everyCall(ctx, m, "k") {
			if err := call.do(); call.name != "forget" && !errors.Is(err, lease.ErrUnreadable) {
				t.Errorf("%s of %s: %v, want ErrUnreadable", call.name, value, err)
			}
			if call.name == "status" { // the last before forget
				if e, err := b.Get(ctx, "default/k"); err != nil || e.Revision != revision {
					t.Errorf("the record %s was overwritten: %+v, %v", value, e, err)
				}
			}
		}
		if l, err := m.Status(ctx, "k"); err != nil || l.State != lease.StateNotFound {
			t.Errorf("after forget: %+v, %v", l, err)
		}
	}
}

type call struct {
	name string
	do   func() error
}

// everyCall is each operation on key by somebody who holds nothing; forget comes last.
func everyCall(ctx context.Context, m *lease.Manager, key string) []call {
	only := func(_ lease.Lease, err error) error { return err }
	return []call{
		{"acquire", func() error { _, _, err := m.Acquire(ctx, key, nil); return err }},
		{"extend", func() error { return only(m.Extend(ctx, key, "id", nil)) }},
		{"release", func() error { return only(m.Release(ctx, key, "id")) }},
		{"complete", func() error { return only(m.Complete(ctx, key, "id", lease.Completion{})) }},
		{"fail", func() error { return only(m.Fail(ctx, key, "id", lease.Failure{Code: "c"})) }},
		{"cancel", func() error { return only(m.Cancel(ctx, key, "id", "")) }},
		{"status", func() error { return only(m.Status(ctx, key)) }},
		{"forget", func() error { return m.Forget(ctx, key) }},
	}
}

func TestTTL(t *testing.T) {
	m, _ := newManager(t, memory.New())
	const day = 24 * time.Hour
	for i, tt := range []struct{ ask, granted time.Duration }{
		{0, time.Hour}, {time.Second, time.Second}, {30 * day, 30 * day}, {31 * day, 30 * day}, {1<<63 - 1, 30 * day}, {1500 * time.Millisecond, 1500 * time.Millisecond},
	} {
		key := fmt.Sprint(i)
		l := mustAcquire(t, m, key, &lease.AcquireOptions{TTL: tt.ask})
		if l.TTL != tt.granted || l.TTLLeft != tt.granted || !l.ExpiresAt.Equal(t0.Add(tt.granted)) {
			t.Errorf("asked for %v: granted %+v", tt.ask, l)
		}
		if l, err := m.Extend(ctx, key, l.LeaseID, &lease.ExtendOptions{TTL: tt.ask}); err != nil || l.TTL != tt.granted {
			t.Errorf("extended by %v: granted %+v, %v", tt.ask, l, err)
		}
	}
	for _, ask := range []time.Duration{-1, 1, time.Second - 1} {
		_, _, err := m.Acquire(ctx, "k", &lease.AcquireOptions{TTL: ask})
		isInvalid(t, err, "ttl", fmt.Sprintf("%v, must be at least 1s", ask))
	}
}

func TestRetryAfterIsNeverMoreThanUseful(t *testing.T) {
	for _, tt := range []struct{ left, want time.Duration }{
		{time.Hour, 5 * time.Second},
		{5 * time.Second, 5 * time.Second},
		{2 * time.Second, 2 * time.Second},
		{time.Millisecond, time.Second},
	} {
		m, clock := newManager(t, memory.New())
		mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Hour})
		clock.Advance(time.Hour - tt.left)
		if l, err := m.Status(ctx, "k"); err != nil || l.RetryAfter != tt.want {
			t.Errorf("with %v left, retry after is %v, want %v (%v)", l.TTLLeft, l.RetryAfter, tt.want, err)
		}
	}
}

func TestAnEndedContextDoesNothing(t *testing.T) {
	b := newScriptedStore()
	m, _ := newManager(t, b)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, call := range everyCall(ended, m, "k") {
		if err := call.do(); !errors.Is(err, context.Canceled) || errors.Is(err, lease.ErrUnknownOutcome) {
			t.Errorf("%s: %v, want context.Canceled", call.name, err)
		}
	}
	if n := b.calls(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
}

func TestOneOfManyAcquires(t *testing.T) {
	b := memory.New()
	m, clock := newManager(t, b)
	for round := range 20 {
		winners := make(chan lease.Lease, 64)
		var wg sync.WaitGroup
		for range cap(winners) {
			wg.Go(func() {
				l, acquired, err := m.Acquire(ctx, "k", &lease.AcquireOptions{TTL: time.Minute})
				if err != nil {
					t.Error(err)
				}
				if acquired {
					winners <- l
				}
			})
		}
		wg.Wait()
		if n := len(winners); n != 1 {
			t.Fatalf("round %d: %d callers acquired the key", round, n)
		}
		if l := <-winners; l.Attempt != round+1 || l.Version != uint64(round+1) {
			t.Fatalf("round %d: %+v", round, l)
		}
		clock.Advance(time.Minute)
	}
}

// same compares leases as they print, which shows the difference.
func same(t *testing.T, got, want lease.Lease) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Errorf("\n got %s\nwant %s", g, w)
	}
}
