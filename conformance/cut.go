package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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
	if _, ok := backend.As[backend.PrefixWatcher](s.b); ok {
		_, err := s.tryWatchPrefix(ctx, s.id)
		s.says("WatchPrefix", err, want)
	}
	if _, ok := backend.As[backend.Lister](s.b); ok {
		s.says("List", s.listsUntilError(ctx, s.id, func(int) {
			s.broken("List with an ended context yielded an entry")
		}), want)
	}
	s.holds(key, revision, []byte("v"))
	s.holds(other, 0, nil)
}

const (
	cutCallers = 8 // whose context ends
	bystanders = 3 // whose context does not
)

// cutWrite is a write whose context ends.
type cutWrite struct {
	key      string
	before   backend.Entry // what it is to replace; revision 0: nothing
	value    []byte
	revision uint64 // if it succeeded
	err      error
}

// cutShort ends the context of writes somewhere in their midst.
func cutShort(s *subject, t *rapid.T) {
	size := rapid.SampledFrom([]int{8, 300, 20_000}).Draw(t, "bytes")
	percent := rapid.IntRange(0, 200).Draw(t, "percent of a call")
	update := rapid.Bool().Draw(t, "update")
	deadline := rapid.Bool().Draw(t, "deadline")
	all := make([]*cutWrite, cutCallers)
	for i := range all {
		w := &cutWrite{key: s.key(fmt.Sprint(i)), value: bytes.Repeat([]byte{byte('a' + i)}, size)}
		if all[i] = w; update {
			w.before.Value = []byte("before")
			w.before.Revision = s.mustSet(w.key, 0, w.before.Value)
		}
	}
	doomed := backend.Entry{Key: s.key("doomed"), Value: bytes.Repeat([]byte("d"), size)}
	stands, gone := s.key("stands"), s.key("gone")
	at := s.mustSet(gone, 0, nil)
	s.mustSet(stands, 0, nil)
	pause := time.Duration(percent) * s.longestOf(
		func() { doomed.Revision = s.mustSet(doomed.Key, 0, doomed.Value) },
		func() { s.get(stands) },
		func() { s.mustDelete(gone, at) },
	) / 100
	ctx, ends := s.endsAfter(pause, deadline)
	calls := []func(){ends, func() {
		err := s.tryDelete(ctx, doomed.Key, doomed.Revision)
		s.mayBeCut("CompareAndDelete", err, ctx)
		if errors.Is(err, backend.ErrUnavailable) {
			s.holds(doomed.Key, doomed.Revision, doomed.Value)
		}
	}, func() {
		_, err := s.tryGet(ctx, stands)
		s.mayBeCut("Get", err, ctx)
	}}
	for _, w := range all {
		calls = append(calls, func() {
			given := bytes.Clone(w.value)
			w.revision, w.err = s.trySet(ctx, w.key, w.before.Revision, given, 0)
			clear(given) // it is the caller's again
			s.mayBeCut("CompareAndSet", w.err, ctx)
		})
	}
	for i := range bystanders {
		calls = append(calls, func() {
			key := s.key(fmt.Sprint("of one whose context goes on", i))
			s.holds(key, s.mustSet(key, 0, doomed.Value), doomed.Value)
		})
	}
	s.together(len(calls), func(i int) { calls[i]() })
	for i, w := range all {
		w.judge(s, s.get(w.key))
		// What was not applied may be, until something else is: then it is settled. Some are left
		// to the last look.
		unknown := w.err != nil && !errors.Is(w.err, backend.ErrUnavailable)
		if unknown && i%2 == 0 {
			s.settle(w.key)
			continue
		}
		s.later = append(s.later, lateLook{s, func(s *subject) { w.judge(s, s.get(w.key)) }})
	}
}

// settle writes key at whatever revision it is, or learns that another write came before.
func (s *subject) settle(key string) {
	revision := s.get(key).Revision
	if next, ok := s.set(key, revision, []byte("settled"), 0); ok {
		s.holds(key, next, []byte("settled"))
	}
}

// endsAfter returns a context, and what ends it, or waits for it to end, after the pause.
func (s *subject) endsAfter(pause time.Duration, deadline bool) (ctx context.Context, ends func()) {
	if deadline {
		ctx, cancel := context.WithTimeout(s.ctx, pause)
		return ctx, func() {
			<-ctx.Done()
			cancel()
			s.step("the context's deadline has passed")
		}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	return ctx, func() {
		time.Sleep(pause) // somewhere into the others' calls, it does not matter where
		s.step("the context is cancelled")
		cancel()
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

// mayBeCut fails the case if err is none that a call may return whose context ctx ends.
func (s *subject) mayBeCut(call string, err error, ctx context.Context) {
	if err != nil && (ctx.Err() == nil || !errors.Is(err, ctx.Err())) && !errors.Is(err, backend.ErrUnavailable) {
		s.broken("%s that was cut short returned %v, its context's error is %v", call, err, ctx.Err())
	}
}

// judge fails the case unless the key, which is e, is what the write's answer allows.
func (w *cutWrite) judge(s *subject, e backend.Entry) {
	asBefore := e.Revision == w.before.Revision && bytes.Equal(e.Value, w.before.Value)
	asWritten := e.Revision > w.before.Revision && bytes.Equal(e.Value, w.value)
	switch {
	case w.err == nil:
		if !asWritten || e.Revision != w.revision {
			s.broken("CompareAndSet %s succeeded with revision %d, but the key is %s", show(w.key), w.revision, showEntry(e, nil))
		}
	case errors.Is(w.err, backend.ErrUnavailable):
		if !asBefore {
			s.broken("CompareAndSet %s said %q, which means that nothing is written, but the key is %s", show(w.key), w.err, showEntry(e, nil))
		}
	case !asBefore && !asWritten:
		s.broken("CompareAndSet %s wrote something else than its value: %s", show(w.key), showEntry(e, nil))
	}
}

// lateLook is at what a case that is over has left, when a store has had time to change its mind.
type lateLook struct {
	of    *subject
	judge func(s *subject)
}

// lastLook is the case that comes after all others of a property.
func (o *opened) lastLook(s *subject) {
	if len(o.later) == 0 {
		return
	}
	time.Sleep(min(max(generous*o.pace.longestOf(aCall), 50*time.Millisecond), o.pace.least))
	for _, l := range o.later {
		s.id, s.steps = l.of.id, slices.Clone(l.of.steps)
		l.judge(s)
	}
}
