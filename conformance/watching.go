package conformance

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
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
	newest uint64 // the greatest revision seen
	gone   bool   // absence was seen after it
}

func (s *subject) watch(w backend.Watcher, key string) *watching {
	ctx, cancel := context.WithCancel(context.Background())
	states, err := w.Watch(ctx, key)
	if err != nil {
		cancel()
		s.broken("Watch %s failed: %v", show(key), err)
	}
	s.step("Watch %s", show(key))
	return &watching{s: s, key: key, states: states, cancel: cancel}
}

// next is the next state.
func (w *watching) next() backend.Entry {
	select {
	case e, ok := <-w.states:
		if !ok {
			w.s.broken("the watch of %s closed its channel", show(w.key))
		}
		w.s.step("the watch of %s sends %s", show(w.key), showEntry(e, nil))
		switch {
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
	case <-time.After(soon):
		w.s.broken("the watch of %s sent nothing for %v", show(w.key), soon)
		return backend.Entry{}
	}
}

// comesTo reads on until the watch has sent the state at the revision, 0 for absence.
func (w *watching) comesTo(revision uint64) {
	for {
		if e := w.next(); e.Revision == revision {
			return
		}
	}
}

// end cancels the watch and waits for its channel to close.
func (w *watching) end() {
	w.cancel()
	w.s.step("the context of the watch ends")
	timeout := time.After(soon)
	for {
		select {
		case _, ok := <-w.states:
			if !ok {
				return
			}
		case <-timeout:
			w.s.broken("the watch of %s did not close its channel within %v of its context's end", show(w.key), soon)
		}
	}
}

func watch(s *subject, t *rapid.T) {
	key := s.key("k")
	w, _ := backend.As[backend.Watcher](s.b)
	var revision uint64
	var value []byte
	change := func(t *rapid.T) {
		if revision != 0 && rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			s.mustDelete(key, revision)
			revision, value = 0, nil
			return
		}
		value = smallValue().Draw(t, "value")
		revision = s.mustSet(key, revision, value)
	}
	for range rapid.IntRange(0, 3).Draw(t, "changes before") {
		change(t)
	}
	one := s.watch(w, key)
	defer one.end()
	if e := one.next(); e.Revision != revision || !bytes.Equal(e.Value, value) {
		s.broken("the first state was %s, the key is %s", showEntry(e, nil), showEntry(backend.Entry{Revision: revision, Value: value}, nil))
	}
	for i := range rapid.IntRange(1, 5).Draw(t, "changes") {
		change(t)
		s.mustSet(s.key(fmt.Sprint("k", i)), 0, nil) // a neighbour, of no concern to the watch
		if rapid.Bool().Draw(t, "look") {
			one.comesTo(revision)
		}
	}
	one.comesTo(s.mustSet(key, revision, []byte("final")))
}

func watchUnderLoad(s *subject, t *rapid.T) {
	key := s.key("k")
	w, _ := backend.As[backend.Watcher](s.b)
	writes := rapid.IntRange(1, 20).Draw(t, "writes")
	slow := rapid.Bool().Draw(t, "slow readers") // who take nothing until all is written
	var revision uint64
	var begun sync.WaitGroup // the watches
	written := make(chan struct{})
	const watches = 3
	begun.Add(watches)
	s.together(watches+1, func(i int) {
		if i == 0 {
			for n := range writes {
				if n == writes-1 {
					begun.Wait() // so that each watch has at least the last state to tell of
				}
				revision = s.mustSet(key, revision, fmt.Append(nil, n))
			}
			close(written)
			return
		}
		telling := sync.OnceFunc(begun.Done)
		defer telling() // also if it fails
		one := s.watch(w, key)
		defer one.end()
		telling()
		if slow {
			<-written
		}
		last := fmt.Append(nil, writes-1)
		for !bytes.Equal(one.next().Value, last) {
		}
	})
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
		for _, one := range all {
			one.end()
		}
	}
	round() // what the first watch starts for good, a connection say, is not a leak
	before := runtime.NumGoroutine()
	for range 5 {
		round()
	}
	var after int
	for end := time.Now().Add(soon); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		// Fifty watches ended. A few goroutines come and go with any store.
		if after = runtime.NumGoroutine(); after <= before+5 {
			return
		}
	}
	s.broken("after 50 watches that ended there are %d goroutines, there were %d", after, before)
}
