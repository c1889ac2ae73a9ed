package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promise 3 of Do: a caller whose context ends gives the lease back, and the next goes on.

// ways are how the context of a caller may end, a second from now.
var ways = []struct {
	name string
	end  func(ctx context.Context) (context.Context, context.CancelFunc)
	err  error
	code string // with AtMostOnce
}{
	{"canceled", func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(time.Second, cancel)
		return ctx, cancel
	}, context.Canceled, "canceled:context_canceled"},
	{"out of time", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, time.Second)
	}, context.DeadlineExceeded, "canceled:deadline_exceeded"},
	{"canceled for a reason with a code", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, time.Second, coded("shutdown"))
	}, context.DeadlineExceeded, "canceled:shutdown"},
	{"canceled for a reason without a code", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, time.Second, errors.New("secret"))
	}, context.DeadlineExceeded, "canceled:deadline_exceeded"},
	{"canceled for a reason with a code that is too long", func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeoutCause(ctx, time.Second, coded(strings.Repeat("x", 100)))
	}, context.DeadlineExceeded, "canceled:deadline_exceeded"},
}

func TestACallerWhoseContextEndsReleases(t *testing.T) {
	for _, way := range ways {
		bubble(t, way.name, func(t *testing.T, store *memory.Store) {
			var l timeline
			m := host(t, store, l.seen(), lease.WithMaxErrorCodeBytes(64))
			ctx, cancel := way.end(t.Context())
			defer cancel()
			var e ending
			err := mustExec(t, ctx, m, "k", nil, untilItEnds(&e))
			mustNotFail(t, err, way.err)
			if e, ok := errors.AsType[*lease.Error](err); !ok || !e.Lease.Released || e.Lease.Attempt != 1 {
				t.Errorf("the error tells of the lease %+v, want it released", e.Lease)
			}
			if e.after != time.Second || !errors.Is(e.cause, context.Cause(ctx)) {
				t.Errorf("the function's context ended after %v with %v", e.after, e.cause)
			}
			mustStand(t, host(t, store), "k", "released 1")
			if n, err := mustRun(t, t.Context(), m, "k", nil, attempt); n != 2 || err != nil {
				t.Errorf("the next caller: attempt %d, %v", n, err)
			}
			l.mustBe(t, "acquired 1", "released 1", "taken_over 2", "completed 2")
		})
		bubble(t, way.name+", at most once", func(t *testing.T, store *memory.Store) {
			m := host(t, store, lease.WithMaxErrorCodeBytes(64))
			ctx, cancel := way.end(t.Context())
			defer cancel()
			once := &lease.DoOptions{AtMostOnce: true}
			var e ending
			err := mustExec(t, ctx, m, "k", once, untilItEnds(&e))
			mustFail(t, err, way.code)
			if !errors.Is(err, way.err) {
				t.Errorf("got %v, want %v", err, way.err)
			}
			mustStand(t, m, "k", "failed 1 "+way.code)
			_, err = mustNotRun[int](t, t.Context(), m, "k", once)
			mustFail(t, err, way.code)
		})
	}
	bubble(t, "at most once, and nothing was done", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		once := &lease.DoOptions{AtMostOnce: true}
		err := mustExec(t, ctx, m, "k", once, func(ctx context.Context) error { return lease.Retryable(stay(ctx, time.Hour)) })
		mustNotFail(t, err, context.DeadlineExceeded)
		mustStand(t, m, "k", "released 1")
		if n, err := mustRun(t, t.Context(), m, "k", once, attempt); n != 2 || err != nil {
			t.Errorf("the next caller: attempt %d, %v", n, err)
		}
	})
	bubble(t, "with the shortest error codes that a Manager may have", func(t *testing.T, store *memory.Store) {
		m := host(t, store, lease.WithMaxErrorCodeBytes(32))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := mustExec(t, ctx, m, "k", &lease.DoOptions{AtMostOnce: true}, untilItEnds(new(ending)))
		mustFail(t, err, "canceled:deadline_exceeded")
	})
}

func TestTheNextCallerGoesOnAtOnce(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		bubble(t, fmt.Sprintf("with the checkpoint, the store pushes: %t", pushes), func(t *testing.T, store *memory.Store) {
			m, other := host(t, store), host(t, store)
			if !pushes {
				other = host(t, threeMethods{store})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			begun := time.Now()
			var first, second sync.WaitGroup
			first.Go(func() {
				err := mustExec(t, ctx, m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
					if err := lease.Save(ctx, "half done"); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					time.Sleep(time.Second) // it has to clean up first
					return ctx.Err()
				})
				mustNotFail(t, err, context.DeadlineExceeded)
			})
			synctest.Wait()
			second.Go(func() {
				err := mustExec(t, t.Context(), other, "k", nil, func(ctx context.Context) error {
					// A store that is asked is asked after an eighth of the time, and a quarter of
					// that.
					if took := time.Since(begun); pushes && took != 6*time.Second || took < 6*time.Second || took > 7*time.Second {
						t.Errorf("it goes on after %v", took)
					}
					var saved string
					if ok, err := lease.Load(ctx, &saved); !ok || err != nil || saved != "half done" {
						t.Errorf("it finds %q, %t, %v", saved, ok, err)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			first.Wait()
			second.Wait()
			mustStand(t, m, "k", "completed 2")
		})
	}
	bubble(t, "also if a whole host shuts down", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		up, shutdown := context.WithCancelCause(t.Context())
		begun := time.Now()
		var all sync.WaitGroup
		const keys = 20
		for i := range keys {
			key := fmt.Sprint("k", i)
			all.Go(func() {
				err := mustExec(t, up, m, key, nil, func(ctx context.Context) error { return stay(ctx, time.Hour) })
				mustNotFail(t, err, context.Canceled)
			})
			synctest.Wait()
			all.Go(func() {
				n, err := mustRun(t, t.Context(), other, key, nil, attempt)
				if took := time.Since(begun); n != 2 || err != nil || took != 3*time.Second {
					t.Errorf("%s: attempt %d, %v after %v", key, n, err, took)
				}
			})
		}
		time.Sleep(3 * time.Second)
		shutdown(errors.New("deploy"))
		all.Wait()
		for i := range keys {
			if l := mustStand(t, m, fmt.Sprint("k", i), "completed 2"); l.Failures != 0 {
				t.Errorf("%d failures", l.Failures)
			}
		}
	})
}

func TestAResultCountsAlsoIfTheCallerHasGone(t *testing.T) {
	for _, once := range []bool{false, true} {
		bubble(t, fmt.Sprintf("at most once: %t", once), func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			ctx, cancel := context.WithCancel(t.Context())
			v, err := mustRun(t, ctx, m, "k", &lease.DoOptions{AtMostOnce: once}, func(context.Context) (string, error) {
				cancel()
				return "done", nil
			})
			if v != "done" || err != nil {
				t.Errorf("got %q, %v", v, err)
			}
			mustStand(t, m, "k", "completed 1")
		})
	}
}

func TestACallerWhoWaitsStopsWaiting(t *testing.T) {
	for _, finish := range []bool{false, true} {
		bubble(t, fmt.Sprintf("with Finish: %t", finish), func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			mustTake(t, m, "k", nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			_, err := mustNotRun[int](t, ctx, m, "k", &lease.DoOptions{Finish: finish})
			mustNotFail(t, err, context.DeadlineExceeded)
			if e, ok := errors.AsType[*lease.Error](err); !ok || e.Lease.State != lease.StateInProgress || e.Lease.RetryAfter <= 0 {
				t.Errorf("the error tells of the lease %+v, want the one that it waited for", e.Lease)
			}
			if took := time.Since(begun); took != time.Minute {
				t.Errorf("it waited for %v", took)
			}
			mustStand(t, m, "k", "in_progress 1")
		})
	}
}

func TestFinish(t *testing.T) {
	type valueKey struct{}
	bubble(t, "the function goes on when the caller has gone", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), valueKey{}, "value"), time.Second)
		defer cancel()
		begun := time.Now()
		v, err := mustRun(t, ctx, m, "k", &lease.DoOptions{Finish: true}, func(ctx context.Context) (any, error) {
			if err := stay(ctx, time.Hour); err != nil {
				return nil, err
			}
			if err := lease.Save(ctx, 1); err != nil {
				t.Errorf("Save: %v", err)
			}
			return ctx.Value(valueKey{}), nil
		})
		if v != "value" || err != nil || time.Since(begun) != time.Hour {
			t.Errorf("got %v, %v after %v", v, err, time.Since(begun))
		}
	})
	bubble(t, "its failure is one, and is not tried again for a caller who has gone", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := mustRun(t, ctx, m, "k", &lease.DoOptions{Finish: true, Attempts: 5}, func(ctx context.Context) (int, error) {
			time.Sleep(time.Minute)
			return 0, coded("boom")
		})
		mustFail(t, err, "boom")
		mustStand(t, m, "k", "failed 1 boom, retryable")
	})
	bubbleWith(t, "it ends all the same if the lease is lost", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var e ending
		err := mustExec(t, ctx, m, "k", &lease.DoOptions{Finish: true, TTL: time.Minute}, func(ctx context.Context) error {
			b.away.Store(true)
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		if e.after != 59*time.Second {
			t.Errorf("it ended after %v", e.after)
		}
	})
}

func TestNoWait(t *testing.T) {
	m := host(t, memory.New())
	l := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Hour, Metadata: []byte(`{"host":"a"}`)})
	_, err := mustNotRun[int](t, t.Context(), m, "k", &lease.DoOptions{NoWait: true})
	mustNotFail(t, err, lease.ErrInProgress)
	e, ok := errors.AsType[*lease.Error](err)
	if !ok || e.Lease.Token != l.Token || e.Lease.TTLLeft <= 0 || string(e.Lease.Metadata) != `{"host":"a"}` {
		t.Errorf("%#v does not tell who holds the lease", err)
	}
	if _, err := m.Release(t.Context(), "k", l.LeaseID); err != nil {
		t.Fatal(err)
	}
	if n, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{NoWait: true}, attempt); n != 2 || err != nil {
		t.Errorf("when nobody holds it: attempt %d, %v", n, err)
	}
}
