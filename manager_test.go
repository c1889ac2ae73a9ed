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

func TestTakeover(t *testing.T) {
	b := memory.New()
	m, clock := newManager(t, b)
	other, err := lease.NewManager(b, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	first := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(time.Minute)
	if l, err := other.Status(ctx, "k"); err != nil || l.State != lease.StateExpired || l.TTLLeft != 0 {
		t.Fatalf("status past the deadline: %+v, %v", l, err)
	}
	second := mustAcquire(t, other, "k", &lease.AcquireOptions{TTL: time.Minute})
	if second.Attempt != 2 || second.Version != 2 || second.Token <= first.Token || second.LeaseID == first.LeaseID || !second.FirstSeenAt.Equal(t0) {
		t.Fatalf("taken over: %+v\nfrom %+v", second, first)
	}
	_, err = m.Complete(ctx, "k", first.LeaseID, lease.Completion{})
	var e *lease.Error
	if !errors.Is(err, lease.ErrLost) || !errors.As(err, &e) || e.Lease.Token != second.Token {
		t.Fatalf("the former holder's completion: %v, %+v", err, e)
	}
	if want := `lease: complete "k": lease lost: held under another lease id, version 2`; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestLateHolderIsAcceptedIfNobodyTookOver(t *testing.T) {
	for _, once := range []bool{false, true} {
		m, clock := newManager(t, memory.New())
		held := mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: once})
		clock.Advance(time.Hour)
		if l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil || l.State != lease.StateCompleted {
			t.Errorf("at most once %t: a late completion: %+v, %v", once, l, err)
		}
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

func TestClockSkewDelaysTheTakeover(t *testing.T) {
	m, clock := newManager(t, memory.New(), lease.WithClockSkew(10*time.Second))
	mustAcquire(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(69 * time.Second)
	l, acquired, err := m.Acquire(ctx, "k", nil)
	if err != nil || acquired || l.State != lease.StateInProgress || l.TTLLeft != 0 || l.RetryAfter != time.Second {
		t.Fatalf("within the skew: acquired is %t, error %v, lease %+v", acquired, err, l)
	}
	clock.Advance(time.Second)
	mustAcquire(t, m, "k", nil)
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

func TestLimits(t *testing.T) {
	quote := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
	const secret = "secret"
	object := func(n int) json.RawMessage { return json.RawMessage(`{"k":` + string(quote(n-6)) + `}`) }
	for _, tt := range []struct {
		name string
		call func(m *lease.Manager, id string) error
		// what a refusal says; "" if there must be none
		field, says string
	}{
		{"a key of 256 characters", acquireKey(strings.Repeat("é", 256)), "", ""},
		{"a key of 257 characters", acquireKey(strings.Repeat("é", 257)), "key", "257 characters, limit 256"},
		{"no key", acquireKey(""), "key", "0 characters, must be from 1 to 256"},
		{"a key that is not UTF-8", acquireKey("a\xff"), "key", "2 bytes that are not valid UTF-8"},
		{"a key with a control character", acquireKey("a\x00b"), "key", "control character U+0000 at byte 1 of 3"},
		{"a key with a control character beyond ASCII", acquireKey("\u0085"), "key", "control character U+0085 at byte 0 of 2"},
		{"metadata of 2048 bytes", acquireWith(&lease.AcquireOptions{Metadata: object(2048)}), "", ""},
		{"metadata of 2048 bytes and white space", acquireWith(&lease.AcquireOptions{Metadata: append([]byte("  "), object(2048)...)}), "", ""},
		{"metadata of 2049 bytes", acquireWith(&lease.AcquireOptions{Metadata: object(2049)}), "metadata", "2049 bytes, limit 2048"},
		{"metadata that is no object", acquireWith(&lease.AcquireOptions{Metadata: json.RawMessage(`[1]`)}), "metadata", "3 bytes of JSON that are not an object"},
		{"metadata that is not JSON", acquireWith(&lease.AcquireOptions{Metadata: json.RawMessage(`{"a"}`)}), "metadata", "5 bytes that are not valid JSON"},
		{"metadata that is not UTF-8", acquireWith(&lease.AcquireOptions{Metadata: json.RawMessage("{\"a\":\"\xff\"}")}), "metadata", "9 bytes that are not valid UTF-8"},
		{"a nonce of 257 bytes", acquireWith(&lease.AcquireOptions{Nonce: strings.Repeat("r", 257)}), "nonce", "257 bytes, limit 256"},
		{"a retention of a minute", acquireWith(&lease.AcquireOptions{Retention: time.Minute}), "", ""},
		{"a retention of 30 days", acquireWith(&lease.AcquireOptions{Retention: 30 * 24 * time.Hour}), "", ""},
		{"a retention below a minute", acquireWith(&lease.AcquireOptions{Retention: time.Minute - 1}), "retention", "59.999999999s, must be from 1m0s to 720h0m0s"},
		{"a retention above the maximum, which is not clamped", acquireWith(&lease.AcquireOptions{Retention: 30*24*time.Hour + 1}), "retention", "720h0m0.000000001s, must be from 1m0s to 720h0m0s"},
		{"a negative retention", acquireWith(&lease.AcquireOptions{Retention: -time.Hour}), "retention", "-1h0m0s, must be from 1m0s to 720h0m0s"},
		{"an input", acquireWith(&lease.AcquireOptions{Input: secret}), "", ""},
		{"an input and its hash", acquireWith(&lease.AcquireOptions{Input: 1, InputHash: secret}), "input_hash", "6 bytes beside an input, must be one or the other"},
		{"an input without canonical JSON", acquireWith(&lease.AcquireOptions{Input: map[string]any{secret: func() {}}}), "input", "func()"},
		{"Replace without an input", acquireWith(&lease.AcquireOptions{Replace: true}), "replace", "true without an input"},
		{"Replace with AtMostOnce", acquireWith(&lease.AcquireOptions{Replace: true, AtMostOnce: true, InputHash: secret}), "replace", "true with at_most_once, must be one or the other"},
		{"an input hash of 257 bytes", acquireWith(&lease.AcquireOptions{InputHash: strings.Repeat("i", 257)}), "input_hash", "257 bytes, limit 256"},
		{"an extension without a TTL", extend(nil), "", ""},
		{"an extension with a TTL below the least", extend(&lease.ExtendOptions{TTL: time.Second - 1}), "ttl", "999.999999ms, must be at least 1s"},
		{"an extension with metadata of 2049 bytes", extend(&lease.ExtendOptions{Metadata: object(2049)}), "metadata", "2049 bytes, limit 2048"},
		{"an extension with metadata that is no object", extend(&lease.ExtendOptions{Metadata: json.RawMessage(`"secret"`)}), "metadata", "8 bytes of JSON that are not an object"},
		{"a checkpoint of 64 KiB", extend(&lease.ExtendOptions{Checkpoint: quote(64 << 10)}), "", ""},
		{"a checkpoint of 64 KiB and a byte", extend(&lease.ExtendOptions{Checkpoint: quote(64<<10 + 1)}), "checkpoint", "65537 bytes, limit 65536"},
		{"a checkpoint that is not JSON", extend(&lease.ExtendOptions{Checkpoint: json.RawMessage("{secret")}), "checkpoint", "7 bytes that are not valid JSON"},
		{"a checkpoint that is not UTF-8", extend(&lease.ExtendOptions{Checkpoint: json.RawMessage("\"\xff\"")}), "checkpoint", "3 bytes that are not valid UTF-8"},
		{"a sequence without a checkpoint", extend(&lease.ExtendOptions{CheckpointSeq: 3}), "checkpoint_seq", "3 without a checkpoint"},
		{"a result of 256 KiB", complete(lease.Completion{Result: quote(256 << 10)}), "", ""},
		{"a result of 256 KiB as a value", complete(lease.Completion{Result: strings.Repeat("x", 256<<10-2)}), "", ""},
		{"a result of 256 KiB and a byte as a value", complete(lease.Completion{Result: strings.Repeat("x", 256<<10-1)}), "result", "262145 bytes, limit 262144"},
		{"a result that cannot be encoded", complete(lease.Completion{Result: func() {}}), "result", "cannot be encoded as JSON"},
		{"a result of 256 KiB and a byte", complete(lease.Completion{Result: quote(256<<10 + 1)}), "result", "262145 bytes, limit 262144"},
		{"a result that is not JSON", complete(lease.Completion{Result: json.RawMessage("nope")}), "result", "4 bytes that are not valid JSON"},
		{"a result hash of 257 bytes", complete(lease.Completion{ResultHash: strings.Repeat("h", 257)}), "result_hash", "257 bytes, limit 256"},
		{"an error code of 128 bytes", fail(lease.Failure{Code: strings.Repeat("c", 128)}), "", ""},
		{"an error code of 129 bytes", fail(lease.Failure{Code: strings.Repeat("c", 129)}), "error_code", "129 bytes, limit 128"},
		{"no error code", fail(lease.Failure{}), "error_code", "0 bytes, must be from 1 to 128"},
		{"an error text of 1024 bytes", fail(lease.Failure{Code: "c", Text: strings.Repeat("t", 1024)}), "", ""},
		{"an error text of 1025 bytes", fail(lease.Failure{Code: "c", Text: strings.Repeat("t", 1025)}), "error_text", "1025 bytes, limit 1024"},
		{"an error text with a control character", fail(lease.Failure{Code: "c", Text: "secret\n"}), "error_text", "control character U+000A at byte 6 of 7"},
		{"an error hash of 257 bytes", fail(lease.Failure{Code: "c", Hash: strings.Repeat("h", 257)}), "error_hash", "257 bytes, limit 256"},
		{"a reason of 256 bytes", cancel(strings.Repeat("r", 256)), "", ""},
		{"a reason of 257 bytes", cancel(strings.Repeat("r", 257)), "reason", "257 bytes, limit 256"},
		{"no lease id", func(m *lease.Manager, _ string) error { return complete(lease.Completion{})(m, "") }, "lease_id", "0 bytes, must be from 1 to 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newScriptedStore()
			m, _ := newManager(t, b)
			held := mustAcquire(t, m, "held", nil)
			before := b.calls()
			err := tt.call(m, held.LeaseID)
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			isInvalid(t, err, tt.field, tt.says)
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "xxxx") {
				t.Errorf("the error shows the value: %.200v", err)
			}
			if n := b.calls() - before; n != 0 {
				t.Errorf("the store was asked %d times before the argument was refused", n)
			}
		})
	}
}

func acquireKey(key string) func(*lease.Manager, string) error {
	return func(m *lease.Manager, _ string) error {
		_, _, err := m.Acquire(ctx, key, nil)
		return err
	}
}

func acquireWith(opt *lease.AcquireOptions) func(*lease.Manager, string) error {
	return func(m *lease.Manager, _ string) error { _, _, err := m.Acquire(ctx, "new", opt); return err }
}

func extend(opts *lease.ExtendOptions) func(*lease.Manager, string) error {
	return func(m *lease.Manager, id string) error { _, err := m.Extend(ctx, "held", id, opts); return err }
}

func complete(c lease.Completion) func(*lease.Manager, string) error {
	return func(m *lease.Manager, id string) error { _, err := m.Complete(ctx, "held", id, c); return err }
}

func fail(f lease.Failure) func(*lease.Manager, string) error {
	return func(m *lease.Manager, id string) error { _, err := m.Fail(ctx, "held", id, f); return err }
}

func cancel(reason string) func(*lease.Manager, string) error {
	return func(m *lease.Manager, id string) error { _, err := m.Cancel(ctx, "held", id, reason); return err }
}

func isInvalid(t *testing.T, err error, field, says string) {
	t.Helper()
	var f *lease.FieldError
	if !errors.Is(err, lease.ErrInvalid) || !errors.As(err, &f) || f.Field != field || !strings.Contains(f.Problem, says) {
		t.Errorf("error is %v, want one that says %s: %s", err, field, says)
	}
}

func TestTheLongestRecordFits(t *testing.T) {
	b := memory.New()
	m, _ := newManager(t, b, lease.WithMaxResultBytes(900<<10), lease.WithMaxErrorCodeBytes(4096), lease.WithMaxReasonBytes(4096))
	long := strings.Repeat("\u2028", 85) // six bytes each as JSON, 255 as they are
	key := strings.Repeat("\U0001F4A1", 256)
	metadata := json.RawMessage(`{"k":"` + strings.Repeat("x", 2040) + `"}`)
	var l lease.Lease
	for i := range 10 { // so many are remembered, and more
		hash := fmt.Sprint(i) + long[3:]
		l = mustAcquire(t, m, key, &lease.AcquireOptions{Nonce: hash, InputHash: hash, Metadata: metadata, Replace: true})
	}
	if _, err := m.Extend(ctx, key, l.LeaseID, &lease.ExtendOptions{Checkpoint: json.RawMessage(`"` + strings.Repeat("x", 64<<10-2) + `"`)}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Complete(ctx, key, l.LeaseID, lease.Completion{Result: json.RawMessage(`"` + strings.Repeat("x", 900<<10-2) + `"`), ResultHash: long}); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, tt := range []struct {
		field string
		opt   lease.Option
	}{
		{"namespace", lease.WithNamespace("a/b")},
		{"default_ttl", lease.WithDefaultTTL(0)},
		{"default_ttl", lease.WithMaxTTL(time.Minute)}, // the default is an hour
		{"min_ttl", lease.WithMinTTL(time.Millisecond)},
		{"max_ttl", lease.WithMaxTTL(0)},
		{"retention", lease.WithRetention(0)},
		{"max_retention", lease.WithMaxRetention(time.Second)},
		{"clock_skew", lease.WithClockSkew(-1)},
		{"retry_after", lease.WithRetryAfter(0)},
		{"max_key_chars", lease.WithMaxKeyChars(257)},
		{"max_metadata_bytes", lease.WithMaxMetadataBytes(0)},
		{"max_result_bytes", lease.WithMaxResultBytes(1 << 20)},
		{"max_error_code_bytes", lease.WithMaxErrorCodeBytes(0)},
		{"max_reason_bytes", lease.WithMaxReasonBytes(5000)},
		{"options", lease.WithClock(nil)},
		{"options", lease.WithLogger(nil)},
	} {
		_, err := lease.NewManager(memory.New(), tt.opt)
		isInvalid(t, err, tt.field, "")
	}
	_, err := lease.NewManager(nil)
	isInvalid(t, err, "backend", "must not be nil")
}

func TestOptionsChangeTheLimits(t *testing.T) {
	m, _ := newManager(t, memory.New(), lease.WithMaxKeyChars(3), lease.WithMaxMetadataBytes(2), lease.WithMaxResultBytes(2),
		lease.WithMaxErrorCodeBytes(32), lease.WithMaxReasonBytes(2), lease.WithMinTTL(time.Minute), lease.WithMaxTTL(2*time.Minute),
		lease.WithDefaultTTL(90*time.Second), lease.WithRetention(time.Hour), lease.WithRetryAfter(20*time.Second))
	l := mustAcquire(t, m, "abc", &lease.AcquireOptions{Metadata: json.RawMessage(`{}`)})
	if l.TTL != 90*time.Second || l.RetryAfter != 20*time.Second {
		t.Errorf("lease is %+v", l)
	}
	_, _, err := m.Acquire(ctx, "abcd", nil)
	isInvalid(t, err, "key", "4 characters, limit 3")
	_, _, err = m.Acquire(ctx, "k", &lease.AcquireOptions{Metadata: json.RawMessage(`{"a":1}`)})
	isInvalid(t, err, "metadata", "7 bytes, limit 2")
	_, err = m.Extend(ctx, "abc", l.LeaseID, &lease.ExtendOptions{TTL: time.Second})
	isInvalid(t, err, "ttl", "1s, must be at least 1m0s")
	_, err = m.Complete(ctx, "abc", l.LeaseID, lease.Completion{Result: json.RawMessage(`123`)})
	isInvalid(t, err, "result", "3 bytes, limit 2")
	_, err = m.Fail(ctx, "abc", l.LeaseID, lease.Failure{Code: strings.Repeat("x", 33)})
	isInvalid(t, err, "error_code", "33 bytes, limit 32")
	_, err = m.Cancel(ctx, "abc", l.LeaseID, "abc")
	isInvalid(t, err, "reason", "3 bytes, limit 2")
}

func TestErrorsStayReadableWhateverTheKey(t *testing.T) {
	m, _ := newManager(t, memory.New())
	_, err := m.Status(ctx, strings.Repeat("é", 5000))
	if len(err.Error()) > 200 || !strings.Contains(err.Error(), "(10000 bytes)") {
		t.Errorf("error is %q", err)
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
