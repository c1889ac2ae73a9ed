package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
)

// The property of a backend that is an io.Closer.

const (
	closeWriters = 4
	closeKeys    = 8 // under a listing while the store is closed
)

// closed closes the store while writers, a listing and a watch run, and then tries every call. The
// store cannot be used again, so this is done once.
func closed(s *subject) {
	k := s.key("k")
	revision := s.mustSet(k, 0, []byte("v"))
	doomed := s.key("doomed")
	doomedAt := s.mustSet(doomed, 0, []byte("v"))
	var running, unread *watching
	if w, ok := backend.As[backend.Watcher](s.b); ok {
		running, unread = s.watch(w, k), s.watch(w, k)
		defer running.cancel()
		defer unread.cancel()
		running.comesTo(revision, []byte("v"))
	}
	var prefixes []*prefixWatching
	if _, ok := backend.As[backend.PrefixWatcher](s.b); ok {
		for range 2 { // nobody reads the second
			one := s.watchPrefix(s.key("watched/"))
			defer one.cancel()
			prefixes = append(prefixes, one)
		}
		prefixes[0].comesTo(s.key("watched/k"), s.mustSet(s.key("watched/k"), 0, nil))
	}

	writers := s.closeUnderWriters()

	for _, one := range prefixes {
		one.drain("the store was closed")
	}

	if running != nil {
		running.drain("the store was closed")
		unread.drain("the store was closed")
	}
	s.saysClosed("Get", func(ctx context.Context) error { _, err := s.b.Get(ctx, k); return err })
	s.saysClosed("Get of an absent key", func(ctx context.Context) error {
		_, err := s.b.Get(ctx, s.key("absent"))
		return err
	})
	s.saysClosed("CompareAndSet", func(ctx context.Context) error {
		_, err := s.b.CompareAndSet(ctx, k, revision, []byte("late"), 0)
		return err
	})
	s.saysClosed("CompareAndSet of an absent key", func(ctx context.Context) error {
		_, err := s.b.CompareAndSet(ctx, s.key("absent"), 0, []byte("late"), time.Hour)
		return err
	})
	s.saysClosed("CompareAndDelete", func(ctx context.Context) error {
		return s.b.CompareAndDelete(ctx, doomed, doomedAt)
	})
	if l, ok := backend.As[backend.Lister](s.b); ok {
		s.saysClosed("List", func(ctx context.Context) (last error) {
			for _, err := range l.List(ctx, s.id) {
				last = err
			}
			return last
		})
	}
	if w, ok := backend.As[backend.Watcher](s.b); ok {
		s.saysClosed("Watch", func(ctx context.Context) error { _, err := w.Watch(ctx, k); return err })
	}
	if w, ok := backend.As[backend.PrefixWatcher](s.b); ok {
		s.saysClosed("WatchPrefix", func(ctx context.Context) error { _, err := w.WatchPrefix(ctx, s.id); return err })
	}
	s.close("again")
	s.together(3, func(i int) { s.close(fmt.Sprint("by caller ", i, " of three at once")) })

	if s.second == nil {
		return
	}
	other := s.through(s.second, "second handle")
	if _, err := s.second.Get(s.ctx, k); errors.Is(err, backend.ErrClosed) {
		return // it is the same handle, which all share
	}
	other.holds(k, revision, []byte("v"))
	other.holds(doomed, doomedAt, []byte("v"))
	other.holds(s.key("absent"), 0, nil)
	for _, w := range writers {
		w.check(other)
	}
}

// saysClosed makes a call of the closed store, twice: that it is closed is final.
func (s *subject) saysClosed(what string, call func(ctx context.Context) error) {
	for range 2 {
		done := s.waiting(aCall, "%s of a closed store has not returned", what)
		err := call(s.ctx)
		done()
		s.step("%s -> %v", what, err)
		s.mustBeClosed(what, err)
	}
}

func (s *subject) mustBeClosed(what string, err error) {
	switch {
	case !errors.Is(err, backend.ErrClosed):
		s.broken("%s of a closed store returned %v, which is not ErrClosed", what, err)
	case errors.Is(err, backend.ErrUnavailable):
		s.broken("%s of a closed store returned %v, which is ErrUnavailable too: it would be tried again", what, err)
	}
}

// closeWriter writes and deletes one key until the store is closed.
type closeWriter struct {
	key      string
	revision uint64 // after what was acknowledged last; 0: the key is absent
	value    string
	unknown  string // one more call whose outcome is
}

// closeUnderWriters closes the store, from inside the loop of a listing if it lists, and while
// writers run. It returns when they have ended.
func (s *subject) closeUnderWriters() []*closeWriter {
	writers := make([]*closeWriter, closeWriters)
	var writing sync.WaitGroup
	writing.Add(closeWriters)
	begun := make(chan struct{})
	go func() { writing.Wait(); close(begun) }()
	var isClosed atomic.Bool
	s.together(closeWriters+1, func(i int) {
		if i < closeWriters {
			w := &closeWriter{key: s.key(fmt.Sprint("writer", i))}
			writers[i] = w
			w.run(s, &isClosed, sync.OnceFunc(writing.Done))
			return
		}
		s.await(begun)
		s.closeWhileListing()
		isClosed.Store(true)
	})
	return writers
}

// run writes until the store says that it is closed, or the outcome of a call is unknown.
func (w *closeWriter) run(s *subject, isClosed *atomic.Bool, begun func()) {
	for n := 0; ; n++ {
		late := isClosed.Load() // whether Close returned before the call began
		call, next, value := "CompareAndSet", uint64(0), fmt.Sprint(n)
		if w.revision != 0 && n%3 == 2 {
			call = "CompareAndDelete"
		}
		done := s.waiting(aCall, "%s %s, while the store is closed, has not returned", call, show(w.key))
		var err error
		if call == "CompareAndSet" {
			next, err = s.b.CompareAndSet(s.ctx, w.key, w.revision, []byte(value), time.Hour)
		} else {
			err = s.b.CompareAndDelete(s.ctx, w.key, w.revision)
		}
		done()
		begun()
		if err != nil {
			s.step("%s %s expected %d while the store is closed -> %v", call, show(w.key), w.revision, err)
		}
		switch {
		case late:
			s.mustBeClosed(call, err)
			return
		case err == nil:
			w.revision, w.value = next, value
		case errors.Is(err, backend.ErrConflict), errors.Is(err, backend.ErrInvalid), errors.Is(err, backend.ErrNotFound):
			s.broken("%s %s at its revision %d failed: %v", call, show(w.key), w.revision, err)
		case errors.Is(err, backend.ErrClosed):
			return
		case errors.Is(err, backend.ErrUnavailable): // nothing was written: it is tried again
			time.Sleep(time.Millisecond)
		default:
			w.unknown = call
			return
		}
	}
}

// check looks from elsewhere at what the writer has left.
func (w *closeWriter) check(s *subject) {
	if w.unknown == "" {
		s.holds(w.key, w.revision, []byte(w.value))
		return
	}
	e := s.get(w.key)
	if e.Revision == w.revision || w.unknown == "CompareAndDelete" && e.Revision == 0 || w.unknown == "CompareAndSet" && e.Revision > w.revision {
		return
	}
	s.broken("%s should be at revision %d, or as %s left it, but is %s", show(w.key), w.revision, w.unknown, showEntry(e, nil))
}

// closeWhileListing closes the store when a listing has yielded its first entry. The listing must
// come to an end that its caller cannot mistake.
func (s *subject) closeWhileListing() {
	if _, ok := backend.As[backend.Lister](s.b); !ok {
		s.close("while others write")
		return
	}
	prefix := s.key("listed")
	missing := map[string]bool{}
	for i := range closeKeys {
		key := prefix + fmt.Sprint(i)
		s.mustSet(key, 0, nil)
		missing[key] = true
	}
	var last error
	s.entries(s.ctx, prefix, func(e backend.Entry, err error) bool {
		if last = err; err == nil {
			if delete(missing, e.Key); len(missing) == closeKeys-1 {
				s.close("while others write, and a listing runs")
			}
		}
		return true
	})
	s.step("the listing ends with %v, having missed %d of %d", last, len(missing), closeKeys)
	switch {
	case len(missing) == closeKeys:
		s.broken("List %s yielded nothing, and ended with %v", show(prefix), last)
	case last != nil:
		s.mustBeClosed("a step of List", last)
	case len(missing) > 0:
		var names []string
		for key := range missing {
			names = append(names, show(key))
		}
		s.broken("a listing ended without an error when the store was closed, and missed %s", strings.Join(names, ", "))
	}
}
