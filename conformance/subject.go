package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// soon is how long something may take that must happen: long enough for a busy machine, and seldom
// waited for in full. Only the tests of the suite change it.
var soon = 20 * time.Second

var cases atomic.Uint64

// subject is the backend under one test case. Its methods call the backend, write the step down,
// and fail the case if the call returned what no state of the store could explain. It may be used
// by several goroutines.
type subject struct {
	*opened
	promise string
	id      string // stands in all keys of the case, so that cases do not meet in one store
	handle  string // which of several handles it uses, for the steps; "" for the first
	*history
}

// history is what the case has done so far.
type history struct {
	mu    sync.Mutex
	steps []string
}

func newSubject(o *opened, promise string) *subject {
	return &subject{opened: o, promise: promise, id: fmt.Sprintf("~%d~", cases.Add(1)), history: &history{}}
}

// through is the same case with its calls made through another handle.
func (s *subject) through(b backend.Backend, handle string) *subject {
	other := *s
	other.opened, other.handle = &opened{b: b}, handle
	return &other
}

// key returns a key of this case only.
func (s *subject) key(tail string) string { return s.id + tail }

func (s *subject) step(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	step := fmt.Sprintf(format, args...)
	if s.handle != "" {
		step = s.handle + ": " + step
	}
	s.steps = append(s.steps, step)
}

// breach is the panic that carries a failure to the goroutine of the test, which alone may report
// it.
type breach string

// broken fails the case: the promise first, then what was seen, then how it came to that. It may be
// called in any goroutine of together and within.
func (s *subject) broken(format string, args ...any) {
	s.mu.Lock()
	steps := s.steps
	s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "broken promise: %s\n", s.promise)
	fmt.Fprintf(&b, "  "+format+"\n", args...)
	const most = 60
	if n := len(steps) - most; n > 0 {
		fmt.Fprintf(&b, "  steps (the last %d of %d):\n", most, len(steps))
		steps = steps[n:]
	} else {
		fmt.Fprintf(&b, "  steps:\n")
	}
	for _, step := range steps {
		fmt.Fprintf(&b, "    %s\n", step)
	}
	panic(breach(strings.TrimSuffix(b.String(), "\n")))
}

// report turns a breach into the test's failure. It is to be deferred.
func report(t rapid.TB) {
	switch p := recover().(type) {
	case nil:
	case breach:
		t.Fatalf("%s", string(p))
	default:
		panic(p)
	}
}

// get reads key; a zero Entry says that it is absent.
func (s *subject) get(key string) backend.Entry {
	e, err := s.b.Get(context.Background(), key)
	s.step("Get %s -> %s", show(key), showEntry(e, err))
	switch {
	case errors.Is(err, backend.ErrNotFound):
		return backend.Entry{}
	case err != nil:
		s.broken("Get %s failed: %v", show(key), err)
	case e.Key != key:
		s.broken("Get %s returned an entry with the key %s", show(key), show(e.Key))
	case e.Revision == 0:
		s.broken("Get %s returned revision 0", show(key))
	}
	return e
}

// set calls CompareAndSet and tells whether it succeeded; an error other than a conflict fails the
// case.
func (s *subject) set(key string, expected uint64, value []byte, keep time.Duration) (revision uint64, ok bool) {
	revision, err := s.trySet(key, expected, value, keep)
	switch {
	case errors.Is(err, backend.ErrConflict):
		return 0, false
	case err != nil:
		s.broken("CompareAndSet %s failed: %v", show(key), err)
	case revision <= expected:
		s.broken("CompareAndSet %s at revision %d returned revision %d", show(key), expected, revision)
	}
	return revision, true
}

func (s *subject) trySet(key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	revision, err := s.b.CompareAndSet(context.Background(), key, expected, value, keep)
	s.step("CompareAndSet %s expected %d value %s keep %v -> %d, %v", show(key), expected, showValue(value), keep, revision, err)
	return revision, err
}

// mustSet is set where nothing may stand in the way.
func (s *subject) mustSet(key string, expected uint64, value []byte) uint64 {
	revision, ok := s.set(key, expected, value, 0)
	if !ok {
		s.broken("CompareAndSet %s at its revision %d was a conflict", show(key), expected)
	}
	return revision
}

func (s *subject) tryDelete(key string, expected uint64) error {
	err := s.b.CompareAndDelete(context.Background(), key, expected)
	s.step("CompareAndDelete %s expected %d -> %v", show(key), expected, err)
	return err
}

func (s *subject) mustDelete(key string, expected uint64) {
	if err := s.tryDelete(key, expected); err != nil {
		s.broken("CompareAndDelete %s at its revision %d failed: %v", show(key), expected, err)
	}
}

// holds fails the case unless key stands at the revision with the value; revision 0: unless it is
// absent.
func (s *subject) holds(key string, revision uint64, value []byte) {
	e := s.get(key)
	if e.Revision != revision || revision != 0 && !bytes.Equal(e.Value, value) {
		s.broken("%s should be %s, but is %s", show(key),
			showEntry(backend.Entry{Revision: revision, Value: value}, nil), showEntry(e, nil))
	}
}

// together runs f in n goroutines at once, and comes back when all have. Steps, and failures, are
// the subject's.
func (s *subject) together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	failed := make(chan breach, n)
	for i := range n {
		wg.Go(func() {
			defer catch(failed)
			<-start
			f(i)
		})
	}
	close(start)
	s.within("concurrent calls", wg.Wait)
	select {
	case b := <-failed:
		panic(b)
	default:
	}
}

// catch sends a breach to the goroutine that waits. It is to be deferred.
func catch(to chan<- breach) {
	switch p := recover().(type) {
	case nil:
	case breach:
		to <- p
	default:
		panic(p)
	}
}

// within fails the case unless f returns soon.
func (s *subject) within(what string, f func()) {
	done := make(chan struct{})
	failed := make(chan breach, 1)
	go func() {
		defer close(done)
		defer catch(failed)
		f()
	}()
	select {
	case <-done:
		select {
		case b := <-failed:
			panic(b)
		default:
		}
	case <-time.After(soon):
		s.broken("%s did not return within %v", what, soon)
	}
}

func show(key string) string {
	if len(key) <= 48 {
		return fmt.Sprintf("%q", key)
	}
	return fmt.Sprintf("%.24q...(%d bytes)", key, len(key))
}

func showValue(v []byte) string {
	if len(v) <= 24 {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprintf("%.12q...(%d bytes)", v, len(v))
}

func showEntry(e backend.Entry, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case e.Revision == 0:
		return "absent"
	}
	return fmt.Sprintf("%s at revision %d", showValue(e.Value), e.Revision)
}
