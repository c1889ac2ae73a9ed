package lease_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

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
