package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promise 7 of Do, and DoOptions.Replace: with Input, nobody gets the end of work on other input.
// Newer input may take the key from older one, once.

// on are options for work on that input.
func on(input any, more ...func(*lease.DoOptions)) *lease.DoOptions {
	o := &lease.DoOptions{Input: input, TTL: time.Hour}
	for _, f := range more {
		f(o)
	}
	return o
}

func replacing(o *lease.DoOptions)  { o.Replace = true }
func threeTimes(o *lease.DoOptions) { o.Attempts = 3 }

func TestOtherInputIsRefused(t *testing.T) {
	ends := map[string]func(m *lease.Manager, l lease.Lease) error{
		"in progress": func(m *lease.Manager, l lease.Lease) error { return nil },
		"completed": func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{Result: "theirs"})
			return err
		},
		"failed": func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Fail(context.Background(), "k", l.LeaseID, lease.Failure{Code: "theirs", Retryable: true})
			return err
		},
		"released": func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Release(context.Background(), "k", l.LeaseID)
			return err
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			m := host(t, memory.New())
			l := mustTake(t, m, "k", &lease.AcquireOptions{Input: 1})
			if err := end(m, l); err != nil {
				t.Fatal(err)
			}
			v, err := mustNotRun[string](t, t.Context(), m, "k", on(2))
			mustNotFail(t, err, lease.ErrInputMismatch)
			if e, ok := errors.AsType[*lease.Error](err); v != "" || !ok || e.Lease.State == "" {
				t.Errorf("got %q, %v, which does not tell of the lease", v, err)
			}
		})
	}
	t.Run("the same input shares", func(t *testing.T) {
		m := host(t, memory.New())
		if _, err := mustRun(t, t.Context(), m, "k", on(map[string]int{"a": 1, "b": 2}), returns("first", nil)); err != nil {
			t.Error(err)
		}
		for _, opts := range []*lease.DoOptions{on(map[string]int{"b": 2, "a": 1}), on(map[string]int{"b": 2, "a": 1}, replacing), nil} {
			if v, err := mustNotRun[string](t, t.Context(), m, "k", opts); v != "first" || err != nil {
				t.Errorf("got %q, %v", v, err)
			}
		}
	})
}

func TestReplaceTakesTheKeyInAnyState(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(m *lease.Manager, l lease.Lease) error
	}{
		{"in progress", func(m *lease.Manager, l lease.Lease) error { return nil }},
		{"completed", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{Result: "theirs"})
			return err
		}},
		{"failed", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Cancel(context.Background(), "k", l.LeaseID, "")
			return err
		}},
		{"released", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Release(context.Background(), "k", l.LeaseID)
			return err
		}},
		{"expired", func(m *lease.Manager, l lease.Lease) error { time.Sleep(2 * time.Hour); return nil }},
	} {
		bubble(t, tt.name, func(t *testing.T, store *memory.Store) {
			m, other := host(t, store), host(t, store)
			l := mustTake(t, other, "k", &lease.AcquireOptions{Input: 1, TTL: time.Hour})
			if _, err := other.Extend(t.Context(), "k", l.LeaseID, &lease.ExtendOptions{Checkpoint: []byte(`"of the older input"`)}); err != nil {
				t.Fatal(err)
			}
			if err := tt.end(other, l); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			v, err := mustRun(t, t.Context(), m, "k", on(2, replacing), func(ctx context.Context) (string, error) {
				if ok, err := lease.Load(ctx, new(string)); ok || err != nil {
					t.Errorf("it finds a checkpoint of other input: %t, %v", ok, err)
				}
				return "ours", nil
			})
			if v != "ours" || err != nil || time.Since(begun) != 0 {
				t.Errorf("got %q, %v after %v", v, err, time.Since(begun))
			}
			if _, err := other.Extend(t.Context(), "k", l.LeaseID, nil); !errors.Is(err, lease.ErrLost) && !errors.Is(err, lease.ErrFinished) {
				t.Errorf("the holder that was replaced: %v", err)
			}
		})
	}
	t.Run("but not work that is done at most once", func(t *testing.T) {
		m := host(t, memory.New())
		mustTake(t, m, "k", &lease.AcquireOptions{Input: 1, AtMostOnce: true})
		_, err := mustNotRun[string](t, t.Context(), m, "k", on(2, replacing))
		mustNotFail(t, err, lease.ErrInputMismatch)
	})
	t.Run("and not without an input", func(t *testing.T) {
		_, err := mustNotRun[string](t, t.Context(), host(t, memory.New()), "k", &lease.DoOptions{Replace: true})
		mustNotFail(t, err, lease.ErrInvalid)
	})
}

// TestWhoWasOvertaken: the Do on the older input gets ErrLost or ErrInputMismatch, never the newer
// one's result, and does not take the key back.
func TestWhoWasOvertaken(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		for _, fails := range []bool{true, false} {
			bubble(t, fmt.Sprintf("while it works, the store pushes: %t, it fails: %t", pushes, fails), func(t *testing.T, store *memory.Store) {
				var older, newer timeline
				m, other := host(t, store, older.seen()), host(t, store, newer.seen())
				if !pushes {
					m = host(t, threeMethods{store}, older.seen())
				}
				var all sync.WaitGroup
				all.Go(func() {
					_, err := mustRun(t, t.Context(), m, "k", on("older", replacing, threeTimes), func(ctx context.Context) (string, error) {
						if err := stay(ctx, time.Hour); fails || err == nil {
							return "", err
						}
						return "older's", nil
					})
					mustNotFail(t, err, lease.ErrLost)
				})
				for range 5 {
					all.Go(func() { // they wait for the older input
						time.Sleep(time.Second)
						_, err := mustNotRun[string](t, t.Context(), m, "k", on("older", replacing, threeTimes))
						mustNotFail(t, err, lease.ErrInputMismatch)
					})
					all.Go(func() { // they wait for whatever comes
						time.Sleep(time.Second)
						if v, err := mustNotRun[string](t, t.Context(), m, "k", nil); v != "newer's" || err != nil {
							t.Errorf("got %q, %v", v, err)
						}
					})
				}
				time.Sleep(10 * time.Second)
				v, err := mustRun(t, t.Context(), other, "k", on("newer", replacing), func(ctx context.Context) (string, error) {
					return "newer's", stay(ctx, 10*time.Second)
				})
				if v != "newer's" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
				all.Wait()
				older.mustBe(t, "acquired 1", "lost 1")
				newer.mustBe(t, "replaced 2", "completed 2")
			})
		}
	}
	bubble(t, "between two attempts", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		newer := mustRunLater(t, time.Second+10*time.Millisecond, other, on("newer", replacing), time.Minute)
		_, err := mustRun(t, t.Context(), m, "k", on("older", replacing, threeTimes), func(context.Context) (string, error) {
			time.Sleep(time.Second)
			return "", coded("boom")
		})
		mustNotFail(t, err, lease.ErrInputMismatch)
		newer.Wait()
		mustStand(t, m, "k", "completed 2")
	})
	bubble(t, "while it waits for its own input", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		l := mustTake(t, other, "k", &lease.AcquireOptions{Input: "older", TTL: time.Minute})
		newer := mustRunLater(t, 30*time.Second, other, on("newer", replacing), time.Hour)
		begun := time.Now()
		_, err := mustNotRun[string](t, t.Context(), m, "k", on("older", replacing))
		mustNotFail(t, err, lease.ErrInputMismatch)
		// It learns of it when the deadline is over that it waits for, or the new lease ends.
		if took := time.Since(begun); took < 30*time.Second || took > 2*time.Hour {
			t.Errorf("it waited for %v", took)
		}
		if _, err := other.Complete(t.Context(), "k", l.LeaseID, lease.Completion{}); !errors.Is(err, lease.ErrLost) && !errors.Is(err, lease.ErrFinished) {
			t.Errorf("the holder that was replaced: %v", err)
		}
		newer.Wait()
		mustStand(t, m, "k", "completed 2")
	})
	for _, replaces := range []bool{true, false} {
		bubbleWith(t, fmt.Sprintf("before the answer to its acquire came, it replaces: %t", replaces), func(t *testing.T, b *scriptedStore) {
			m, other := host(t, b), host(t, b.Store)
			b.lost.Store(true)
			time.AfterFunc(15*time.Second, func() { b.lost.Store(false) })
			newer := mustRunLater(t, 10*time.Second, other, on("newer", replacing), time.Minute)
			opts := on("older", threeTimes)
			want := lease.ErrInputMismatch
			if replaces {
				opts, want = on("older", threeTimes, replacing), lease.ErrLost
			}
			_, err := mustNotRun[string](t, t.Context(), m, "k", opts)
			mustNotFail(t, err, want)
			newer.Wait()
			if l := status(t, m, "k"); l.State != lease.StateCompleted || string(l.Result) != `"newer's"` {
				t.Errorf("the lease is %+v", l)
			}
		})
	}
}

// mustRunLater has work run on key "k" after a while, and for a while.
func mustRunLater(t testing.TB, after time.Duration, m *lease.Manager, opts *lease.DoOptions, last time.Duration) *sync.WaitGroup {
	var done sync.WaitGroup
	done.Go(func() {
		time.Sleep(after)
		v, err := mustRun(t, t.Context(), m, "k", opts, func(ctx context.Context) (string, error) {
			return "newer's", stay(ctx, last)
		})
		if v != "newer's" || err != nil {
			t.Errorf("the newer got %q, %v", v, err)
		}
	})
	return &done
}

// TestEachAttemptHasANonceOfItsOwn: with that of the last one it would be taken for it.
func TestEachAttemptHasANonceOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		m, other := host(t, store), host(t, store)
		ids := make(map[string]bool)
		runs := 0
		n, err := mustRunTimes(t, 3, t.Context(), m, "k", &lease.DoOptions{Attempts: 3}, func(ctx context.Context) (int, error) {
			l, _ := lease.FromContext(ctx)
			ids[l.LeaseID] = true
			if runs++; runs == 3 {
				return attempt(ctx)
			}
			return 0, coded("boom")
		})
		if n != 3 || err != nil || len(ids) != 3 {
			t.Errorf("attempt %d, %v, %d lease ids", n, err, len(ids))
		}
		// Nor does a caller whose lease was released and taken over share the other's.
		caller, cancel := context.WithCancel(t.Context())
		defer cancel()
		err = mustExec(t, caller, m, "l", nil, func(ctx context.Context) error { cancel(); return ctx.Err() })
		mustNotFail(t, err, context.Canceled)
		mustTake(t, other, "l", &lease.AcquireOptions{TTL: time.Minute})
		_, err = mustNotRun[int](t, t.Context(), m, "l", &lease.DoOptions{NoWait: true})
		mustNotFail(t, err, lease.ErrInProgress)
	})
}
