package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// bg is the context of calls that the test makes beside those under test.
var bg = context.Background()

// host returns a Manager by the system's clock. In a bubble time passes only while everybody waits.
func host(t testing.TB, b backend.Backend, opts ...lease.Option) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bubble runs a test in a bubble, with a store of its own. The store is closed at the end, so that
// a test that fails with something left running does not run for ever.
func bubble(t *testing.T, name string, test func(t *testing.T, store *memory.Store)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := memory.New()
			defer store.Close()
			test(t, store)
		})
	})
}

// bubbleWith is bubble with a scripted store.
func bubbleWith(t *testing.T, name string, test func(t *testing.T, b *scriptedStore)) {
	t.Helper()
	bubble(t, name, func(t *testing.T, store *memory.Store) { test(t, &scriptedStore{Store: store}) })
}

// mustTake acquires key, which must be free.
func mustTake(t testing.TB, m *lease.Manager, key string, opts *lease.AcquireOptions) lease.Lease {
	t.Helper()
	l, acquired, err := m.Acquire(context.Background(), key, opts)
	if err != nil || !acquired {
		t.Fatalf("acquire %q: acquired is %t, error %v, lease %+v", key, acquired, err, l)
	}
	return l
}

// manualClock returns a clock that stands still.
func manualClock() *leasetest.Clock {
	return leasetest.NewClock(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC))
}

// status is how the lease of key stands.
func status(t testing.TB, m *lease.Manager, key string) lease.Lease {
	t.Helper()
	l, err := m.Status(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// mustStand fails the test unless the lease of key stands like that: its state, attempt and code.
func mustStand(t testing.TB, m *lease.Manager, key string, want string) lease.Lease {
	t.Helper()
	l := status(t, m, key)
	if got := stands(l); got != want {
		t.Errorf("the lease of %q is %q, want %q", key, got, want)
	}
	return l
}

// stands is how a lease stands, in a few words: "in_progress 1", "failed 2 boom, retryable".
func stands(l lease.Lease) string {
	s := string(l.State)
	if l.Released {
		s = "released"
	}
	s = fmt.Sprint(s, " ", l.Attempt)
	if l.ErrorCode != "" {
		s += " " + l.ErrorCode
	}
	if l.Retryable {
		s += ", retryable"
	}
	return s
}

// mustRun is Do, and fails the test unless work ran exactly once.
func mustRun[T any](t testing.TB, ctx context.Context, m *lease.Manager, key string, opts *lease.DoOptions, work func(context.Context) (T, error)) (T, error) {
	t.Helper()
	return mustRunTimes(t, 1, ctx, m, key, opts, work)
}

// mustRunTimes is Do, and fails the test unless work ran so often.
func mustRunTimes[T any](t testing.TB, times int, ctx context.Context, m *lease.Manager, key string, opts *lease.DoOptions, work func(context.Context) (T, error)) (T, error) {
	t.Helper()
	var runs atomic.Int64
	v, err := lease.Do(ctx, m, key, opts, func(ctx context.Context) (T, error) {
		runs.Add(1)
		return work(ctx)
	})
	if n := runs.Load(); n != int64(times) {
		t.Errorf("work on %q ran %d times, want %d; Do returned %v, %v", key, n, times, v, err)
	}
	return v, err
}

// mustNotRun is Do, and fails the test if work runs.
func mustNotRun[T any](t testing.TB, ctx context.Context, m *lease.Manager, key string, opts *lease.DoOptions) (T, error) {
	t.Helper()
	var none T
	return mustRunTimes(t, 0, ctx, m, key, opts, returns(none, nil))
}

// mustExec is mustRun for work without a result.
func mustExec(t testing.TB, ctx context.Context, m *lease.Manager, key string, opts *lease.DoOptions, work func(context.Context) error) error {
	t.Helper()
	_, err := mustRun(t, ctx, m, key, opts, func(ctx context.Context) (struct{}, error) { return struct{}{}, work(ctx) })
	return err
}

// returns is work that returns that.
func returns[T any](v T, err error) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return v, err }
}

// attempt is work that returns which attempt it is.
func attempt(ctx context.Context) (int, error) {
	l, ok := lease.FromContext(ctx)
	if !ok {
		return 0, errors.New("no lease in the context")
	}
	return l.Attempt, nil
}

// stay waits d, or until ctx ends.
func stay(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// ending is what untilItEnds finds out.
type ending struct {
	after time.Duration // how long the function ran until its context ended
	cause error
}

// untilItEnds is work that returns when its context ends, and notes when and why.
func untilItEnds(e *ending) func(context.Context) error {
	return func(ctx context.Context) error {
		begun := time.Now()
		<-ctx.Done()
		e.after, e.cause = time.Since(begun), context.Cause(ctx)
		return ctx.Err()
	}
}

// coded is an error that names its code.
type coded string

func (c coded) Error() string     { return "the error's text" }
func (c coded) ErrorCode() string { return string(c) }

// timeline collects the events of Managers, each in a few words: "acquired 1", "failed 1 boom".
// What is only about how a write came to pass is left out.
type timeline struct {
	mu    sync.Mutex
	lines []string
}

// seen is the option that has a Manager tell the timeline.
func (l *timeline) seen() lease.Option {
	return lease.WithObserver(func(e lease.Event) {
		if e.Kind == lease.EventConflictRetried || e.Kind == lease.EventOutcomeSettled {
			return
		}
		line := fmt.Sprint(e.Kind, " ", e.Attempt)
		if e.ErrorCode != "" {
			line += " " + e.ErrorCode
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	})
}

// mustBe fails the test unless the events so far are exactly those. It belongs into a bubble.
func (l *timeline) mustBe(t testing.TB, want ...string) {
	t.Helper()
	time.Sleep(20 * time.Millisecond) // events may wait for ten
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Equal(l.lines, want) {
		t.Errorf("the events are\n%q, want\n%q", l.lines, want)
	}
}

// mustFail fails the test unless err is a failure of the function with that code.
func mustFail(t testing.TB, err error, code string) {
	t.Helper()
	if e, ok := errors.AsType[*lease.Error](err); !ok || !errors.Is(err, lease.ErrFailed) || lease.Code(err) != code || e.Lease.State != lease.StateFailed {
		t.Errorf("got %v, code %q; want a failure with code %q, and its lease", err, lease.Code(err), code)
	}
}

// mustNotFail fails the test if err is none, or a failure of the function.
func mustNotFail(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || errors.Is(err, lease.ErrFailed) || lease.Code(err) != "" {
		t.Errorf("got %v, code %q; want %v, which is no failure of the function", err, lease.Code(err), want)
	}
}

// mustNameField fails the test unless err is about that argument.
func mustNameField(t testing.TB, err error, field string) {
	t.Helper()
	if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != field || !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("got %v, want it to name %q", err, field)
	}
}

// mustBeAt fails the test unless the instants are those.
func mustBeAt(t testing.TB, got []time.Duration, want ...time.Duration) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("at %v, want %v", got, want)
	}
}
