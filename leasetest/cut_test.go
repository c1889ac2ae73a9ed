package leasetest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

func TestACallDuringACutHangsUntilItsContextEnds(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, _ string) {
		s.Cut()
		s.Cut() // which does nothing
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("after %v: error is %v, want that of the context after %v", time.Since(begun), err, time.Minute)
		}
		s.Heal()
		if v := s.value(t); v != "old" {
			t.Errorf("the call was carried out: the value is %q", v)
		}
	})
}

func TestACallDuringACutFailsWhenTheStoreHeals(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, then string) {
		s.Heal() // which does nothing
		s.Cut()
		time.AfterFunc(time.Minute, s.Heal)
		begun := time.Now()
		if err := do(t.Context()); !errors.Is(err, leasetest.ErrNoAnswer) || time.Since(begun) != time.Minute {
			t.Errorf("after %v: error is %v, want ErrNoAnswer after %v", time.Since(begun), err, time.Minute)
		}
		if v := s.value(t); v != "old" {
			t.Errorf("the call was carried out: the value is %q", v)
		}
		if err := do(t.Context()); err != nil || s.value(t) != then {
			t.Errorf("the next call: error is %v, the value is %q, want %q", err, s.value(t), then)
		}
	})
}

func TestADelayedCallIsNotCarriedOutIfACutComes(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, _ string) {
		s.Delay(time.Minute)
		time.AfterFunc(time.Minute/2, func() { s.Cut(); s.Heal() })
		begun := time.Now()
		if err := do(t.Context()); !errors.Is(err, leasetest.ErrNoAnswer) || time.Since(begun) != time.Minute/2 {
			t.Errorf("after %v: error is %v, want ErrNoAnswer after %v", time.Since(begun), err, time.Minute/2)
		}
		if v := s.value(t); v != "old" {
			t.Errorf("the call was carried out: the value is %q", v)
		}
	})
}

// slow is a store that carries out a write and answers a minute later.
type slow struct{ *memory.Store }

func (s slow) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	defer time.Sleep(time.Minute)
	return s.Store.CompareAndSet(ctx, key, expected, value, keep)
}

func TestAWriteThatHasReachedTheStoreIsCarriedOutThoughACutComes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ended bool // the context of the call, and not the cut
		want  error
	}{
		{"its context ends", true, context.DeadlineExceeded},
		{"the store heals", false, leasetest.ErrNoAnswer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				s := leasetest.NewStore(slow{inner})
				time.AfterFunc(time.Second, s.Cut)
				ctx := t.Context()
				if tt.ended {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Hour)
					defer cancel()
				} else {
					time.AfterFunc(time.Hour, s.Heal)
				}
				begun := time.Now()
				_, err := s.CompareAndSet(ctx, "k", 0, []byte("new"), 0)
				if !errors.Is(err, tt.want) || time.Since(begun) != time.Hour {
					t.Errorf("after %v: error is %v, want %v after 1h", time.Since(begun), err, tt.want)
				}
				if e, err := inner.Get(t.Context(), "k"); err != nil || string(e.Value) != "new" {
					t.Errorf("the value is %q, %v: the write was not carried out", e.Value, err)
				}
			})
		})
	}
}

func TestAListingDuringWhichACutComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		if _, err := s.inner.CompareAndSet(t.Context(), "l", 0, nil, 0); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, s.Heal)
		var entries, failures int
		for _, err := range s.List(t.Context(), "") {
			switch {
			case err == nil:
				entries++
				s.Cut()
			case errors.Is(err, leasetest.ErrNoAnswer):
				failures++
			default:
				t.Error(err)
			}
		}
		if entries != 1 || failures != 1 {
			t.Errorf("%d entries and %d failures, want one entry before the cut and one failure", entries, failures)
		}
	})
}

// A host whose connection is cut loses its lease, and stops before another host goes on.
func TestAnotherHostTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memory.New()
		cable := leasetest.NewStore(shared)
		hostA, errA := lease.NewManager(cable)
		hostB, errB := lease.NewManager(shared)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		var stopped atomic.Bool
		ended := make(chan error)
		go func() {
			_, err := lease.Do(t.Context(), hostA, "report", nil, func(ctx context.Context) (string, error) {
				<-ctx.Done()
				stopped.Store(true)
				return "", ctx.Err()
			})
			ended <- err
		}()
		synctest.Wait() // until host A works
		cable.Cut()
		begun := time.Now()
		who, err := lease.Do(t.Context(), hostB, "report", nil, func(context.Context) (string, error) {
			if !stopped.Load() {
				t.Error("host A works while host B does")
			}
			return "host B", nil
		})
		if err != nil || who != "host B" || time.Since(begun) == 0 {
			t.Errorf("after %v: %q, %v; want what host B has made, after the lease of host A", time.Since(begun), who, err)
		}
		if err := <-ended; err == nil {
			t.Error("host A has not noticed")
		}
	})
}
