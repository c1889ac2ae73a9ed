package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// Promise 1 of Do: callers with one key share one run, and all get what was stored.

func TestCallersWithOneKeyShareOneRun(t *testing.T) {
	bubble(t, "on three hosts, one of which has to ask the store", func(t *testing.T, store *memory.Store) {
		var l timeline
		hosts := []*lease.Manager{host(t, store, l.seen()), host(t, store, l.seen()), host(t, threeMethods{store}, l.seen())}
		var runs, got atomic.Int64
		var all sync.WaitGroup
		for i := range 63 {
			all.Go(func() {
				v, err := lease.Do(t.Context(), hosts[i%3], "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) (int64, error) {
					return 41 * runs.Add(1), stay(ctx, 10*time.Minute)
				})
				if v != 41 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
				got.Add(1)
			})
		}
		all.Wait()
		if runs.Load() != 1 || got.Load() != 63 {
			t.Errorf("it ran %d times for %d callers", runs.Load(), got.Load())
		}
		l.mustBe(t, "acquired 1", "completed 1")
	})
	bubble(t, "and those who call later get its result for as long as it is retained", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		opts := &lease.DoOptions{Retention: time.Hour}
		if v, err := mustRun(t, t.Context(), m, "k", opts, returns("first", nil)); v != "first" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		time.Sleep(time.Hour - 1)
		if v, err := mustNotRun[string](t, t.Context(), m, "k", opts); v != "first" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
		time.Sleep(time.Nanosecond)
		if v, err := mustRun(t, t.Context(), m, "k", opts, returns("second", nil)); v != "second" || err != nil {
			t.Errorf("got %q, %v", v, err)
		}
	})
	for _, skew := range []time.Duration{0, 3 * time.Second} {
		bubble(t, fmt.Sprintf("and one of them goes on if the holder vanishes, clocks differ by %v", skew), func(t *testing.T, store *memory.Store) {
			m := host(t, store, lease.WithClockSkew(skew))
			mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
			begun := time.Now()
			n, err := mustRun(t, t.Context(), m, "k", nil, attempt)
			if n != 2 || err != nil || time.Since(begun) != time.Minute+skew {
				t.Errorf("attempt %d, %v after %v", n, err, time.Since(begun))
			}
		})
	}
	bubble(t, "and others wait 30 seconds if the process dies, whatever the Manager's default TTL", func(t *testing.T, store *memory.Store) {
		m := host(t, store, lease.WithDefaultTTL(time.Hour))
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			if l := status(t, m, "k"); l.TTL != 30*time.Second || l.TTLLeft != 30*time.Second {
				t.Errorf("the lease has a TTL of %v", l.TTL)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// lossy is a type of which JSON keeps one field.
type lossy struct {
	Kept   int
	hidden int
}

// shared runs work that returns v, then asks for its result, and compares: both callers get want,
// which is not v if differs.
func shared[T any](v, want T, differs bool) func(t *testing.T) {
	return func(t *testing.T) {
		m := host(t, memory.New())
		first, err := mustRun(t, t.Context(), m, "k", nil, returns(v, nil))
		if err != nil {
			t.Fatal(err)
		}
		second, err := mustNotRun[T](t, t.Context(), m, "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		third, err := lease.Await[T](t.Context(), m, "k")
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range []T{first, second, third} {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("caller %d got %#v, want %#v", i+1, got, want)
			}
		}
		if reflect.DeepEqual(any(v), any(want)) == differs {
			t.Errorf("%#v and %#v: differs is %t", v, want, differs)
		}
	}
}

func TestEveryCallerGetsWhatWasStored(t *testing.T) {
	n := 7
	now := time.Now() // with a reading of the monotonic clock
	for _, tt := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a string", shared("a", "a", false)},
		{"a string that is not valid UTF-8", shared("a\xffb", "a�b", true)},
		{"HTML", shared("<b>&", "<b>&", false)},
		{"an integer", shared(math.MaxInt64, math.MaxInt64, false)},
		{"a large unsigned integer", shared(uint64(math.MaxUint64), uint64(math.MaxUint64), false)},
		{"an integer beyond 2^53 in an any", shared[any](1<<53+1, float64(1<<53), true)},
		{"a small integer in an any", shared[any](5, float64(5), true)},
		{"a string in an any", shared[any]("a", "a", false)},
		{"an empty struct in an any", shared[any](struct{}{}, map[string]any{}, true)},
		{"nil in an any", shared[any](nil, nil, false)},
		{"a struct with a field that is not exported", shared(lossy{1, 2}, lossy{1, 0}, true)},
		{"a pointer", shared(&n, &n, false)},
		{"a nil pointer", shared[*int](nil, nil, false)},
		{"an empty slice", shared([]int{}, []int{}, false)},
		{"a nil slice", shared[[]int](nil, nil, false)},
		{"a nil error as a value", shared[error](nil, nil, false)},
		{"JSON", shared(json.RawMessage(`{ "a": 1 }`), json.RawMessage(`{"a":1}`), true)},
		{"no JSON", shared(json.RawMessage(nil), json.RawMessage("null"), true)},
		{"bytes", shared([]byte{0, 255}, []byte{0, 255}, false)},
		{"an instant", shared(now, now.UTC().Round(0), true)},
		{"nothing", shared(struct{}{}, struct{}{}, false)},
	} {
		t.Run(tt.name, tt.run)
	}
}

// undecodable is a result that encodes, and does not decode.
type undecodable struct{}

func (undecodable) MarshalJSON() ([]byte, error) { return []byte(`"encoded"`), nil }
func (*undecodable) UnmarshalJSON([]byte) error  { return io.ErrUnexpectedEOF }

// unstored runs work whose result cannot be stored, and then asks for it.
func unstored[T any](v T, is error) func(t *testing.T) {
	return func(t *testing.T) {
		m := host(t, memory.New(), lease.WithMaxResultBytes(100))
		opts := &lease.DoOptions{Attempts: 5}
		_, err := mustRun(t, t.Context(), m, "k", opts, returns(v, nil))
		mustFail(t, err, "result")
		if !errors.Is(err, is) {
			t.Errorf("the first caller got %v, want %v", err, is)
		}
		l := mustStand(t, m, "k", "failed 1 result")
		if l.ErrorHash == "" || l.ErrorText != "" {
			t.Errorf("stored with hash %q, text %q", l.ErrorHash, l.ErrorText)
		}
		_, err = mustNotRun[T](t, t.Context(), m, "k", opts)
		mustFail(t, err, "result")
		if n, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{RetryFailed: true}, attempt); n != 2 || err != nil {
			t.Errorf("a caller who has looked: attempt %d, %v", n, err)
		}
	}
}

// TestAResultThatCannotBeStored is paid for once, also with Attempts: the work was done.
func TestAResultThatCannotBeStored(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"a channel", unstored(make(chan int), lease.ErrInvalid)},
		{"not a number", unstored(math.NaN(), lease.ErrInvalid)},
		{"a string that is too long", unstored(strings.Repeat("x", 99), lease.ErrInvalid)},
		{"JSON that is none", unstored(json.RawMessage("{"), lease.ErrInvalid)},
		{"an interface, which nothing decodes into", unstored[fmt.Stringer](time.Second, lease.ErrResultType)},
		{"a value that encodes, and does not decode", unstored(undecodable{}, io.ErrUnexpectedEOF)},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestWhatOthersHaveStored(t *testing.T) {
	m := host(t, memory.New())
	for key, result := range map[string]any{"without a result": nil, "a number": 7, "an object": map[string]int{"a": 1}} {
		l := mustTake(t, m, key, nil)
		if _, err := m.Complete(t.Context(), key, l.LeaseID, lease.Completion{Result: result}); err != nil {
			t.Fatal(err)
		}
	}
	str := func(key string) error {
		v, err := mustNotRun[string](t, t.Context(), m, key, nil)
		if v != "" {
			t.Errorf("%s: got %q", key, v)
		}
		return err
	}
	num := func(key string) error {
		v, err := mustNotRun[int](t, t.Context(), m, key, nil)
		if err == nil && v != 7 {
			t.Errorf("%s: got %d", key, v)
		}
		return err
	}
	none := func(key string) error {
		_, err := mustNotRun[struct{}](t, t.Context(), m, key, nil)
		return err
	}
	exec := func(key string) error {
		return lease.Exec(t.Context(), m, key, nil, func(context.Context) error { t.Error("it ran"); return nil })
	}
	for _, tt := range []struct {
		name string
		key  string
		do   func(key string) error
		want error
	}{
		{"a string of a lease without a result", "without a result", str, lease.ErrResultType},
		{"a string of a number", "a number", str, lease.ErrResultType},
		{"a number of a number", "a number", num, nil},
		{"a number of an object", "an object", num, lease.ErrResultType},
		{"nothing of a lease without a result", "without a result", none, nil},
		{"nothing of an object", "an object", none, nil},
		{"Exec of a lease without a result", "without a result", exec, nil},
		{"Exec of a number", "a number", exec, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do(tt.key)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if e, ok := errors.AsType[*lease.Error](err); err != nil && (!ok || e.Lease.State != lease.StateCompleted || e.Key != tt.key || e.Op != "do") {
				t.Errorf("%#v does not tell of the lease", err)
			}
		})
	}
	mustStand(t, m, "without a result", "completed 1")
}

func TestAwait(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(m *lease.Manager, l lease.Lease) error // a second later
		is   error
		code string
	}{
		{"a result", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{Result: "done"})
			return err
		}, nil, ""},
		{"no result", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{})
			return err
		}, lease.ErrResultType, ""},
		{"a failure", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Fail(context.Background(), "k", l.LeaseID, lease.Failure{Code: "boom"})
			return err
		}, lease.ErrFailed, "boom"},
		{"a release", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Release(context.Background(), "k", l.LeaseID)
			return err
		}, lease.ErrExpired, ""},
		{"an expiry", func(m *lease.Manager, l lease.Lease) error { return nil }, lease.ErrExpired, ""},
		{"nothing, since it was forgotten", func(m *lease.Manager, l lease.Lease) error {
			return m.Forget(context.Background(), "k")
		}, lease.ErrNotFound, ""},
	} {
		bubble(t, tt.name, func(t *testing.T, store *memory.Store) {
			m := host(t, store)
			l := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
			go func() {
				time.Sleep(time.Second)
				if err := tt.do(m, l); err != nil {
					t.Error(err)
				}
			}()
			begun := time.Now()
			v, err := lease.Await[string](t.Context(), m, "k")
			if (v == "done") != (tt.is == nil) || !errors.Is(err, tt.is) || lease.Code(err) != tt.code || time.Since(begun) < time.Second {
				t.Errorf("got %q, %v after %v", v, err, time.Since(begun))
			}
			if e, ok := errors.AsType[*lease.Error](err); err != nil && (!ok || e.Op != "await" || e.Key != "k" || e.Lease.State == "") {
				t.Errorf("%#v does not tell of the lease", err)
			}
		})
	}
	bubble(t, "not longer than its context lasts", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		mustTake(t, m, "k", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := lease.Await[int](ctx, m, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}
