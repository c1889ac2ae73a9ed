package lease_test

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promises 6 and 8 of Do: whatever the function and the methods of its error and result do, the
// lease ends and nothing is left running. No observer delays the extension of a lease.

// trap is an error, and a value, whose methods do what the test says. A nil func does no harm.
type trap struct {
	text, code, unwrap, is, as, marshal func()
}

func (e *trap) Error() string {
	callIf(e.text)
	return "trap"
}

func (e *trap) ErrorCode() string {
	callIf(e.code)
	return "trapped"
}

func (e *trap) Unwrap() error {
	callIf(e.unwrap)
	return nil
}

func (e *trap) Is(error) bool {
	callIf(e.is)
	return false
}

func (e *trap) As(any) bool {
	callIf(e.as)
	return false
}

func (e *trap) MarshalJSON() ([]byte, error) {
	callIf(e.marshal)
	return []byte(`{}`), nil
}

func callIf(f func()) {
	if f != nil {
		f()
	}
}

// springs is a value whose decoding does what the test says.
type springs struct{}

var sprung func() // what happens when a springs is decoded

func (springs) MarshalJSON() ([]byte, error) { return []byte(`1`), nil }
func (*springs) UnmarshalJSON([]byte) error  { sprung(); return nil }

func TestWhateverUserCodeDoesTheLeaseEnds(t *testing.T) {
	boom := func() { panic("boom") }
	bubbleAll := func(name string, opts lease.DoOptions, work func(ctx context.Context) (any, error), want string) {
		bubbleWith(t, name, func(t *testing.T, b *scriptedStore) {
			m := host(t, b)
			runs := 0
			var p any
			var all sync.WaitGroup
			all.Go(func() {
				defer func() { p = recover() }()
				_, _ = lease.Do(t.Context(), m, "k", &opts, func(ctx context.Context) (any, error) {
					runs++
					time.Sleep(time.Minute) // the lease is being extended
					return work(ctx)
				})
			})
			all.Wait()
			if runs != 1 {
				t.Fatalf("it ran %d times", runs)
			}
			if p != nil && p != "boom" {
				t.Errorf("it panicked with %v", p)
			}
			l := mustStand(t, m, "k", want)
			writes, begun := b.writes.Load(), time.Now()
			time.Sleep(10 * opts.TTL)
			if n := b.writes.Load() - writes; n != 0 || b.watching.Load() != 0 {
				t.Errorf("%v after its end the lease was written %d times, %d watches go on", time.Since(begun), n, b.watching.Load())
			}
			if took := l.DoneAt.Sub(l.AcquiredAt); l.Version < 3 || took != time.Minute {
				t.Errorf("it ended after %v, at version %d", took, l.Version)
			}
		})
	}
	fails := func(err error) func(context.Context) (any, error) {
		return func(context.Context) (any, error) { return nil, err }
	}
	for _, way := range []struct {
		name string
		do   func()
	}{{"panics", boom}, {"exits the goroutine", runtime.Goexit}} {
		for _, tt := range []struct {
			name  string
			work  func(ctx context.Context) (any, error)
			panic string // how the lease stands if it panics
			exit  string // and if it exits
		}{
			{"the function", func(context.Context) (any, error) { way.do(); return nil, nil }, "failed 1 panic, retryable", "failed 1 panic, retryable"},
			{"Error", fails(&trap{text: way.do}), "failed 1 trapped, retryable", "failed 1 panic, retryable"},
			{"ErrorCode", fails(&trap{code: way.do}), "failed 1 error, retryable", "failed 1 panic, retryable"},
			{"Unwrap", fails(&trap{unwrap: way.do}), "failed 1 trapped, retryable", "failed 1 panic, retryable"},
			{"As", fails(&trap{as: way.do}), "failed 1 trapped, retryable", "failed 1 panic, retryable"},
			{"Unwrap of a marked error", fails(lease.Permanent(&trap{unwrap: way.do, as: way.do})), "failed 1 trapped", "failed 1 trapped"},
			{"MarshalJSON", func(context.Context) (any, error) { return &trap{marshal: way.do}, nil }, "failed 1 result", "failed 1 result"},
		} {
			want := tt.panic
			if way.name != "panics" {
				want = tt.exit
			}
			bubbleAll(tt.name+" "+way.name, lease.DoOptions{TTL: time.Minute}, tt.work, want)
		}
	}
	var path *fs.PathError
	var own *lease.Error
	bubbleAll("a typed nil of an error", lease.DoOptions{TTL: time.Minute, ErrorText: true}, fails(path), "failed 1 error, retryable")
	bubbleAll("a typed nil of our own error", lease.DoOptions{TTL: time.Minute}, fails(own), "failed 1 error, retryable")
	bubbleAll("a panic at most once", lease.DoOptions{TTL: time.Minute, AtMostOnce: true},
		func(context.Context) (any, error) { panic("boom") }, "failed 1 panic")
}

// TestAResultWhoseDecodingPanicsOrExits: the first caller's result is decoded too.
func TestAResultWhoseDecodingPanicsOrExits(t *testing.T) {
	for name, way := range map[string]func(){"panics": func() { panic("boom") }, "exits": runtime.Goexit} {
		bubble(t, name, func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			sprung = way
			ran := false
			var err error
			var all sync.WaitGroup
			all.Go(func() {
				_, err = lease.Do(t.Context(), m, "k", nil, func(context.Context) (springs, error) {
					ran = true
					time.Sleep(time.Minute)
					return springs{}, nil
				})
			})
			all.Wait()
			if !ran {
				t.Error("it did not run")
			}
			if name == "panics" {
				mustFail(t, err, "result")
			}
			mustStand(t, m, "k", "failed 1 result")
			time.Sleep(time.Hour)
			mustStand(t, m, "k", "failed 1 result")
		})
	}
}

// TestTheErrorOfATypedNil can be printed, and asked whether it is a failure.
func TestTheErrorOfATypedNil(t *testing.T) {
	for _, cancels := range []bool{false, true} {
		for _, once := range []bool{false, true} {
			m := host(t, memory.New())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var nothing *fs.PathError
			_, err := mustRun(t, ctx, m, "k", &lease.DoOptions{AtMostOnce: once}, func(context.Context) (int, error) {
				if cancels {
					cancel()
				}
				return 0, nothing
			})
			want, code := lease.ErrFailed, "error"
			if cancels {
				want, code = context.Canceled, ""
			}
			if cancels && once {
				want, code = lease.ErrFailed, "canceled:context_canceled"
			}
			if !errors.Is(err, want) || lease.Code(err) != code || err.Error() == "" {
				t.Errorf("canceled is %t, at most once %t: %v with code %q", cancels, once, err, lease.Code(err))
			}
		}
	}
}

func TestAPanicGoesOn(t *testing.T) {
	m := host(t, memory.New())
	defer func() {
		if p := recover(); p != "boom" {
			t.Errorf("recovered %v", p)
		}
		mustStand(t, m, "k", "failed 1 panic, retryable")
	}()
	_, _ = lease.Do(t.Context(), m, "k", nil, func(context.Context) (int, error) { panic("boom") })
}

// TestAPanicDoesNotWaitForAStore that is away.
func TestAPanicDoesNotWaitForAStore(t *testing.T) {
	for name, bad := range map[string]func(b *scriptedStore){
		"refuses":        func(b *scriptedStore) { b.away.Store(true) },
		"hangs":          func(b *scriptedStore) { b.hangs.Store(true) },
		"has no answers": func(b *scriptedStore) { b.lost.Store(true) },
	} {
		bubbleWith(t, "that "+name, func(t *testing.T, b *scriptedStore) {
			m := host(t, b)
			begun := time.Now()
			defer func() {
				if p, took := recover(), time.Since(begun); p != "boom" || took > 6*time.Second {
					t.Errorf("%v came through after %v", p, took)
				}
			}()
			_, _ = lease.Do(t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(context.Context) (int, error) {
				bad(b)
				panic("boom")
			})
		})
	}
}

// TestACauseThatPanics: the reason for which the caller's context ended is not ours either.
func TestACauseThatPanics(t *testing.T) {
	boom := func() { panic("boom") }
	var nothing *fs.PathError
	for name, cause := range map[string]error{
		"in ErrorCode": &trap{code: boom}, "in As": &trap{as: boom}, "in Unwrap": &trap{unwrap: boom}, "a typed nil": nothing,
	} {
		for _, once := range []bool{false, true} {
			bubble(t, name, func(t *testing.T, store *memory.Store) {
				m := host(t, store)
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(cause) })
				err := mustExec(t, ctx, m, "k", &lease.DoOptions{AtMostOnce: once}, func(ctx context.Context) error {
					<-ctx.Done()
					return ctx.Err()
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
				l := status(t, m, "k")
				if got := stands(l); once && got != "failed 1 canceled:context_canceled" && got != "failed 1 canceled:trapped" || !once && got != "released 1" {
					t.Errorf("the lease is %q", got)
				}
			})
		}
	}
}
