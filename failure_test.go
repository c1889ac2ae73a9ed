package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// The errors of user code, with methods that panic or are called on a nil pointer.
type (
	badText   struct{ code string }
	badUnwrap struct{}
	badIs     struct{}
	badCode   struct{}
	withCode  struct{ code string }
)

func (e *badText) Error() string     { return e.code } // panics if e is nil
func (badUnwrap) Error() string      { return "bad unwrap" }
func (badUnwrap) Unwrap() error      { panic("no chain") }
func (badIs) Error() string          { return "bad is" }
func (badIs) Is(error) bool          { panic("no comparison") }
func (badIs) As(any) bool            { panic("no comparison") }
func (badCode) Error() string        { return "bad code" }
func (badCode) ErrorCode() string    { panic("no code") }
func (e withCode) Error() string     { return "with code" }
func (e withCode) ErrorCode() string { return e.code }

var typedNil error = (*badText)(nil)

func failure(code string) error {
	return lease.Lease{Key: "k", State: lease.StateFailed, ErrorCode: code, Attempt: 2}.DecodeResult(nil)
}

func TestCode(t *testing.T) {
	boom := failure("boom")
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"no error", nil, ""},
		{"a failure", boom, "boom"},
		{"a failure that was wrapped", fmt.Errorf("sending: %w", boom), "boom"},
		{"a failure among others", errors.Join(errors.New("one"), boom), "boom"},
		{"the outer of two failures", fmt.Errorf("%w, because of: %w", failure("outer"), boom), "outer"},
		{"a marked failure", lease.Permanent(boom), "boom"},
		{"another error", errors.New("boom"), ""},
		{"the sentinel alone", lease.ErrFailed, ""},
		{"an error with a code of its own", withCode{"mine"}, ""},
		{"a failure without a code", failure(""), ""},
		{"a typed nil", typedNil, ""},
		{"a failure behind a typed nil", errors.Join(typedNil, boom), "boom"},
		{"an error whose Unwrap panics", badUnwrap{}, ""},
		{"a failure before one whose Unwrap panics", errors.Join(boom, badUnwrap{}), "boom"},
		{"a failure behind one whose Unwrap panics", errors.Join(badUnwrap{}, boom), ""},
		{"an error whose As panics", badIs{}, ""},
		{"a failure behind one whose As panics", fmt.Errorf("%w %w", badIs{}, boom), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := lease.Code(tt.err); got != tt.want {
				t.Errorf("the code is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMarksChangeNothingElse(t *testing.T) {
	for name, mark := range map[string]func(error) error{"Permanent": lease.Permanent, "Retryable": lease.Retryable} {
		if err := mark(nil); err != nil {
			t.Errorf("%s(nil) is %v", name, err)
		}
		cause := withCode{"c"}
		err := mark(fmt.Errorf("outer: %w", cause))
		if got, ok := errors.AsType[withCode](err); err.Error() != "outer: with code" || !errors.Is(err, cause) || !ok || got.code != "c" {
			t.Errorf("%s: the error is %q, of which a cause is %v", name, err, got)
		}
		if err := mark(typedNil); err == nil || !errors.Is(err, typedNil) {
			t.Errorf("%s of a typed nil is %v", name, err != nil)
		}
	}
}

// TestWhatAFunctionsErrorSaysOfItsFailure runs Do with functions that fail, and looks at what is
// stored.
func TestWhatAFunctionsErrorSaysOfItsFailure(t *testing.T) {
	plain := errors.New("no connection")
	type stored struct {
		code      string
		retryable bool
	}
	for _, tt := range []struct {
		name       string
		err        error
		want, once stored // under AtMostOnce
	}{
		{"a plain error", plain, stored{"error", true}, stored{"error", false}},
		{"a permanent error", lease.Permanent(plain), stored{"error", false}, stored{"error", false}},
		{"a retryable error", lease.Retryable(plain), stored{"error", true}, stored{"error", true}},
		{"a permanent error that was wrapped", fmt.Errorf("outer: %w", lease.Permanent(plain)), stored{"error", false}, stored{"error", false}},
		{"two marks, of which the outer counts", lease.Retryable(fmt.Errorf("outer: %w", lease.Permanent(plain))), stored{"error", true}, stored{"error", true}},
		{"two marks the other way round", lease.Permanent(lease.Retryable(plain)), stored{"error", false}, stored{"error", false}},
		{"an error with a code", withCode{"declined"}, stored{"declined", true}, stored{"declined", false}},
		{"a marked error with a code", lease.Permanent(withCode{"declined"}), stored{"declined", false}, stored{"declined", false}},
		{"a code that is too long", withCode{strings.Repeat("x", 129)}, stored{"error", true}, stored{"error", false}},
		{"another's failure, with its code", failure("boom"), stored{"boom", true}, stored{"boom", false}},
		{"what marked another's failure is not about this one", fmt.Errorf("inner: %w", errors.Join(failure("boom"))), stored{"boom", true}, stored{"boom", false}},
		{"a typed nil", typedNil, stored{"error", true}, stored{"error", false}},
		{"a permanent typed nil", lease.Permanent(typedNil), stored{"error", false}, stored{"error", false}},
		{"an error whose Unwrap panics", badUnwrap{}, stored{"error", true}, stored{"error", false}},
		{"a permanent error whose Unwrap panics", lease.Permanent(badUnwrap{}), stored{"error", false}, stored{"error", false}},
		{"an error whose As panics", badIs{}, stored{"error", true}, stored{"error", false}},
		{"an error whose ErrorCode panics", badCode{}, stored{"error", true}, stored{"error", false}},
	} {
		for _, once := range []bool{false, true} {
			want := tt.want
			if once {
				want = tt.once
			}
			t.Run(fmt.Sprintf("%s, at most once %t", tt.name, once), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // whose end fails the test if a goroutine is left
					m, err := lease.NewManager(memory.New())
					if err != nil {
						t.Fatal(err)
					}
					ran := 0
					err = lease.Exec(ctx, m, "k", &lease.DoOptions{AtMostOnce: once}, func(context.Context) error { ran++; return tt.err })
					if ran != 1 {
						t.Fatalf("the function ran %d times", ran)
					}
					if code := lease.Code(err); code != want.code {
						t.Errorf("Code is %q, want %q", code, want.code)
					}
					l, statusErr := m.Status(ctx, "k")
					if got := (stored{l.ErrorCode, l.Retryable}); statusErr != nil || l.State != lease.StateFailed || got != want {
						t.Errorf("stored is %s, %+v, %v; want %+v", l.State, got, statusErr, want)
					}
				})
			})
		}
	}
}

// TestTheMarkOfAnInnerFailureIsAboutTheInnerLease alone; its code is that of the outer failure too.
func TestTheMarkOfAnInnerFailureIsAboutTheInnerLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := lease.NewManager(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		ran := 0
		err = lease.Exec(ctx, m, "outer", nil, func(ctx context.Context) error {
			return lease.Exec(ctx, m, "inner", nil, func(context.Context) error {
				ran++
				return lease.Permanent(withCode{"declined"})
			})
		})
		inner, err2 := m.Status(ctx, "inner")
		outer, err3 := m.Status(ctx, "outer")
		if err := errors.Join(err2, err3); err != nil {
			t.Fatal(err)
		}
		if ran != 1 || inner.Retryable || !outer.Retryable || inner.ErrorCode != "declined" || outer.ErrorCode != "declined" || lease.Code(err) != "declined" {
			t.Errorf("ran %d times: %v\ninner %+v\nouter %+v", ran, err, inner, outer)
		}
	})
}
