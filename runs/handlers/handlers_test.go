package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/runs/handlers"
)

// task is of the handlers that tests run. Its attempts follow each other without much of a pause.
var task = runs.Task[json.RawMessage, json.RawMessage]{Name: "task", Attempts: 3, Pause: time.Millisecond, Grace: 5 * time.Second}

// newManager returns a Manager of a new store in memory.
func newManager(t *testing.T) *lease.Manager {
	t.Helper()
	store := memory.New()
	t.Cleanup(func() { store.Close() })
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// work has a worker of its own call f for the task until the test ends, or until stop, which
// returns once it has stopped.
func work(t *testing.T, m *lease.Manager, f handlers.Func) (r *runs.Runner, stop func()) {
	t.Helper()
	r = runs.New(m)
	task.Handle(r, f)
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- r.Work(ctx) }()
	ended := false
	stop = func() {
		cancel()
		if ended {
			return
		}
		ended = true
		if err := <-stopped; err != nil {
			t.Errorf("work: %v", err)
		}
	}
	t.Cleanup(stop)
	return r, stop
}

func mustStart(t *testing.T, r *runs.Runner, key, input string) {
	t.Helper()
	if _, started, err := task.Start(t.Context(), r, key, json.RawMessage(input), nil); err != nil || !started {
		t.Fatalf("started is %t, error %v", started, err)
	}
}

// mustComplete waits for the run of key, and returns its result.
func mustComplete(t *testing.T, r *runs.Runner, key string) string {
	t.Helper()
	result, err := task.Wait(t.Context(), r, key)
	if err != nil {
		t.Fatalf("the run of %q: %v", key, err)
	}
	return string(result)
}

// mustFail checks the code of err, and whether a run fails for good by it.
func mustFail(t *testing.T, err error, code string, permanent bool) {
	t.Helper()
	var coded interface{ ErrorCode() string }
	if !errors.As(err, &coded) || coded.ErrorCode() != code {
		t.Fatalf("the error is %v, want code %q", err, code)
	}
	m := newManager(t)
	_, err = lease.Do(t.Context(), m, "k", nil, func(context.Context) (int, error) { return 0, err })
	l, statusErr := m.Status(t.Context(), "k")
	if lease.Code(err) != code || statusErr != nil || l.Retryable == permanent {
		t.Errorf("under a lease the error is %v, retryable %t, want code %q, permanent %t", err, l.Retryable, code, permanent)
	}
}
