package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of callers that lose patience.

// says fails the case unless err is that of an ended context.
func (s *subject) says(call string, err, want error) {
	s.step("%s with an ended context -> %v", call, err)
	if !errors.Is(err, want) {
		s.broken("%s with an ended context returned %v, which is not %v", call, err, want)
	}
}

func endedContext(s *subject, t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	want := context.Canceled
	if rapid.Bool().Draw(t, "deadline") {
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		want = context.DeadlineExceeded
	}
	cancel()
	key, other := s.key("k"), s.key("other")
	revision := s.mustSet(key, 0, []byte("v"))
	_, err := s.tryGet(ctx, key)
	s.says("Get", err, want)
	_, err = s.trySet(ctx, key, revision, []byte("w"), 0)
	s.says("CompareAndSet", err, want)
	_, err = s.trySet(ctx, other, 0, []byte("w"), 0)
	s.says("CompareAndSet of an absent key", err, want)
	s.says("CompareAndDelete", s.tryDelete(ctx, key, revision), want)
	if w, ok := backend.As[backend.Watcher](s.b); ok {
		done := s.waiting(aCall, "Watch with an ended context has not returned")
		_, err := w.Watch(ctx, key)
		done()
		s.says("Watch", err, want)
	}
	if _, ok := backend.As[backend.Lister](s.b); ok {
		s.says("List", s.listsUntilError(ctx, s.id, nil), want)
	}
	s.holds(key, revision, []byte("v"))
	s.holds(other, 0, nil)
}

const cutCallers = 8

// cutShort ends the context of writes somewhere in their midst.
func cutShort(s *subject, t *rapid.T) {
	size := rapid.SampledFrom([]int{8, 300, 20_000}).Draw(t, "bytes")
	percent := rapid.IntRange(0, 200).Draw(t, "percent of a call")
	keyOf := func(i int) string { return s.key(fmt.Sprint(i)) }
	valueOf := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, size) }
	var doomed uint64
	other := s.mustSet(s.key("other"), 0, nil)
	pause := time.Duration(percent) * s.longestOf(
		func() { doomed = s.mustSet(s.key("doomed"), 0, valueOf(0)) },
		func() { s.get(s.key("doomed")) },
		func() { s.mustDelete(s.key("other"), other) },
	) / 100
	errs := make([]error, cutCallers)
	s.cutting(pause, func(ctx context.Context, i int) {
		value := valueOf(i)
		_, errs[i] = s.trySet(ctx, keyOf(i), 0, value, 0)
		clear(value) // it is the caller's again
	}, func(ctx context.Context) {
		err := s.tryDelete(ctx, s.key("doomed"), doomed)
		s.mayBeCut("CompareAndDelete", err)
		if errors.Is(err, backend.ErrUnavailable) {
			s.holds(s.key("doomed"), doomed, valueOf(0))
		}
	}, func(ctx context.Context) {
		_, err := s.tryGet(ctx, s.key("doomed"))
		if !errors.Is(err, backend.ErrNotFound) {
			s.mayBeCut("Get", err)
		}
	})
	for i, err := range errs {
		s.mayBeCut("CompareAndSet", err)
		e := s.get(keyOf(i))
		switch {
		case err == nil && e.Revision == 0:
			s.broken("CompareAndSet %s succeeded, but the key is absent", show(keyOf(i)))
		case errors.Is(err, backend.ErrUnavailable):
			if e.Revision != 0 {
				s.broken("CompareAndSet %s said %q, but wrote %s", show(keyOf(i)), err, showEntry(e, nil))
			}
			s.lookAgain(keyOf(i), fmt.Sprintf("CompareAndSet of %s said that the store is unavailable, and nothing will be written", show(keyOf(i))))
		case e.Revision != 0 && !bytes.Equal(e.Value, valueOf(i)):
			s.broken("CompareAndSet %s wrote something else than its value: %s", show(keyOf(i)), showValue(e.Value))
		}
	}
	// What was not applied may be, until something else is: then it is settled.
	for i, err := range errs {
		if errors.Is(err, backend.ErrUnavailable) {
			continue // that is settled, and must stay so
		}
		revision := s.get(keyOf(i)).Revision
		if next, ok := s.set(keyOf(i), revision, []byte("settled"), 0); ok {
			s.holds(keyOf(i), next, []byte("settled"))
		}
	}
}

// longestOf is how long the longest of the calls takes.
func (s *subject) longestOf(calls ...func()) (longest time.Duration) {
	for _, call := range calls {
		begun := time.Now()
		call()
		longest = max(longest, time.Since(begun))
	}
	return longest
}

// cutting makes calls, several of the first, with a context that ends after the pause. Each must
// return in the time that calls have.
func (s *subject) cutting(pause time.Duration, several func(ctx context.Context, i int), others ...func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.together(cutCallers+len(others)+1, func(i int) {
		switch {
		case i == 0:
			time.Sleep(pause) // somewhere into the others' calls, it does not matter where
			s.step("the context is cancelled")
			cancel()
		case i <= cutCallers:
			several(ctx, i-1)
		default:
			others[i-cutCallers-1](ctx)
		}
	})
}

// mayBeCut fails the case if err is none that a call may return whose context ends.
func (s *subject) mayBeCut(call string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, backend.ErrUnavailable) {
		s.broken("%s that was cut short returned %v", call, err)
	}
}

// lateLook is a key that must be absent, also when a store has had time to change its mind.
type lateLook struct {
	of  *subject
	key string
	why string
}

// lookAgain has key looked at once more when all cases are over: it must be absent.
func (s *subject) lookAgain(key, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = append(s.later, lateLook{s, key, why})
}

// lastLook is the case that comes after all others of a property.
func (o *opened) lastLook(s *subject) {
	if len(o.later) == 0 {
		return
	}
	time.Sleep(min(max(generous*o.pace.longestCall(), 50*time.Millisecond), o.pace.least))
	for _, l := range o.later {
		s.id = l.of.id
		if e := s.get(l.key); e.Revision != 0 {
			s.steps = append(l.of.steps, s.steps[len(s.steps)-1])
			s.broken("%s, but later it is %s", l.why, showEntry(e, nil))
		}
	}
}
