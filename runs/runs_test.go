package runs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
)

type request struct{ N int }
type result struct{ Double int }

var double = runs.Task[request, result]{Name: "double", Attempts: 3, Pause: time.Minute}

func twice(_ context.Context, in request) (result, error) { return result{2 * in.N}, nil }

// inBubble runs test with a Manager in memory, where waiting takes no time.
func inBubble(t *testing.T, test func(t *testing.T, m *lease.Manager)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		test(t, m)
	})
}

// work has r work until the test ends, or until stop, which returns once r has stopped.
func work(t *testing.T, r *runs.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Work(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("work: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func mustStart[In, Out any](t *testing.T, task runs.Task[In, Out], r *runs.Runner, key string, in In, opts *runs.StartOptions) lease.Lease {
	t.Helper()
	l, started, err := task.Start(t.Context(), r, key, in, opts)
	if err != nil || !started || l.State != lease.StateInProgress || l.LeaseID == "" {
		t.Fatalf("started is %t, %s, error %v", started, l.State, err)
	}
	return l
}

func TestARunFromStartToResult(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		double.Handle(r, twice)
		stop := work(t, r)
		defer stop()
		l := mustStart(t, double, r, "k", request{21}, nil)
		if got, err := double.Wait(t.Context(), r, "k"); err != nil || got.Double != 42 {
			t.Errorf("the result is %+v, error %v", got, err)
		}
		again, started, err := double.Start(t.Context(), r, "k", request{21}, nil)
		if err != nil || started || again.State != lease.StateCompleted || again.LeaseID != l.LeaseID {
			t.Errorf("started again: %t, %s, error %v", started, again.State, err)
		}
		if _, _, err := double.Start(t.Context(), r, "k", request{22}, nil); !errors.Is(err, lease.ErrInputMismatch) {
			t.Errorf("with another input: %v", err)
		}
	})
}

// A run begins at its due time, neither before nor later.
func TestARunBeginsAtItsDueTime(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		began := make(chan time.Time, 3)
		double.Handle(r, func(ctx context.Context, in request) (result, error) {
			began <- time.Now()
			return twice(ctx, in)
		})
		defer work(t, r)()
		for i, delay := range []time.Duration{0, 90 * time.Second, time.Hour} {
			due := time.Now().Add(delay)
			mustStart(t, double, r, fmt.Sprint("k", i), request{i}, &runs.StartOptions{Delay: delay})
			if late := (<-began).Sub(due); late < 0 || late > time.Millisecond {
				t.Errorf("delayed by %v, it began %v after its due time", delay, late)
			}
		}
	})
}

func TestAttemptsAreExhausted(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		var at []time.Duration
		began := time.Now()
		double.Handle(r, func(ctx context.Context, in request) (result, error) {
			at = append(at, time.Since(began))
			var n int
			if _, err := lease.Load(ctx, &n); err != nil || n != len(at)-1 {
				t.Errorf("attempt %d finds checkpoint %d, error %v", len(at), n, err)
			}
			if err := lease.Save(ctx, len(at)); err != nil {
				t.Error(err)
			}
			if len(at) == 2 {
				panic("boom")
			}
			return result{}, errors.New("boom")
		})
		defer work(t, r)()
		mustStart(t, double, r, "k", request{1}, nil)
		_, err := double.Wait(t.Context(), r, "k")
		if !errors.Is(err, lease.ErrFailed) || lease.Code(err) != "attempts_exhausted" || len(at) != 3 {
			t.Fatalf("after %d attempts: %v", len(at), err)
		}
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute} {
			if d := at[i+1] - at[i]; d < want*3/4 || d > want*5/4+time.Second {
				t.Errorf("pause %d is %v, want %v give or take a quarter", i+1, d, want)
			}
		}
	})
}

func TestAFailureThatStands(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		double.Handle(r, func(context.Context, request) (result, error) {
			return result{}, lease.Permanent(errors.New("no such customer"))
		})
		other := runs.Task[string, string]{Name: "double"} // its input is no request
		defer work(t, r)()
		mustStart(t, double, r, "permanent", request{1}, nil)
		mustStart(t, other, r, "input", "x", nil)
		for key, code := range map[string]string{"permanent": "error", "input": "input"} {
			if _, err := double.Wait(t.Context(), r, key); lease.Code(err) != code {
				t.Errorf("%s: %v", key, err)
			}
		}
	})
}

// A worker that shuts down gives its runs back. That is no failure, and the next goes on at once.
func TestShutdownHandsOn(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		task := double
		task.Attempts = 1
		began := make(chan struct{})
		first, second := runs.New(m), runs.New(m)
		task.Handle(first, func(ctx context.Context, _ request) (result, error) {
			if err := lease.Save(ctx, "half"); err != nil {
				t.Error(err)
			}
			close(began)
			<-ctx.Done()
			return result{}, ctx.Err()
		})
		task.Handle(second, func(ctx context.Context, in request) (result, error) {
			var saved string
			if ok, err := lease.Load(ctx, &saved); !ok || err != nil || saved != "half" {
				t.Errorf("the checkpoint is %q, error %v", saved, err)
			}
			return twice(ctx, in)
		})
		stop := work(t, first)
		mustStart(t, task, first, "k", request{4}, nil)
		<-began
		stop()
		stopped := time.Now()
		defer work(t, second)()
		if got, err := task.Wait(t.Context(), second, "k"); err != nil || got.Double != 8 {
			t.Errorf("the result is %+v, error %v", got, err)
		}
		if d := time.Since(stopped); d > time.Second {
			t.Errorf("the next worker went on after %v", d)
		}
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		began := make(chan struct{}, 1)
		ended := make(chan error, 1)
		double.Handle(r, func(ctx context.Context, _ request) (result, error) {
			began <- struct{}{}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return result{}, ctx.Err()
		})
		defer work(t, r)()
		mustStart(t, double, r, "k", request{1}, nil)
		<-began
		if err := r.Cancel(t.Context(), "k", "not wanted"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, lease.ErrFinished) && !errors.Is(err, lease.ErrLost) {
			t.Errorf("the handler was told %v", err)
		}
		if _, err := double.Wait(t.Context(), r, "k"); lease.Code(err) != "canceled:not wanted" {
			t.Errorf("whoever waits was told %v", err)
		}
		// Before it is due, a run is canceled too; what is no run is not.
		mustStart(t, double, r, "later", request{1}, &runs.StartOptions{Delay: time.Hour})
		if err := r.Cancel(t.Context(), "later", ""); err != nil {
			t.Error(err)
		}
		if _, _, err := m.Acquire(t.Context(), "by hand", nil); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"by hand", "nothing"} {
			if err := r.Cancel(t.Context(), key, ""); !errors.Is(err, lease.ErrNotFound) {
				t.Errorf("cancel of %q: %v", key, err)
			}
		}
	})
}

// The deadline of the whole ends a run, whether somebody works on it or nobody does.
func TestTheDeadlineOfTheWhole(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		task, nobodys := double, double
		task.Within, nobodys.Within, nobodys.Name = 10*time.Minute, 10*time.Minute, "nobody's"
		began := time.Now()
		task.Handle(r, func(ctx context.Context, _ request) (result, error) {
			<-ctx.Done()
			return result{}, ctx.Err()
		})
		defer work(t, r)()
		mustStart(t, task, r, "k", request{1}, nil)
		mustStart(t, nobodys, r, "nobody's", request{1}, nil)
		for _, key := range []string{"k", "nobody's"} {
			if _, err := double.Wait(t.Context(), r, key); lease.Code(err) != "deadline_exceeded" {
				t.Errorf("%s: %v", key, err)
			}
			if d := time.Since(began); d < 10*time.Minute || d > 11*time.Minute {
				t.Errorf("%s ended after %v", key, d)
			}
		}
	})
}

// A TTL that the Manager does not grant is told, and not tried for ever.
func TestWorkWithATTLThatIsNotGranted(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		task := double
		task.TTL = time.Millisecond
		task.Handle(r, twice)
		mustStart(t, task, r, "k", request{1}, nil)
		if err := r.Work(t.Context()); !errors.Is(err, lease.ErrInvalid) {
			t.Errorf("error is %v", err)
		}
	})
}

// A store that was closed ends the work.
func TestWorkOfAClosedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		r := runs.New(m)
		double.Handle(r, twice)
		ended := make(chan error, 1)
		go func() { ended <- r.Work(t.Context()) }()
		time.Sleep(time.Second)
		store.Close()
		if err := <-ended; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("error is %v", err)
		}
	})
}

// Markers are left by no run that has ended, however it did.
func TestNoMarkerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		r := runs.New(m)
		task := double
		task.Attempts = 1
		task.Handle(r, func(ctx context.Context, in request) (result, error) {
			if in.N%2 == 0 {
				return result{}, errors.New("boom")
			}
			return twice(ctx, in)
		})
		stop := work(t, r)
		for i := range 9 {
			key := fmt.Sprint("k", i)
			mustStart(t, task, r, key, request{i}, &runs.StartOptions{Delay: time.Duration(i) * time.Second})
			if i > 6 {
				if err := r.Cancel(t.Context(), key, ""); err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(time.Minute)
		stop()
		var left []string
		for e, err := range store.List(t.Context(), "default:due/") {
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, e.Key)
		}
		slices.Sort(left)
		if len(left) > 0 {
			t.Errorf("markers of %q are left", left)
		}
	})
}
