package lease_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// host is a Manager in a synctest bubble, where time passes only while everybody waits.
func host(t *testing.T, b backend.Backend, opts ...lease.Option) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// bubble runs a test in one, with a store of its own.
func bubble(t *testing.T, name string, test func(t *testing.T, store *memory.Store)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, memory.New()) })
	})
}

func returns[T any](v T, err error) func(context.Context, *lease.Held) (T, error) {
	return func(context.Context, *lease.Held) (T, error) { return v, err }
}

// never is work that must not run.
func never(t *testing.T) func(context.Context, *lease.Held) (string, error) {
	return func(context.Context, *lease.Held) (string, error) {
		t.Error("the function ran")
		return "", nil
	}
}

func withTTL(d time.Duration) lease.DoOption {
	return lease.WithAcquireOptions(lease.AcquireOptions{TTL: d})
}

var retryFailed = lease.WithAcquireOptions(lease.AcquireOptions{RetryFailed: true})

func status(t *testing.T, m *lease.Manager, key string) lease.Lease {
	t.Helper()
	l, err := m.Result(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDoRunsOnceAndKeepsTheResult(t *testing.T) {
	type report struct {
		Sent int      `json:"sent"`
		To   []string `json:"to"`
	}
	m := host(t, memory.New())
	want := report{2, []string{"ada", "bob"}}
	for range 2 {
		runs := 0
		got, err := lease.Do(t.Context(), m, "newsletter", func(ctx context.Context, h *lease.Held) (report, error) {
			runs++
			if h.Key() != "newsletter" || h.Token() == 0 || h.Attempt() != 1 || h.Lease().State != lease.StateInProgress {
				t.Errorf("held: %q, token %d, attempt %d, %s", h.Key(), h.Token(), h.Attempt(), h.Lease().State)
			}
			return want, nil
		})
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %v, %v", got, err)
		}
		if l := status(t, m, "newsletter"); l.State != lease.StateCompleted || string(l.Result) != `{"sent":2,"to":["ada","bob"]}` || l.Version != 2 {
			t.Errorf("the lease is %+v after %d runs", l, runs)
		}
	}
}

func TestDoReturnsWhatStands(t *testing.T) {
	m := host(t, memory.New())
	done := func(key string, c lease.Completion) {
		l, _, err := m.Acquire(t.Context(), key, lease.AcquireOptions{})
		if err == nil {
			_, err = m.Complete(t.Context(), key, l.LeaseID, c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	done("without result", lease.Completion{})
	done("of another type", lease.Completion{Result: []byte(`{"a":1}`)})
	if got, err := lease.Do(t.Context(), m, "without result", never(t)); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	_, err := lease.Do(t.Context(), m, "of another type", never(t))
	var e *lease.Error
	if !errors.As(err, &e) || e.Lease.State != lease.StateCompleted || !errors.Is(err, lease.ErrResultType) {
		t.Errorf("got %v", err)
	}
}

type coded string

func (c coded) Error() string     { return "the error's text" }
func (c coded) ErrorCode() string { return string(c) }

func TestDoFails(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		opts []lease.DoOption
		code string
		text string
	}{
		{"an error without a code", errors.New("secret"), nil, "error", ""},
		{"an error that names its code", coded("quota"), nil, "quota", ""},
		{"wrapped", fmt.Errorf("call: %w", coded("quota")), nil, "quota", ""},
		{"a code that is empty", coded(""), nil, "error", ""},
		{"a code that is too long", coded(strings.Repeat("x", 200)), nil, "error", ""},
		{"a code that cannot be shown", coded("a\nb"), nil, "error", ""},
		{"with its text", errors.New("disk\nfull"), []lease.DoOption{lease.WithErrorText()}, "error", "disk full"},
		{"with a long text", errors.New(strings.Repeat("é", 600)), []lease.DoOption{lease.WithErrorText()}, "error", strings.Repeat("é", 512)},
		{"with an odd text", errors.New("\xff" + strings.Repeat("é", 600)), []lease.DoOption{lease.WithErrorText()}, "error", "�" + strings.Repeat("é", 510)},
		{"another Do has failed", &lease.FailedError{Code: "inner"}, nil, "inner", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := host(t, memory.New())
			_, err := lease.Do(t.Context(), m, "k", returns("", c.err), c.opts...)
			if err != c.err {
				t.Errorf("Do returned %v, want the function's error as it is", err)
			}
			sum := sha256.Sum256([]byte(c.err.Error()))
			l := status(t, m, "k")
			if l.State != lease.StateFailed || l.ErrorCode != c.code || l.ErrorHash != hex.EncodeToString(sum[:]) || l.ErrorText != c.text {
				t.Errorf("the lease is %s with code %q, hash %q, text %q", l.State, l.ErrorCode, l.ErrorHash, l.ErrorText)
			}
			_, err = lease.Do(t.Context(), m, "k", never(t))
			var failed *lease.FailedError
			if !errors.As(err, &failed) || failed.Code != c.code || failed.Key != "k" || failed.ErrorCode() != c.code || failed.Lease.Attempt != 1 {
				t.Errorf("the next was told %v", err)
			}
			got, err := lease.Do(t.Context(), m, "k", func(_ context.Context, h *lease.Held) (int, error) { return h.Attempt(), nil }, retryFailed)
			if got != 2 || err != nil {
				t.Errorf("the one that was told to try again: attempt %d, %v", got, err)
			}
		})
	}
}

func TestDoWithAResultThatCannotBeStored(t *testing.T) {
	m := host(t, memory.New(), lease.WithMaxResultBytes(10))
	got, err := lease.Do(t.Context(), m, "long", returns("more than ten", nil))
	if got != "more than ten" || !errors.Is(err, lease.ErrInvalid) || status(t, m, "long").ErrorCode != "result" {
		t.Errorf("got %q, %v, the lease %+v", got, err, status(t, m, "long"))
	}
	if _, err = lease.Do(t.Context(), m, "odd", returns(make(chan int), nil)); !errors.Is(err, lease.ErrInvalid) || status(t, m, "odd").ErrorCode != "result" {
		t.Errorf("got %v, the lease %+v", err, status(t, m, "odd"))
	}
}

func TestDoPanics(t *testing.T) {
	m := host(t, memory.New())
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		lease.Do(t.Context(), m, "k", func(context.Context, *lease.Held) (int, error) { panic("boom") })
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		lease.Do(t.Context(), m, "l", func(context.Context, *lease.Held) (int, error) { runtime.Goexit(); return 0, nil })
	})
	wg.Wait()
	for _, key := range []string{"k", "l"} {
		if l := status(t, m, key); l.State != lease.StateFailed || l.ErrorCode != "panic" {
			t.Errorf("the lease is %s with code %q", l.State, l.ErrorCode)
		}
	}
}

func TestDoWhoseCallerGivesUp(t *testing.T) {
	for _, c := range []struct {
		name   string
		giveUp func(ctx context.Context) (context.Context, context.CancelFunc)
		opts   []lease.DoOption
		err    error
		code   string // "": the lease is left in progress
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, nil, context.Canceled, "canceled:context_canceled"},
		{"out of time", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, nil, context.DeadlineExceeded, "canceled:deadline_exceeded"},
		{"for a reason with a code", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, coded("shutdown"))
		}, nil, context.DeadlineExceeded, "canceled:shutdown"},
		{"for a reason without a code", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, errors.New("secret"))
		}, nil, context.DeadlineExceeded, "canceled:error"},
		{"and leaves the lease", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, []lease.DoOption{lease.WithLeaveOnCancel()}, context.DeadlineExceeded, ""},
	} {
		bubble(t, c.name, func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			ctx, cancel := c.giveUp(t.Context())
			defer cancel()
			_, err := lease.Do(ctx, m, "k", func(ctx context.Context, _ *lease.Held) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}, c.opts...)
			if err != c.err {
				t.Errorf("Do returned %v", err)
			}
			l := status(t, m, "k")
			if c.code == "" && l.State != lease.StateInProgress || c.code != "" && (l.State != lease.StateFailed || l.ErrorCode != c.code) {
				t.Errorf("the lease is %s with code %q", l.State, l.ErrorCode)
			}
		})
	}
	bubble(t, "but the work is done all the same", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		got, err := lease.Do(ctx, m, "k", func(context.Context, *lease.Held) (string, error) { cancel(); return "done", nil })
		if got != "done" || err != nil || status(t, m, "k").State != lease.StateCompleted {
			t.Errorf("got %q, %v", got, err)
		}
	})
	bubble(t, "while it waits for another", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		if _, _, err := m.Acquire(t.Context(), "k", lease.AcquireOptions{}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := lease.Do(ctx, m, "k", never(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if l := status(t, m, "k"); l.State != lease.StateInProgress {
			t.Errorf("the other's lease is %s", l.State)
		}
	})
}

func TestDoByMany(t *testing.T) {
	bubble(t, "one runs, all get the result", func(t *testing.T, store *memory.Store) {
		hosts := []*lease.Manager{host(t, store), host(t, store), host(t, hidden{store})} // the last has to ask
		var runs atomic.Int64
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				got, err := lease.Do(t.Context(), hosts[i%3], "k", func(ctx context.Context, h *lease.Held) (int64, error) {
					time.Sleep(10 * time.Minute)
					return runs.Add(1) * 41, ctx.Err()
				}, withTTL(time.Minute))
				if got != 41 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		all.Wait()
		if runs.Load() != 1 {
			t.Errorf("it ran %d times", runs.Load())
		}
	})
	bubble(t, "it fails for all", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		go lease.Do(t.Context(), m, "k", func(context.Context, *lease.Held) (string, error) {
			time.Sleep(time.Second)
			return "", coded("model")
		})
		synctest.Wait()
		_, err := lease.Do(t.Context(), m, "k", never(t))
		if f, ok := errors.AsType[*lease.FailedError](err); !ok || f.Code != "model" {
			t.Errorf("got %v", err)
		}
	})
	bubble(t, "who is told to try again waits for the failure first", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		go lease.Do(t.Context(), m, "k", func(context.Context, *lease.Held) (string, error) {
			time.Sleep(time.Second)
			return "", coded("model")
		})
		synctest.Wait()
		begun := time.Now()
		got, err := lease.Do(t.Context(), m, "k", returns("better", nil), retryFailed)
		if got != "better" || err != nil || time.Since(begun) != time.Second {
			t.Errorf("got %q, %v after %v", got, err, time.Since(begun))
		}
	})
	bubble(t, "who does not want to wait is told who holds it", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		l, _, err := m.Acquire(t.Context(), "k", lease.AcquireOptions{TTL: time.Minute, Metadata: []byte(`{"host":"a"}`)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = lease.Do(t.Context(), m, "k", never(t), lease.WithoutWaiting())
		e, ok := errors.AsType[*lease.Error](err)
		if !ok || !errors.Is(err, lease.ErrInProgress) || e.Lease.Token != l.Token || e.Lease.TTLLeft != time.Minute || string(e.Lease.Metadata) != `{"host":"a"}` {
			t.Errorf("got %v", err)
		}
	})
	for _, skew := range []time.Duration{0, 3 * time.Second} {
		bubble(t, fmt.Sprintf("the holder vanishes, clocks differ by %v", skew), func(t *testing.T, store *memory.Store) {
			m := host(t, store, lease.WithClockSkew(skew))
			if _, _, err := m.Acquire(t.Context(), "k", lease.AcquireOptions{TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			attempt, err := lease.Do(t.Context(), m, "k", func(_ context.Context, h *lease.Held) (int, error) { return h.Attempt(), nil })
			if attempt != 2 || err != nil || time.Since(begun) != time.Minute+skew {
				t.Errorf("attempt %d, %v after %v", attempt, err, time.Since(begun))
			}
		})
	}
	bubble(t, "an at-most-once holder vanishes: nobody does it again unless told to", func(t *testing.T, store *memory.Store) {
		m := host(t, store, lease.WithClockSkew(2*time.Second))
		if _, _, err := m.Acquire(t.Context(), "k", lease.AcquireOptions{TTL: time.Minute, AtMostOnce: true}); err != nil {
			t.Fatal(err)
		}
		_, err := lease.Do(t.Context(), m, "k", never(t))
		if f, ok := errors.AsType[*lease.FailedError](err); !ok || f.Code != "expired" {
			t.Errorf("got %v", err)
		}
		if got, err := lease.Do(t.Context(), m, "k", returns("again", nil), retryFailed); got != "again" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestDoRefusesBadOptions(t *testing.T) {
	m := host(t, memory.New())
	for _, c := range []struct {
		field string
		key   string
		opts  []lease.DoOption
	}{
		{"key", "", nil},
		{"ttl", "k", []lease.DoOption{withTTL(time.Millisecond)}},
		{"request_id", "k", []lease.DoOption{lease.WithAcquireOptions(lease.AcquireOptions{RequestID: "mine"})}},
		{"metadata", "k", []lease.DoOption{lease.WithAcquireOptions(lease.AcquireOptions{Metadata: []byte("[]")})}},
		{"grace", "k", []lease.DoOption{withTTL(3 * time.Second), lease.WithGrace(2 * time.Second)}},
		{"grace", "k", []lease.DoOption{lease.WithGrace(-1)}},
	} {
		_, err := lease.Do(t.Context(), m, c.key, never(t), c.opts...)
		if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != c.field {
			t.Errorf("%s: got %v", c.field, err)
		}
	}
	var nothing func(context.Context, *lease.Held) (int, error)
	if _, err := lease.Do(t.Context(), m, "k", nothing); !errors.Is(err, lease.ErrInvalid) {
		t.Errorf("no work: got %v", err)
	}
	if l := status(t, m, "k"); l.State != lease.StateNotFound {
		t.Errorf("something was written: %+v", l)
	}
}

// TestDoLeavesNothingRunning covers what a bubble cannot: the real clock.
func TestDoLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t)
	m := host(t, memory.New())
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			lease.Do(ctx, m, fmt.Sprint(i%5), func(ctx context.Context, h *lease.Held) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			}, withTTL(time.Second))
		})
		all.Go(func() { m.Wait(ctx, fmt.Sprint(i%5)) })
	}
	time.AfterFunc(500*time.Millisecond, cancel)
	all.Wait()
}
