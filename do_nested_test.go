package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promise 5 of Do: a Do inside another on the same lease would wait for itself, and fails at once.
// What an inner Do leaves behind when it has to stop is no failure.

func TestADoThatWouldWaitForItself(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts *lease.DoOptions
		ctx  func(ctx context.Context) context.Context
	}{
		{"by its context", nil, func(ctx context.Context) context.Context { return ctx }},
		{"by a context derived from it", nil, func(ctx context.Context) context.Context {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			time.AfterFunc(time.Minute, cancel)
			return ctx
		}},
		{"by a context that does not end with it", nil, context.WithoutCancel},
		{"and would rather not wait", &lease.DoOptions{NoWait: true}, func(ctx context.Context) context.Context { return ctx }},
		{"and has attempts", &lease.DoOptions{Attempts: 5}, func(ctx context.Context) context.Context { return ctx }},
		{"and would retry what has failed", &lease.DoOptions{RetryFailed: true}, func(ctx context.Context) context.Context { return ctx }},
		{"and would finish", &lease.DoOptions{Finish: true}, func(ctx context.Context) context.Context { return ctx }},
		{"and would replace itself by newer input", &lease.DoOptions{Input: "newer", Replace: true}, func(ctx context.Context) context.Context { return ctx }},
	} {
		for depth := range 3 {
			bubble(t, fmt.Sprintf("%s, %d others in between", tt.name, depth), func(t *testing.T, store *memory.Store) {
				// The Managers differ, the store is the same.
				m, other := host(t, store), host(t, store)
				same, err := other.InNamespace("default")
				if err != nil {
					t.Fatal(err)
				}
				v, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{Input: "older"}, func(ctx context.Context) (string, error) {
					for _, via := range []*lease.Manager{m, other, same} {
						between := func(ctx context.Context) error {
							begun := time.Now()
							_, err := mustNotRun[string](t, tt.ctx(ctx), via, "k", tt.opts)
							mustNotFail(t, err, lease.ErrInProgress)
							if took := time.Since(begun); took != 0 {
								t.Errorf("it waited for %v", took)
							}
							return nil
						}
						for i := range depth {
							within := between
							between = func(ctx context.Context) error { return mustExec(t, ctx, other, fmt.Sprint("l", i), nil, within) }
						}
						if err := between(ctx); err != nil {
							t.Error(err)
						}
						for i := range depth {
							if err := m.Forget(ctx, fmt.Sprint("l", i)); err != nil {
								t.Error(err)
							}
						}
					}
					return "done", ctx.Err()
				})
				if v != "done" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
				mustStand(t, m, "k", "completed 1")
			})
		}
	}
}

func TestANestedDoThatDoesNotWaitForItself(t *testing.T) {
	bubble(t, "the same key in another namespace", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		other, err := m.InNamespace("other")
		if err != nil {
			t.Fatal(err)
		}
		err = mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			return mustExec(t, ctx, other, "k", nil, func(context.Context) error { return nil })
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubble(t, "another key, which somebody else holds", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		l := mustTake(t, m, "l", nil)
		time.AfterFunc(time.Minute, func() {
			if _, err := m.Complete(context.Background(), "l", l.LeaseID, lease.Completion{Result: "theirs"}); err != nil {
				t.Error(err)
			}
		})
		v, err := mustRun(t, t.Context(), m, "k", nil, func(ctx context.Context) (string, error) {
			return mustNotRun[string](t, ctx, m, "l", nil)
		})
		if v != "theirs" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
	})
	bubble(t, "the same key, once the outer function has returned", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		var kept context.Context
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			kept = context.WithoutCancel(ctx)
			return coded("boom")
		})
		mustFail(t, err, "boom")
		if n, err := mustRun(t, kept, m, "k", nil, attempt); n != 2 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
	})
}

// TestADoWhoseOuterLeaseWasGivenUp waits for that lease to be over like anybody else.
func TestADoWhoseOuterLeaseWasGivenUp(t *testing.T) {
	bubbleWith(t, "and takes it over", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		begun := time.Now()
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			b.away.Store(true)
			<-ctx.Done()
			b.away.Store(false)
			n, err := mustRun(t, context.WithoutCancel(ctx), m, "k", nil, attempt)
			if took := time.Since(begun); n != 2 || err != nil || took != time.Minute {
				t.Errorf("attempt %d, %v after %v", n, err, took)
			}
			return ctx.Err()
		})
		mustNotFail(t, err, lease.ErrLost)
	})
}

// TestAnInnerDoThatHasToStop: its key is released, so that whoever works on the outer key next goes
// on with the inner one.
func TestAnInnerDoThatHasToStop(t *testing.T) {
	nested := func(t *testing.T, ctx context.Context, m, inner *lease.Manager, opts *lease.DoOptions, stop func(ctx context.Context)) (inside, outside error) {
		outside = mustExec(t, ctx, m, "outer", opts, func(ctx context.Context) error {
			inside = mustExec(t, ctx, inner, "inner", nil, func(ctx context.Context) error {
				if err := lease.Save(ctx, "half done"); err != nil {
					t.Error(err)
				}
				stop(ctx)
				<-ctx.Done()
				return ctx.Err()
			})
			return inside
		})
		return inside, outside
	}
	again := func(t *testing.T, m *lease.Manager) {
		t.Helper()
		v, err := mustRun(t, t.Context(), m, "outer", nil, func(ctx context.Context) (string, error) {
			return mustRun(t, ctx, m, "inner", nil, func(ctx context.Context) (v string, err error) {
				_, err = lease.Load(ctx, &v)
				return v, err
			})
		})
		if v != "half done" || err != nil {
			t.Errorf("the next: %q, %v", v, err)
		}
	}
	bubble(t, "since the outer lease was lost", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		inside, outside := nested(t, t.Context(), m, m, nil, func(ctx context.Context) {
			time.Sleep(time.Second)
			if err := m.Forget(context.Background(), "outer"); err != nil {
				t.Error(err)
			}
		})
		mustNotFail(t, inside, context.Canceled)
		mustNotFail(t, outside, lease.ErrLost)
		mustStand(t, m, "inner", "released 1")
		again(t, m)
	})
	bubbleWith(t, "since the outer lease could not be extended", func(t *testing.T, b *scriptedStore) {
		m, inner := host(t, b), host(t, b.Store)
		inside, outside := nested(t, t.Context(), m, inner, &lease.DoOptions{TTL: 3 * time.Second}, func(context.Context) { b.away.Store(true) })
		mustNotFail(t, inside, context.Canceled)
		mustNotFail(t, outside, lease.ErrLost)
		mustStand(t, inner, "inner", "released 1")
		again(t, inner)
	})
	bubble(t, "since the process shuts down", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		inside, outside := nested(t, ctx, m, m, nil, func(context.Context) {})
		mustNotFail(t, inside, context.DeadlineExceeded)
		mustNotFail(t, outside, context.DeadlineExceeded)
		mustStand(t, m, "inner", "released 1")
		mustStand(t, m, "outer", "released 1")
		again(t, m)
	})
}

// TestAFailureInside: the outer lease fails with the inner one's code, and with a mark of its own.
func TestAFailureInside(t *testing.T) {
	for _, tt := range []struct {
		name  string
		inner error
		mark  func(error) error // of the outer function
		want  string            // how the outer lease stands
	}{
		{"retryable", coded("boom"), nil, "failed 1 boom, retryable"},
		{"permanent inside: that is not about the outer one", lease.Permanent(coded("boom")), nil, "failed 1 boom, retryable"},
		{"retryable inside, permanent outside", coded("boom"), lease.Permanent, "failed 1 boom"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := host(t, memory.New())
			err := mustExec(t, t.Context(), m, "outer", nil, func(ctx context.Context) error {
				err := mustExec(t, ctx, m, "inner", nil, func(context.Context) error { return tt.inner })
				mustFail(t, err, "boom")
				if tt.mark != nil {
					err = tt.mark(err)
				}
				return err
			})
			mustFail(t, err, "boom")
			if e, ok := errors.AsType[*lease.Error](err); !ok || e.Key != "outer" {
				t.Errorf("%v is not of the outer lease", err)
			}
			if _, ok := errors.AsType[coded](err); !ok {
				t.Errorf("%v does not have the original", err)
			}
			mustStand(t, m, "outer", tt.want)
		})
	}
}
