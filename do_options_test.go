package lease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// What DoOptions makes of a lease, and what is refused.

func TestDoOptionsOfALease(t *testing.T) {
	for _, tt := range []struct {
		name  string
		opts  *lease.DoOptions
		check func(l lease.Lease) bool // under the lease
	}{
		{"none", nil, func(l lease.Lease) bool {
			return l.TTL == 30*time.Second && l.Metadata == nil && l.InputHash == "" && !l.AtMostOnce
		}},
		{"a TTL", &lease.DoOptions{TTL: time.Minute}, func(l lease.Lease) bool { return l.TTL == time.Minute }},
		{"a TTL beyond the maximum", &lease.DoOptions{TTL: 48 * time.Hour}, func(l lease.Lease) bool { return l.TTL == 24*time.Hour }},
		{"metadata", &lease.DoOptions{Metadata: []byte(`{ "host": "a" }`)}, func(l lease.Lease) bool { return string(l.Metadata) == `{"host":"a"}` }},
		{"an input", &lease.DoOptions{Input: 7}, func(l lease.Lease) bool { return l.InputHash != "" }},
		{"at most once", &lease.DoOptions{AtMostOnce: true}, func(l lease.Lease) bool { return l.AtMostOnce }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := host(t, memory.New(), lease.WithMaxTTL(24*time.Hour))
			err := mustExec(t, t.Context(), m, "k", tt.opts, func(ctx context.Context) error {
				own, ok := lease.FromContext(ctx)
				if l := status(t, m, "k"); !ok || !tt.check(own) || !tt.check(l) {
					t.Errorf("the lease is %+v, the context has %+v", l, own)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the Manager's shortest TTL, if that is above 30 seconds", func(t *testing.T) {
		m := host(t, memory.New(), lease.WithMinTTL(time.Minute))
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			if l := status(t, m, "k"); l.TTL != time.Minute {
				t.Errorf("the TTL is %v", l.TTL)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestDoRefusesBadOptions(t *testing.T) {
	m := host(t, memory.New())
	for _, tt := range []struct {
		name  string
		field string
		key   string
		opts  lease.DoOptions
	}{
		{"no key", "key", "", lease.DoOptions{}},
		{"a TTL that is too short", "ttl", "k", lease.DoOptions{TTL: time.Millisecond}},
		{"a negative TTL", "ttl", "k", lease.DoOptions{TTL: -1}},
		{"metadata that is no object", "metadata", "k", lease.DoOptions{Metadata: []byte("[]")}},
		{"an input that is none", "input", "k", lease.DoOptions{Input: make(chan int)}},
		{"a retention that is too short", "retention", "k", lease.DoOptions{Retention: time.Second}},
		{"a grace above a third of the TTL", "grace", "k", lease.DoOptions{TTL: 3 * time.Second, Grace: time.Second + 1}},
		{"a negative grace", "grace", "k", lease.DoOptions{Grace: -1}},
		{"a grace that is too short", "grace", "k", lease.DoOptions{Grace: time.Microsecond}},
		{"negative attempts", "attempts", "k", lease.DoOptions{Attempts: -1}},
		{"Replace without an input", "replace", "k", lease.DoOptions{Replace: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := mustNotRun[int](t, t.Context(), m, tt.key, &tt.opts)
			if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != tt.field {
				t.Errorf("got %v, want it to name %q", err, tt.field)
			}
			if e, ok := errors.AsType[*lease.Error](err); !ok || e.Op != "do" || e.Key != tt.key {
				t.Errorf("got %#v", err)
			}
		})
	}
	var nothing func(context.Context) (int, error)
	if _, err := lease.Do(t.Context(), m, "k", nil, nothing); !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("no function: %v", err)
	}
	if err := lease.Exec(t.Context(), m, "k", nil, nil); !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("Exec without a function: %v", err)
	}
	mustStand(t, m, "k", "not_found 0")
}

func TestDoDoesNotChangeItsOptions(t *testing.T) {
	m := host(t, memory.New())
	opts := lease.DoOptions{Input: 1, Replace: true, RetryFailed: true, Attempts: 2}
	_, err := mustRunTimes(t, 2, t.Context(), m, "k", &opts, returns(0, coded("boom")))
	mustFail(t, err, "boom")
	if !opts.Replace || !opts.RetryFailed || opts.Input != 1 || opts.Attempts != 2 || opts.TTL != 0 {
		t.Errorf("the options have become %+v", opts)
	}
}
