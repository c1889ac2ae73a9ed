package conformance

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// breach is a broken promise, in the words that the reader of a failure sees.
type breach struct {
	text   string
	steps  int  // what it took
	waited bool // it was found by waiting
	spoilt bool // the store may not be fit for another case
}

// trial is one property put to one store.
type trial struct {
	*opened
	t     *testing.T
	p     *property
	found *breach   // with the fewest steps
	until time.Time // when a breach was found by waiting: how long others are looked for
}

// run fails the test if the store breaks the property's promise.
func (tr *trial) run() {
	tr.t.Helper()
	hint := ""
	if tr.p.once != nil {
		tr.keep(tr.try(tr.p.once))
	} else {
		hint = tr.check()
	}
	if tr.found == nil {
		tr.keep(tr.try(tr.lastLook))
	}
	if tr.found != nil {
		tr.t.Fatalf("%s%s", tr.found.text, hint)
	}
}

// check has rapid draw the cases, and shrink one that fails. It returns how to repeat it.
//
// Of rapid's own report only that is used: rapid compares the texts of failures to tell whether it
// sees the same one again, and those of a store differ in revisions and times.
func (tr *trial) check() (hint string) {
	q := &quiet{T: tr.t}
	q.during(func() {
		rapid.Check(q, func(t *rapid.T) {
			if !tr.until.IsZero() && time.Now().After(tr.until) {
				return
			}
			b := tr.try(func(s *subject) { tr.p.each(s, t) })
			tr.keep(b)
			if b != nil && b.spoilt {
				tr.opening(b.text)
			}
			switch {
			case b == nil:
			case b.waited:
				// To shrink it would mean to wait again and again. For a short while more cases are
				// drawn, on new stores, and may come to it in fewer steps.
				if tr.until.IsZero() {
					tr.until = time.Now().Add(tr.pace.patience(aState))
				}
			default:
				t.Fatalf("%s", tr.p.promise)
			}
		})
	})
	switch {
	case tr.found != nil:
	case len(q.said) > 0:
		tr.t.Fatalf("%s", strings.Join(q.said, "\n"))
	default:
		tr.t.Log(q.passed)
	}
	return q.hint()
}

// keep keeps the breach with the fewest steps. Of equals it is the last, which was shrunk the most,
// but the first if that was waited for, and what needs no waiting is better.
func (tr *trial) keep(b *breach) {
	switch f := tr.found; {
	case b == nil:
	case f == nil, f.waited && !b.waited:
		tr.found = b
	case b.waited && !f.waited:
	case b.steps < f.steps, b.steps == f.steps && !b.waited:
		tr.found = b
	}
}

// try runs one case in a goroutine of its own, and gives it up when a step takes too long or a
// promise is broken in any of its goroutines.
func (tr *trial) try(f func(s *subject)) *breach {
	s := newSubject(tr.opened, tr.p.promise)
	defer s.cancel()
	var panicked any // by rapid, to whom it goes on
	finished, done := false, make(chan struct{})
	go func() {
		defer close(done)
		defer s.catch(&finished, &panicked)
		f(s)
		finished = true
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.lookForOverdue()
		case <-s.given:
			return s.breach()
		case <-done:
			if b := s.breach(); b != nil {
				return b
			}
			if panicked != nil {
				panic(panicked)
			}
			if !finished { // a function given to Run has failed the test, or skips it
				runtime.Goexit()
			}
			return nil
		}
	}
}

// catch makes a breach of a panic of the store, and of a goroutine that the store has ended: then
// finished is false. What rapid panics with, to end a case, goes to rapids, if that is not nil. It
// is to be deferred.
func (s *subject) catch(finished *bool, rapids *any) {
	v := recover()
	switch {
	case v == nil && (*finished || s.breach() != nil || s.gaveUp()):
	case v == nil:
		s.breaks(breach{spoilt: true}, "a call has ended its caller's goroutine, as runtime.Goexit does")
	case rapids != nil && strings.Contains(fmt.Sprintf("%T", v), "rapid."):
		*rapids = v
	default:
		s.breaks(breach{spoilt: true}, "a call panicked: %v\n%s", v, debug.Stack())
	}
}
