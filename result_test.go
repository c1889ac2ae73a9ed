package lease_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

type panicsInJSON struct{}

func (panicsInJSON) MarshalJSON() ([]byte, error)  { panic("no JSON of me") }
func (*panicsInJSON) UnmarshalJSON(b []byte) error { panic("no JSON into me") }

type failsInJSON struct{}

func (failsInJSON) MarshalJSON() ([]byte, error) { return nil, errors.New("not today") }

func TestCompleteTakesAnyValueThatIsJSON(t *testing.T) {
	type report struct {
		Sent int    `json:"sent"`
		To   string `json:"to,omitempty"`
	}
	var none *report
	for _, tt := range []struct {
		name string
		v    any
		want string // "" if there is no result
	}{
		{"nothing", nil, ""},
		{"an empty json.RawMessage", json.RawMessage{}, ""},
		{"a json.RawMessage as it is", json.RawMessage(` {"b": 1.50, "a": "<"} `), `{"b":1.50,"a":"<"}`},
		{"a struct", report{2, "ann"}, `{"sent":2,"to":"ann"}`},
		{"a nil pointer", none, `null`},
		{"a string, without escapes for HTML", "<b> & c", `"<b> & c"`},
		{"a number", 1.5, `1.5`},
		{"an empty struct", struct{}{}, `{}`},
		{"bytes, as encoding/json has them", []byte("ab"), `"YWI="`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newManager(t, memory.New())
			held := mustAcquire(t, m, "k", nil)
			for range 2 {
				l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: tt.v})
				if err != nil || string(l.Result) != tt.want || l.Version != 2 {
					t.Fatalf("error %v, result %s, want %s", err, l.Result, tt.want)
				}
			}
			if l, err := m.Status(ctx, "k"); err != nil || string(l.Result) != tt.want {
				t.Errorf("status has %s, %v, want %s", l.Result, err, tt.want)
			}
		})
	}
}

func TestResultsThatCannotBeStored(t *testing.T) {
	circle := map[string]any{}
	circle["self"] = circle
	for _, tt := range []struct {
		name string
		v    any
		says string
	}{
		{"a function", func() {}, "unsupported type"},
		{"not a number", math.NaN(), "unsupported value"},
		{"a value that contains itself", circle, "cycle"},
		{"a value whose MarshalJSON fails", failsInJSON{}, "not today"},
		{"a value whose MarshalJSON panics", panicsInJSON{}, "encoding panicked: no JSON of me"},
		{"a value in which one panics", []any{1, panicsInJSON{}}, "encoding panicked: no JSON of me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := newManager(t, memory.New())
			held := mustAcquire(t, m, "k", nil)
			_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{Result: tt.v})
			isInvalid(t, err, "result", tt.says)
			// Nothing was written, and the holder can end the lease otherwise.
			if l, err := m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "result"}); err != nil || l.Version != 2 {
				t.Errorf("then it fails: %v, %+v", err, l)
			}
		})
	}
}

func TestDecodeResult(t *testing.T) {
	m, clock := newManager(t, memory.New())
	acquire := func(key string, opts *lease.AcquireOptions) string { return mustAcquire(t, m, key, opts).LeaseID }
	must := func(_ lease.Lease, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(m.Complete(ctx, "number", acquire("number", nil), lease.Completion{Result: 7}))
	must(m.Complete(ctx, "null", acquire("null", nil), lease.Completion{Result: json.RawMessage("null")}))
	must(m.Complete(ctx, "no result", acquire("no result", nil), lease.Completion{}))
	must(m.Fail(ctx, "failed", acquire("failed", nil), lease.Failure{Code: "boom"}))
	must(m.Fail(ctx, "failed retryably", acquire("failed retryably", nil), lease.Failure{Code: "boom", Retryable: true}))
	must(m.Cancel(ctx, "canceled", acquire("canceled", nil), "user left"))
	must(m.Release(ctx, "released", acquire("released", nil)))
	short := &lease.AcquireOptions{TTL: time.Second}
	acquire("expired", short)
	acquire("once", &lease.AcquireOptions{TTL: time.Second, AtMostOnce: true})
	clock.Advance(time.Minute)
	acquire("in progress", nil)

	var n int
	var text string
	var none *int
	for _, tt := range []struct {
		key  string
		into any
		err  error
		says string // part of the error, and its code if it is a failure
		code string
	}{
		{"number", &n, nil, "", ""},
		{"number", new(any), nil, "", ""},
		{"number", &struct{}{}, nil, "", ""},
		{"null", &n, nil, "", ""},
		{"no result", &struct{}{}, nil, "", ""},
		{"no result", &n, lease.ErrResultType, "completed without a result", ""},
		{"no result", new(any), lease.ErrResultType, "completed without a result", ""},
		{"number", &text, lease.ErrResultType, "1 bytes cannot be decoded as string", ""},
		{"number", n, lease.ErrResultType, "cannot be decoded as int", ""},
		{"number", none, lease.ErrResultType, "cannot be decoded as int", ""},
		{"number", nil, lease.ErrResultType, "cannot be decoded", ""},
		{"number", new(panicsInJSON), lease.ErrResultType, "decoding panicked: no JSON into me", ""},
		{"failed", &n, lease.ErrFailed, `failed with code "boom" (attempt 1)`, "boom"},
		{"failed", &struct{}{}, lease.ErrFailed, `failed with code "boom" (attempt 1)`, "boom"},
		{"failed retryably", &n, lease.ErrFailed, `failed with code "boom" (attempt 1)`, "boom"},
		{"canceled", &n, lease.ErrFailed, `"canceled:user left"`, "canceled:user left"},
		{"once", &n, lease.ErrFailed, `"expired"`, "expired"},
		{"expired", &n, lease.ErrExpired, "expired", ""},
		{"released", &n, lease.ErrExpired, "expired", ""},
		{"in progress", &n, lease.ErrInProgress, "in progress", ""},
		{"never acquired", &n, lease.ErrNotFound, "no such lease", ""},
	} {
		l, err := m.Status(ctx, tt.key)
		if err != nil {
			t.Fatal(err)
		}
		n = 7
		err = l.DecodeResult(tt.into)
		if tt.err == nil {
			if err != nil || tt.key == "number" && n != 7 {
				t.Errorf("%s into %T: %v, %d", tt.key, tt.into, err, n)
			}
			continue
		}
		e, ok := errors.AsType[*lease.Error](err)
		if !errors.Is(err, tt.err) || !ok || e.Op != "decode result" || e.Key != tt.key || e.Lease.State != l.State || !contains(err, tt.says) {
			t.Errorf("%s into %T: error is %+v, want one that says %q", tt.key, tt.into, err, tt.says)
		}
		if got := lease.Code(err); got != tt.code {
			t.Errorf("%s: Code is %q, want %q", tt.key, got, tt.code)
		}
		for _, other := range []error{lease.ErrFailed, lease.ErrExpired, lease.ErrInProgress, lease.ErrNotFound, lease.ErrResultType} {
			if other != tt.err && errors.Is(err, other) {
				t.Errorf("%s: the error is %v too", tt.key, other)
			}
		}
	}
	if err := (lease.Lease{}).DecodeResult(&n); !errors.Is(err, lease.ErrNotFound) {
		t.Errorf("the zero Lease: %v, want ErrNotFound", err)
	}
}
