package runs_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/runs"
)

// Runs of one task never exceed its limit, nor all runs that of the Runner, and all get done.
func TestConcurrency(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m, runs.WithConcurrency(5))
		few, many := double, double
		few.Name, few.Concurrency, many.Name = "few", 2, "many"
		var now, nowFew, most, mostFew atomic.Int64
		counted := func(now, most *atomic.Int64) func() {
			n := now.Add(1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			return func() { now.Add(-1) }
		}
		handle := func(ctx context.Context, in request) (result, error) {
			defer counted(&now, &most)()
			time.Sleep(time.Second)
			return twice(ctx, in)
		}
		many.Handle(r, handle)
		few.Handle(r, func(ctx context.Context, in request) (result, error) {
			defer counted(&nowFew, &mostFew)()
			return handle(ctx, in)
		})
		var keys []string
		for i := range 40 {
			task := many
			if i%2 == 0 {
				task = few
			}
			keys = append(keys, fmt.Sprint("k", i))
			mustStart(t, task, r, keys[i], request{i}, nil)
		}
		defer work(t, r)()
		for _, key := range keys {
			if _, err := double.Wait(t.Context(), r, key); err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 5 || mostFew.Load() != 2 {
			t.Errorf("at most %d ran at once, want 5, and %d of the task of few, want 2", most.Load(), mostFew.Load())
		}
	})
}

// A worker leaves alone the runs of tasks that it does not handle, and the next worker finds them.
func TestATaskThatNobodyHandlesWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r, knows := runs.New(m), runs.New(m)
		other := double
		other.Name = "other"
		other.Handle(r, twice)
		double.Handle(knows, twice)
		defer work(t, r)()
		started := mustStart(t, double, r, "k", request{1}, nil)
		time.Sleep(time.Minute)
		if l, err := m.Status(t.Context(), "k"); err != nil || l.State != lease.StateInProgress || l.Attempt != started.Attempt {
			t.Errorf("it is %s, attempt %d, error %v", l.State, l.Attempt, err)
		}
		defer work(t, knows)()
		if got, err := double.Wait(t.Context(), r, "k"); err != nil || got.Double != 2 {
			t.Errorf("the result is %+v, error %v", got, err)
		}
	})
}

// A handler that exits its goroutine fails the attempt, and the worker goes on.
func TestAHandlerThatExits(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m, runs.WithConcurrency(1))
		tries := 0
		double.Handle(r, func(ctx context.Context, in request) (result, error) {
			if tries++; tries == 1 {
				runtime.Goexit()
			}
			return twice(ctx, in)
		})
		defer work(t, r)()
		mustStart(t, double, r, "k", request{3}, nil)
		if got, err := double.Wait(t.Context(), r, "k"); err != nil || got.Double != 6 || tries != 2 {
			t.Errorf("after %d attempts: %+v, error %v", tries, got, err)
		}
	})
}

func TestHandleTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		double.Handle(r, twice)
		defer func() {
			if recover() == nil {
				t.Error("a task was handled twice")
			}
		}()
		double.Handle(r, twice)
	})
}

func TestWhatIsNotATask(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		if err := r.Work(t.Context()); !errors.Is(err, lease.ErrInvalid) {
			t.Errorf("work on no task: %v", err)
		}
		var nameless runs.Task[request, result]
		if _, _, err := nameless.Start(t.Context(), r, "k", request{}, nil); !errors.Is(err, lease.ErrInvalid) {
			t.Errorf("a start of no task: %v", err)
		}
		_, _, err := double.Start(t.Context(), r, "", request{}, nil)
		if failed, ok := errors.AsType[*lease.Error](err); !ok || failed.Op != "start" || !errors.Is(err, lease.ErrInvalid) {
			t.Errorf("a start of no key: %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a task without a name is handled")
				}
			}()
			nameless.Handle(r, twice)
		}()
	})
}
