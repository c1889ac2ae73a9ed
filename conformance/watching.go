package conformance

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of backend.Watcher.

// watching is one watch, and what was seen of it.
type watching struct {
	s      *subject
	key    string
	states <-chan backend.Entry
	cancel context.CancelFunc
	newest uint64            // the greatest revision seen
	gone   bool              // absence was seen after it
	same   int               // times that the state before was sent again
	was    map[uint64][]byte // the values by revision, if the property knows them
}

// mostRepeats is how often a watch may send one state again. A store need not know what it has
// sent, but a watch that sends nothing else never comes to a later state.
const mostRepeats = 1000

func (s *subject) tryWatch(ctx context.Context, w backend.Watcher, key string) (<-chan backend.Entry, error) {
	done := s.waiting(aCall, "Watch %s has not returned", show(key))
	states, err := w.Watch(ctx, key)
	done()
	if err != nil {
		s.step("Watch %s -> %v", show(key), err)
		return nil, err
	}
	s.step("Watch %s", show(key))
	return states, nil
}

func (s *subject) watch(w backend.Watcher, key string) *watching {
	ctx, cancel := context.WithCancel(s.ctx)
	states, err := s.tryWatch(ctx, w, key)
	if err != nil {
		cancel()
		s.broken("Watch %s failed: %v", show(key), err)
	}
	return &watching{s: s, key: key, states: states, cancel: cancel}
}

// isAt tells whether the last state that was sent is the one at the revision, 0 for absence.
func (w *watching) isAt(revision uint64) bool {
	if w.gone || revision == 0 {
		return w.gone && revision == 0
	}
	return revision == w.newest
}

// next is the next state.
func (w *watching) next() backend.Entry {
	k := aState
	if w.newest == 0 && !w.gone { // the state at the time of the call is no news
		k = aCall
	}
	done := w.s.waiting(k, "the watch of %s has sent nothing", show(w.key))
	e, ok := <-w.states
	done()
	if !ok {
		w.s.broken("the watch of %s closed its channel", show(w.key))
	}
	if w.same++; !w.isAt(e.Revision) {
		w.same = 0
	}
	if w.same < 10 { // more of them tell a reader nothing
		w.s.step("the watch of %s sends %s", show(w.key), showEntry(e, nil))
	}
	value, was := w.was[e.Revision]
	switch {
	case w.was != nil && (!was || !bytes.Equal(e.Value, value)):
		w.s.broken("the watch of %s sent %s, which it never was", show(w.key), showEntry(e, nil))
	case w.same > mostRepeats:
		w.s.broken("the watch of %s sent %s %d times, and nothing later", show(w.key), showEntry(e, nil), w.same)
	case e.Key != w.key:
		w.s.broken("the watch of %s sent an entry with the key %s", show(w.key), show(e.Key))
	case e.Revision == 0:
		w.gone = true
	case e.Revision < w.newest:
		w.s.broken("the watch of %s went back from revision %d to %d", show(w.key), w.newest, e.Revision)
	case w.gone && e.Revision == w.newest:
		w.s.broken("the watch of %s went back to revision %d, which it had sent as deleted", show(w.key), e.Revision)
	default:
		w.newest, w.gone = e.Revision, false
	}
	return e
}

// comesTo reads on until the watch has sent the state at the revision, 0 for absence.
func (w *watching) comesTo(revision uint64, value []byte) backend.Entry {
	for {
		e := w.next()
		switch {
		case e.Revision != revision:
		case !bytes.Equal(e.Value, value):
			w.s.broken("the watch of %s sent %s, the key is %s", show(w.key), showEntry(e, nil), showEntry(backend.Entry{Revision: revision, Value: value}, nil))
		default:
			return e
		}
	}
}

// end cancels the watch and waits for its channel to close.
func (w *watching) end() {
	w.cancel()
	w.s.step("the context of the watch of %s ends", show(w.key))
	w.drain("its context's end")
}

// drain waits for the channel to close after what has happened.
func (w *watching) drain(after string) {
	done := w.s.waiting(anEnd, "the watch of %s has not closed its channel after %s", show(w.key), after)
	for range w.states {
	}
	done()
}

func watch(s *subject, t *rapid.T) {
	key := s.key("k")
	w, _ := backend.As[backend.Watcher](s.b)
	var revision uint64
	var value []byte
	written := map[uint64][]byte{0: nil}
	write := func(v []byte) {
		revision = s.mustSet(key, revision, v)
		value, written[revision] = v, v
	}
	change := func(t *rapid.T) {
		switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
		case revision != 0 && kind == 0:
			s.mustDelete(key, revision)
			revision, value = 0, nil
		case kind == 1:
			if _, ok := s.set(key, wrongRevision(t, revision), []byte("refused"), 0); ok {
				s.broken("CompareAndSet at another revision than %d succeeded", revision)
			}
		default:
			write(smallValue().Draw(t, "value"))
		}
	}
	for range rapid.IntRange(0, 3).Draw(t, "changes before") {
		change(t)
	}
	one := s.watch(w, key)
	defer one.end()
	one.was = written
	if e := one.next(); e.Revision != revision || !bytes.Equal(e.Value, value) {
		s.broken("the first state was %s, the key is %s", showEntry(e, nil), showEntry(backend.Entry{Revision: revision, Value: value}, nil))
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "changes") {
		change(t)
		s.mustSet(s.key(fmt.Sprint("k", i)), 0, nil) // a neighbour, of no concern to the watch
		if rapid.Bool().Draw(t, "look") && !one.isAt(revision) {
			one.comesTo(revision, value)
		}
	}
	write([]byte("final"))
	one.comesTo(revision, value)
}

func watchUnderLoad(s *subject, t *rapid.T) {
	key := s.key("k")
	w, _ := backend.As[backend.Watcher](s.b)
	writes := rapid.IntRange(1, 20).Draw(t, "writes")
	slow := rapid.Bool().Draw(t, "slow readers") // who take nothing until all is written
	var revision uint64
	var watched sync.WaitGroup
	begun, written := make(chan struct{}), make(chan struct{})
	const watches = 3
	watched.Add(watches)
	go func() { watched.Wait(); close(begun) }()
	s.together(watches+2, func(i int) {
		if i > watches { // one comes and goes
			for n := 0; n < 2*writes && !isClosed(written); n++ {
				time.Sleep(50 * time.Microsecond) // others need the processor, of which there may be one
				passing := s.watch(w, key)
				if n%2 == 0 {
					passing.next()
				}
				passing.end()
			}
			return
		}
		if i == 0 {
			for n := range writes {
				if n == writes-1 {
					s.await(begun) // so that each watch has at least the last state to tell of
				}
				revision = s.mustSet(key, revision, fmt.Append(nil, n))
			}
			close(written)
			return
		}
		telling := sync.OnceFunc(watched.Done)
		defer telling() // also if it fails
		one := s.watch(w, key)
		defer one.end()
		telling()
		if slow {
			s.await(written)
		}
		last := fmt.Append(nil, writes-1)
		for !bytes.Equal(one.next().Value, last) {
		}
	})
}

// watchKeys watches one of two keys that differ in little, and changes both.
func watchKeys(s *subject, t *rapid.T) {
	w, _ := backend.As[backend.Watcher](s.b)
	all := s.parentAndChild(t)
	if rapid.Bool().Draw(t, "twins") {
		all = s.awkwardKeys(t)
	}
	watched, other := all[0], all[1]
	if rapid.Bool().Draw(t, "the second") {
		watched, other = other, watched
	}
	theirs := s.mustSet(other, 0, []byte("another's"))
	one := s.watch(w, watched)
	defer one.end()
	var own uint64
	for i, value := range []string{"", "first", "second", "third"} {
		if value != "" {
			theirs = s.mustSet(other, theirs, []byte("another's again"))
			own = s.mustSet(watched, own, []byte(value))
			if i%2 == 0 { // then theirs is the last
				theirs = s.mustSet(other, theirs, []byte("another's again"))
			}
		}
		for {
			e := one.next()
			if e.Revision == own && string(e.Value) == value {
				break
			}
			if strings.HasPrefix(string(e.Value), "another's") || own == 0 || e.Revision == own {
				s.broken("the watch of %s sent %s, which it never was", show(watched), showEntry(e, nil))
			}
		}
	}
}

// unread has watches that nobody reads while their key is written. A reader at the end comes to the
// last state.
func unread(s *subject) {
	const writes = 300
	key := s.key("k")
	w, _ := backend.As[backend.Watcher](s.b)
	var all []*watching
	for range 3 {
		one := s.watch(w, key)
		defer one.cancel()
		all = append(all, one)
	}
	var revision uint64
	for n := range writes {
		revision = s.mustSet(key, revision, fmt.Append(nil, n))
		s.get(key)
	}
	all[0].comesTo(revision, fmt.Append(nil, writes-1))
	s.mustDelete(key, revision)
	all[1].comesTo(0, nil)
	for _, one := range all { // the third without having been read
		one.end()
	}
}

func watchEnds(s *subject) {
	w, _ := backend.As[backend.Watcher](s.b)
	round := func() {
		var all []*watching
		for i := range 10 {
			one := s.watch(w, s.key(fmt.Sprint(i%3)))
			all = append(all, one)
			if i%2 == 0 {
				one.next() // and some end with a state that nobody took
			}
		}
		for i, one := range all {
			if one.cancel(); i%4 != 3 { // some channels are left to themselves
				one.end()
			}
		}
	}
	round() // what the first watch starts for good, a connection say, is not a leak
	before := runtime.NumGoroutine()
	for range 5 {
		round()
	}
	s.leavesNothing(before, 50, "watches that ended")
}
