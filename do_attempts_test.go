package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// DoOptions.Attempts and RetryFailed: who tries again after a failure, and how often.

// failing is work that fails so often, each time after a second, and then returns which attempt it
// is.
func failing(times int) func(context.Context) (int, error) {
	var runs atomic.Int64
	return func(ctx context.Context) (int, error) {
		if err := stay(ctx, time.Second); err != nil {
			return 0, err
		}
		if runs.Add(1) <= int64(times) {
			return 0, coded("boom")
		}
		return attempt(ctx)
	}
}

func TestAttempts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		attempts int
		fails    int
		runs     int
		want     int // which attempt returned; 0: it fails
	}{
		{"one is enough", 3, 0, 1, 1},
		{"unset, the first failure is returned", 0, 1, 1, 0},
		{"1 is the same", 1, 1, 1, 0},
		{"the last one succeeds", 3, 2, 3, 3},
		{"none succeeds", 3, 99, 3, 0},
	} {
		bubble(t, tt.name, func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			begun := time.Now()
			n, err := mustRunTimes(t, tt.runs, t.Context(), m, "k", &lease.DoOptions{Attempts: tt.attempts}, failing(tt.fails))
			if tt.want == 0 {
				mustFail(t, err, "boom")
				if _, ok := errors.AsType[coded](err); !ok {
					t.Errorf("got %v, without the original", err)
				}
			} else if n != tt.want || err != nil {
				t.Errorf("attempt %d, %v", n, err)
			}
			// The pauses double from 100 ms, give or take a quarter.
			pause, least := 100*time.Millisecond, time.Duration(tt.runs)*time.Second
			most := least
			for range tt.runs - 1 {
				least, most, pause = least+pause*3/4, most+pause*5/4, 2*pause
			}
			if took := time.Since(begun); took < least || took > most {
				t.Errorf("it took %v, want %v to %v", took, least, most)
			}
		})
	}
	bubble(t, "a permanent failure ends them", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		_, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{Attempts: 5}, returns(0, lease.Permanent(coded("boom"))))
		mustFail(t, err, "boom")
	})
	bubble(t, "with AtMostOnce only what is retryable is tried again", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		opts := &lease.DoOptions{Attempts: 3, AtMostOnce: true}
		runs := 0
		_, err := mustRunTimes(t, 2, t.Context(), m, "k", opts, func(context.Context) (int, error) {
			if runs++; runs == 1 {
				return 0, lease.Retryable(coded("busy"))
			}
			return 0, coded("declined")
		})
		mustFail(t, err, "declined")
		mustStand(t, m, "k", "failed 2 declined")
	})
	bubble(t, "those before the first look do not count", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		opts := &lease.DoOptions{Attempts: 3}
		for call := 1; call <= 3; call++ {
			_, err := mustRunTimes(t, 3, t.Context(), m, "k", opts, failing(99))
			mustFail(t, err, "boom")
			if l := mustStand(t, m, "k", fmt.Sprint("failed ", 3*call, " boom, retryable")); l.Failures != 3*call {
				t.Errorf("%d failures after %d calls", l.Failures, call)
			}
		}
	})
	bubble(t, "a takeover and a release are no failures", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Second})
		time.Sleep(time.Second)
		l := mustTake(t, m, "k", nil)
		if _, err := m.Release(t.Context(), "k", l.LeaseID); err != nil {
			t.Fatal(err)
		}
		if n, err := mustRunTimes(t, 3, t.Context(), m, "k", &lease.DoOptions{Attempts: 3}, failing(2)); n != 5 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
	})
	bubble(t, "all callers together have so many, whoever fails", func(t *testing.T, store *memory.Store) {
		hosts := []*lease.Manager{host(t, store), host(t, store), host(t, threeMethods{store})}
		var runs atomic.Int64
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				_, err := lease.Do(t.Context(), hosts[i%3], "k", &lease.DoOptions{Attempts: 4}, func(ctx context.Context) (int, error) {
					runs.Add(1)
					time.Sleep(10 * time.Second)
					return 0, coded("boom")
				})
				mustFail(t, err, "boom")
			})
		}
		all.Wait()
		if runs.Load() != 4 {
			t.Errorf("it ran %d times, want 4", runs.Load())
		}
		mustStand(t, hosts[0], "k", "failed 4 boom, retryable")
	})
	bubble(t, "what another fails in the pause counts too", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		_, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{Attempts: 2}, func(context.Context) (int, error) {
			time.AfterFunc(10*time.Millisecond, func() {
				l := mustTake(t, other, "k", nil)
				if _, err := other.Fail(bg, "k", l.LeaseID, lease.Failure{Code: "theirs", Retryable: true}); err != nil {
					t.Error(err)
				}
			})
			return 0, coded("boom")
		})
		mustFail(t, err, "theirs")
		mustStand(t, m, "k", "failed 2 theirs, retryable")
	})
	bubble(t, "a caller with fewer does not wait for those with more", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		var patient sync.WaitGroup
		patient.Go(func() {
			if n, err := mustRunTimes(t, 3, t.Context(), m, "k", &lease.DoOptions{Attempts: 3}, failing(2)); n != 3 || err != nil {
				t.Errorf("attempt %d, %v", n, err)
			}
		})
		synctest.Wait()
		begun := time.Now()
		_, err := mustNotRun[int](t, t.Context(), other, "k", nil)
		mustFail(t, err, "boom")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it waited for %v", took)
		}
		patient.Wait()
	})
	bubble(t, "a caller who comes in between has its own", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		var all sync.WaitGroup
		var runs atomic.Int64
		work := func(ctx context.Context) (int, error) {
			runs.Add(1)
			time.Sleep(10 * time.Second)
			return 0, coded("boom")
		}
		all.Go(func() {
			_, err := lease.Do(t.Context(), m, "k", &lease.DoOptions{Attempts: 2}, work)
			mustFail(t, err, "boom")
			mustStand(t, m, "k", "failed 2 boom, retryable")
		})
		time.Sleep(15 * time.Second) // the second attempt is under way
		all.Go(func() {
			_, err := lease.Do(t.Context(), other, "k", &lease.DoOptions{Attempts: 2}, work)
			mustFail(t, err, "boom")
			mustStand(t, m, "k", "failed 3 boom, retryable")
		})
		all.Wait()
		if runs.Load() != 3 {
			t.Errorf("it ran %d times, want 3", runs.Load())
		}
	})
	bubble(t, "a caller who gives up between two gets the failure", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		_, err := mustRun(t, ctx, m, "k", &lease.DoOptions{Attempts: 3}, failing(99))
		mustFail(t, err, "boom")
		if ctx.Err() == nil {
			t.Error("it did not wait for its context")
		}
	})
}

func TestAWaiterWhoGivesUpBetweenTwoAttempts(t *testing.T) {
	bubble(t, "gets its context's error", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		l := mustTake(t, m, "k", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond)
		defer cancel()
		time.AfterFunc(time.Second, func() {
			if _, err := m.Fail(bg, "k", l.LeaseID, lease.Failure{Code: "boom", Retryable: true}); err != nil {
				t.Error(err)
			}
		})
		_, err := mustNotRun[int](t, ctx, other, "k", &lease.DoOptions{Attempts: 3})
		mustNotFail(t, err, context.DeadlineExceeded)
	})
}

func TestRetryFailed(t *testing.T) {
	bubble(t, "the work is done anew if a permanent failure stood when Do was called", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		_, err := mustRun(t, t.Context(), m, "k", nil, returns(0, lease.Permanent(coded("boom"))))
		mustFail(t, err, "boom")
		if n, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{RetryFailed: true}, attempt); n != 2 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
		if l := mustStand(t, m, "k", "completed 2"); l.Failures != 0 {
			t.Errorf("%d failures", l.Failures)
		}
	})
	bubble(t, "once: not after its own permanent failure", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		opts := &lease.DoOptions{RetryFailed: true, Attempts: 5}
		for range 2 {
			_, err := mustRun(t, t.Context(), m, "k", opts, returns(0, lease.Permanent(coded("boom"))))
			mustFail(t, err, "boom")
		}
	})
	bubble(t, "nor after another's, when it has looked", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		_, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{RetryFailed: true, Attempts: 5}, func(context.Context) (int, error) {
			time.AfterFunc(10*time.Millisecond, func() { // in the pause between two attempts
				l := mustTake(t, other, "k", nil)
				if _, err := other.Fail(bg, "k", l.LeaseID, lease.Failure{Code: "theirs"}); err != nil {
					t.Error(err)
				}
			})
			return 0, coded("boom")
		})
		mustFail(t, err, "theirs")
	})
	bubble(t, "a failure that it has waited for is shared", func(t *testing.T, store *memory.Store) {
		m, other := host(t, store), host(t, store)
		var worker sync.WaitGroup
		worker.Go(func() {
			_, err := mustRun(t, t.Context(), m, "k", nil, func(context.Context) (int, error) {
				time.Sleep(time.Second)
				return 0, lease.Permanent(coded("boom"))
			})
			mustFail(t, err, "boom")
		})
		synctest.Wait()
		begun := time.Now()
		_, err := mustNotRun[int](t, t.Context(), other, "k", &lease.DoOptions{RetryFailed: true})
		mustFail(t, err, "boom")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("it waited for %v", took)
		}
		worker.Wait()
	})
	bubble(t, "a result stands all the same", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		if _, err := mustRun(t, t.Context(), m, "k", nil, returns("first", nil)); err != nil {
			t.Error(err)
		}
		if v, err := mustNotRun[string](t, t.Context(), m, "k", &lease.DoOptions{RetryFailed: true}); v != "first" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
	})
}
