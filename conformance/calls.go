package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ailease/lease/backend"
)

// The calls that properties make.

// get reads key; a zero Entry says that it is absent.
func (s *subject) get(key string) backend.Entry {
	e, err := s.tryGet(s.ctx, key)
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

func (s *subject) tryGet(ctx context.Context, key string) (backend.Entry, error) {
	done := s.waiting(aCall, "Get %s has not returned", show(key))
	e, err := s.b.Get(ctx, key)
	done()
	s.step("Get %s -> %s", show(key), showEntry(e, err))
	return e, err
}

// set calls CompareAndSet and tells whether it succeeded; an error other than a conflict fails the
// case.
func (s *subject) set(key string, expected uint64, value []byte, keep time.Duration) (revision uint64, ok bool) {
	revision, err := s.trySet(s.ctx, key, expected, value, keep)
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

func (s *subject) trySet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	what := fmt.Sprintf("CompareAndSet %s expected %d value %s keep %v", show(key), expected, showValue(value), keep)
	done := s.waiting(aCall, "%s has not returned", what)
	revision, err := s.b.CompareAndSet(ctx, key, expected, value, keep)
	done()
	s.step("%s -> %d, %v", what, revision, err)
	return revision, err
}

// mustSet is set where nothing may stand in the way.
func (s *subject) mustSet(key string, expected uint64, value []byte) uint64 {
	return s.mustKeep(key, expected, value, 0)
}

func (s *subject) mustKeep(key string, expected uint64, value []byte, keep time.Duration) uint64 {
	revision, ok := s.set(key, expected, value, keep)
	if !ok {
		s.broken("CompareAndSet %s at its revision %d was a conflict", show(key), expected)
	}
	return revision
}

func (s *subject) tryDelete(ctx context.Context, key string, expected uint64) error {
	done := s.waiting(aCall, "CompareAndDelete %s expected %d has not returned", show(key), expected)
	err := s.b.CompareAndDelete(ctx, key, expected)
	done()
	s.step("CompareAndDelete %s expected %d -> %v", show(key), expected, err)
	return err
}

func (s *subject) mustDelete(key string, expected uint64) {
	if err := s.tryDelete(s.ctx, key, expected); err != nil {
		s.broken("CompareAndDelete %s at its revision %d failed: %v", show(key), expected, err)
	}
}

// mustNotDelete calls CompareAndDelete where it must return the error.
func (s *subject) mustNotDelete(key string, expected uint64, want error, why string) {
	if err := s.tryDelete(s.ctx, key, expected); !errors.Is(err, want) {
		s.broken("CompareAndDelete %s %s returned %v, which is not %q", show(key), why, err, want)
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

// entries lists what begins with prefix until use returns false. It does not judge.
func (s *subject) entries(ctx context.Context, prefix string, use func(e backend.Entry, err error) bool) {
	l, _ := backend.As[backend.Lister](s.b)
	next := func() func() { return s.waiting(aListing, "the next step of List %s has not come", show(prefix)) }
	done := next()
	for e, err := range l.List(ctx, prefix) {
		done()
		s.step("List %s yields %s: %s", show(prefix), show(e.Key), showEntry(e, err))
		ok := use(e, err)
		done = next() // also when it is broken off
		if !ok {
			break
		}
	}
	done()
}

// close closes the store.
func (s *subject) close(when string) {
	c, _ := backend.As[io.Closer](s.b)
	done := s.waiting(aCall, "Close %s has not returned", when)
	err := c.Close()
	done()
	s.step("Close %s -> %v", when, err)
	if err != nil {
		s.broken("Close %s failed: %v", when, err)
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
