package conformance

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/ailease/lease/backend"
)

// What the properties of backend.PrefixWatcher are made of.

// prefixWatching is one watch of a prefix, and what was seen of it.
type prefixWatching struct {
	s      *subject
	prefix string
	states <-chan backend.Entry
	cancel context.CancelFunc
	stood  map[string]uint64 // the revisions at the time of the call, as far as the property knows them
	last   map[string]backend.Entry
	newest map[string]uint64 // the greatest revision seen of each key
	was    *valuesOf         // nil: the property does not know them
	same   int               // times that a state was sent again
}

// valuesOf are what keys have had, by revision.
type valuesOf map[string]map[uint64][]byte

func (v valuesOf) add(key string, revision uint64, value []byte) {
	if v[key] == nil {
		v[key] = map[uint64][]byte{}
	}
	v[key][revision] = bytes.Clone(value)
}

func (s *subject) tryWatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	w, _ := backend.As[backend.PrefixWatcher](s.b)
	done := s.waiting(aCall, "WatchPrefix %s has not returned", show(prefix))
	states, err := w.WatchPrefix(ctx, prefix)
	done()
	if err != nil {
		s.step("WatchPrefix %s -> %v", show(prefix), err)
		return nil, err
	}
	s.step("WatchPrefix %s", show(prefix))
	return states, nil
}

func (s *subject) watchPrefix(prefix string) *prefixWatching {
	ctx, cancel := context.WithCancel(s.ctx)
	states, err := s.tryWatchPrefix(ctx, prefix)
	if err != nil {
		cancel()
		s.broken("WatchPrefix %s failed: %v", show(prefix), err)
	}
	return &prefixWatching{
		s: s, prefix: prefix, states: states, cancel: cancel,
		last: map[string]backend.Entry{}, newest: map[string]uint64{},
	}
}

// next is the next state; ok is false if the channel is closed.
func (w *prefixWatching) next() (e backend.Entry, ok bool) {
	done := w.s.waiting(aState, "the watch of prefix %s has sent nothing", show(w.prefix))
	e, ok = <-w.states
	done()
	if !ok {
		w.s.step("the watch of prefix %s closes its channel", show(w.prefix))
		return e, false
	}
	what := fmt.Sprintf("the watch of prefix %s sent %s of %s", show(w.prefix), showEntry(e, nil), show(e.Key))
	before, seen := w.last[e.Key]
	if w.same++; !seen || before.Revision != e.Revision {
		w.same = 0
	}
	if w.same < 10 {
		w.s.step("%s", what)
	}
	switch {
	case !strings.HasPrefix(e.Key, w.prefix) || e.Key == "":
		w.s.broken("%s, which does not begin with it", what)
	case w.same > mostRepeats:
		w.s.broken("%s %d times, and nothing later", what, w.same)
	case e.Revision == 0:
	case e.Revision <= w.stood[e.Key]:
		w.s.broken("%s, which is no later state: it was at revision %d before the call", what, w.stood[e.Key])
	case e.Revision < w.newest[e.Key]:
		w.s.broken("%s after revision %d", what, w.newest[e.Key])
	case seen && before.Revision == 0 && e.Revision == w.newest[e.Key]:
		w.s.broken("%s, which it had sent as deleted", what)
	}
	if w.was != nil && e.Revision != 0 {
		if value, was := (*w.was)[e.Key][e.Revision]; !was || !bytes.Equal(value, e.Value) {
			w.s.broken("%s, which it never was", what)
		}
	}
	w.last[e.Key] = e
	w.newest[e.Key] = max(w.newest[e.Key], e.Revision)
	return e, true
}

// comesTo reads on until the newest state of key that was sent is the one at the revision, 0 for
// absence.
func (w *prefixWatching) comesTo(key string, revision uint64) {
	for {
		if e, ok := w.last[key]; ok && e.Revision == revision {
			return
		}
		if _, ok := w.next(); !ok {
			w.s.broken("the watch of prefix %s closed its channel before it had sent %s at revision %d", show(w.prefix), show(key), revision)
		}
	}
}

// comesToAll is comesTo for each key.
func (w *prefixWatching) comesToAll(revisions map[string]uint64) {
	for key, revision := range revisions {
		w.comesTo(key, revision)
	}
}

// end cancels the watch and waits for its channel to close.
func (w *prefixWatching) end() {
	w.cancel()
	w.s.step("the context of the watch of prefix %s ends", show(w.prefix))
	w.drain("its context's end")
}

// drain waits for the channel to close after what has happened, and returns how many states came.
func (w *prefixWatching) drain(after string) (states int) {
	done := w.s.waiting(anEnd, "the watch of prefix %s has not closed its channel after %s", show(w.prefix), after)
	for range w.states {
		states++
	}
	done()
	return states
}
