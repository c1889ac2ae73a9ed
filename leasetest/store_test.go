package leasetest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// scripted is a memory store, and a Store around it with all that this one unwraps to. The key "k"
// has the value "old".
type scripted struct {
	*leasetest.Store
	backend.Lister
	backend.Watcher
	backend.PrefixWatcher
	inner    *memory.Store
	revision uint64 // of "k"
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	inner := memory.New()
	revision, err := inner.CompareAndSet(t.Context(), "k", 0, []byte("old"), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := leasetest.NewStore(inner)
	l, _ := backend.As[backend.Lister](s)
	w, _ := backend.As[backend.Watcher](s)
	p, _ := backend.As[backend.PrefixWatcher](s)
	return &scripted{s, l, w, p, inner, revision}
}

// value returns what stands under "k", "" if nothing does.
func (s *scripted) value(t *testing.T) string {
	t.Helper()
	e, err := s.inner.Get(t.Context(), "k")
	if err != nil && !errors.Is(err, backend.ErrNotFound) {
		t.Fatal(err)
	}
	return string(e.Value)
}

func (s *scripted) set(ctx context.Context) error {
	_, err := s.CompareAndSet(ctx, "k", s.revision, []byte("new"), 0)
	return err
}

// everyMethod has one call of each method, and what stands under "k" if it was carried out.
var everyMethod = []struct {
	name string
	do   func(ctx context.Context, s *scripted) error
	then string
}{
	{"Get", func(ctx context.Context, s *scripted) error { _, err := s.Get(ctx, "k"); return err }, "old"},
	{"CompareAndSet", func(ctx context.Context, s *scripted) error { return s.set(ctx) }, "new"},
	{"CompareAndDelete", func(ctx context.Context, s *scripted) error { return s.CompareAndDelete(ctx, "k", s.revision) }, ""},
	{"List", func(ctx context.Context, s *scripted) error {
		for _, err := range s.List(ctx, "") {
			if err != nil {
				return err
			}
		}
		return nil
	}, "old"},
	{"Watch", func(ctx context.Context, s *scripted) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		states, err := s.Watch(ctx, "k")
		if err == nil {
			<-states
		}
		return err
	}, "old"},
}

// eachMethod runs test once for each method, in a bubble of its own.
func eachMethod(t *testing.T, test func(t *testing.T, s *scripted, do func(ctx context.Context) error, then string)) {
	for _, m := range everyMethod {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t)
				test(t, s, func(ctx context.Context) error { return m.do(ctx, s) }, m.then)
			})
		})
	}
}

func TestLoseAnswer(t *testing.T) {
	s := newScripted(t)
	s.LoseAnswer(2)
	err := s.set(t.Context())
	if !errors.Is(err, leasetest.ErrNoAnswer) || s.value(t) != "new" {
		t.Errorf("error is %v, the value is %q; want ErrNoAnswer and the write applied", err, s.value(t))
	}
	for _, known := range []error{backend.ErrNotFound, backend.ErrConflict, backend.ErrInvalid, backend.ErrUnavailable} {
		if errors.Is(err, known) {
			t.Errorf("the error says %v, and the outcome is known", known)
		}
	}
	if err := s.set(t.Context()); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("error is %v, want the conflict, which does not count", err)
	}
	e, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatalf("a read, which does not count: %v", err)
	}
	if err := s.CompareAndDelete(t.Context(), "k", e.Revision); !errors.Is(err, leasetest.ErrNoAnswer) || s.value(t) != "" {
		t.Errorf("error is %v, the value is %q; want ErrNoAnswer and the entry deleted", err, s.value(t))
	}
	for _, n := range []int{0, 1} { // the script of two has ended; and another ends before it began
		s.LoseAnswer(n)
		s.LoseAnswer(0)
		e, err := s.inner.Get(t.Context(), "k")
		if err != nil && !errors.Is(err, backend.ErrNotFound) {
			t.Fatal(err)
		}
		if _, err := s.CompareAndSet(t.Context(), "k", e.Revision, nil, 0); err != nil {
			t.Error(err)
		}
	}
}

func TestCallsAreCountedAndWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		for i, m := range everyMethod {
			before, last := s.Called(i), s.Called(len(everyMethod))
			<-before
			select {
			case <-last:
				t.Fatalf("after %d calls %d are said to have come", i, len(everyMethod))
			default:
			}
			if err := m.do(t.Context(), s); err != nil && !errors.Is(err, backend.ErrConflict) {
				t.Fatal(err)
			}
			if n := s.Calls(); n != i+1 {
				t.Errorf("%d calls were counted, want %d", n, i+1)
			}
		}
		<-s.Called(len(everyMethod))

		s.Cut()
		next := s.Called(s.Calls() + 1)
		done := make(chan error)
		go func() { _, err := s.Get(t.Context(), "k"); done <- err }()
		<-next // also of a call that hangs
		s.Heal()
		if err := <-done; !errors.Is(err, leasetest.ErrNoAnswer) {
			t.Error(err)
		}
	})
}

func TestACallWhoseContextEndsDuringItsDelayIsNotCarriedOut(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, _ string) {
		s.Delay(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v: error is %v, want that of the context after 1s", time.Since(begun), err)
		}
		if v := s.value(t); v != "old" {
			t.Errorf("the call was carried out: the value is %q", v)
		}
	})
}

func TestDelayMakesCallsLonger(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, then string) {
		s.Delay(time.Minute)
		begun := time.Now()
		if err := do(t.Context()); err != nil || time.Since(begun) != time.Minute || s.value(t) != then {
			t.Errorf("after %v: error is %v, the value is %q, want %q after 1m", time.Since(begun), err, s.value(t), then)
		}
		s.Delay(0)
		begun = time.Now()
		if _, err := s.Get(t.Context(), "other"); !errors.Is(err, backend.ErrNotFound) || time.Since(begun) != 0 {
			t.Errorf("after %v: error is %v, want ErrNotFound at once", time.Since(begun), err)
		}
	})
}

func TestACallWithAnEndedContextDoesNothing(t *testing.T) {
	eachMethod(t, func(t *testing.T, s *scripted, do func(ctx context.Context) error, _ string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := do(ctx); !errors.Is(err, context.Canceled) || s.Calls() != 0 {
			t.Errorf("error is %v, %d calls were counted", err, s.Calls())
		}
	})
}
