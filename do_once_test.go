package lease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// DoOptions.AtMostOnce: for work that must rather stay undone than be done twice.

func TestAtMostOnceBeginsOnlyWhereNothingWasDone(t *testing.T) {
	plain, once := &lease.AcquireOptions{TTL: time.Minute}, &lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true}
	expires := func(m *lease.Manager, l lease.Lease) error { time.Sleep(time.Minute); return nil }
	releases := func(m *lease.Manager, l lease.Lease) error {
		_, err := m.Release(context.Background(), "k", l.LeaseID)
		return err
	}
	fails := func(retryable bool) func(m *lease.Manager, l lease.Lease) error {
		return func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Fail(context.Background(), "k", l.LeaseID, lease.Failure{Code: "boom", Retryable: retryable})
			return err
		}
	}
	for _, tt := range []struct {
		name   string
		before *lease.AcquireOptions // nil: nobody was there before
		end    func(m *lease.Manager, l lease.Lease) error
		code   string // of the failure that it gets; "": it runs
	}{
		{"on a new key", nil, nil, ""},
		{"over an at-most-once lease that was released", once, releases, ""},
		{"over an at-most-once lease that failed retryably", once, fails(true), ""},
		{"not over an at-most-once lease that failed for good", once, fails(false), "boom"},
		{"not over an at-most-once lease that expired", once, expires, "expired"},
		{"not over a plain lease that expired", plain, expires, "expired"},
		{"not over a plain lease that was released", plain, releases, "released"},
		{"not over a plain lease that failed, although retryably", plain, fails(true), "boom"},
	} {
		for _, waits := range []bool{false, true} {
			if waits && tt.before == nil {
				continue
			}
			name := tt.name
			if waits {
				name += ", for which it has waited"
			}
			bubble(t, name, func(t *testing.T, store *memory.Store) {
				m := host(t, store)
				end := func() {
					if err := tt.end(m, status(t, m, "k")); err != nil {
						t.Error(err)
					}
				}
				if tt.before != nil {
					mustTake(t, m, "k", tt.before)
					if waits {
						time.AfterFunc(time.Second, end)
					} else {
						end()
					}
				}
				// Attempts does not help it to do twice what may be done.
				opts := &lease.DoOptions{AtMostOnce: true, Attempts: 3}
				if tt.code != "" {
					begun := time.Now()
					_, err := mustNotRun[int](t, t.Context(), m, "k", opts)
					mustFail(t, err, tt.code)
					took := time.Since(begun)
					if want := time.Second; waits && took != want && took != want+59*time.Second || !waits && took != 0 {
						t.Errorf("it was told after %v", took)
					}
					opts = &lease.DoOptions{AtMostOnce: true, RetryFailed: true} // somebody has looked
				}
				if v, err := mustRun(t, t.Context(), m, "k", opts, returns("done", nil)); v != "done" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
				time.Sleep(time.Minute) // for an end that takes as long
			})
		}
	}
}

func TestAtMostOnceIsNeverDoneTwice(t *testing.T) {
	bubbleWith(t, "its lease expires, and its late result counts", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		v, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{AtMostOnce: true, TTL: time.Minute}, func(ctx context.Context) (string, error) {
			b.away.Store(true)
			<-ctx.Done()
			time.Sleep(time.Hour)
			mustStand(t, other, "k", "failed 1 expired")
			for _, opts := range []*lease.DoOptions{nil, {AtMostOnce: true}} {
				_, err := mustNotRun[string](t, context.WithoutCancel(ctx), other, "k", opts)
				mustFail(t, err, "expired")
			}
			b.away.Store(false)
			return "late", nil
		})
		if v != "late" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		mustStand(t, other, "k", "completed 1")
	})
	bubbleWith(t, "the answer to its acquire comes in the last moment", func(t *testing.T, b *scriptedStore) {
		first := true
		b.always = func(w write) (uint64, error) {
			r, err := w.apply()
			if first {
				first = false
				time.Sleep(4600 * time.Millisecond)
			}
			return r, err
		}
		n, err := mustRun(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: 5 * time.Second, AtMostOnce: true}, attempt)
		if n != 1 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
	})
}

func TestAtMostOnceDoesNotGoWithReplace(t *testing.T) {
	_, err := mustNotRun[int](t, t.Context(), host(t, memory.New()), "k", &lease.DoOptions{AtMostOnce: true, Replace: true, Input: 1})
	if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != "replace" {
		t.Errorf("got %v", err)
	}
}
