package conformance

import (
	"fmt"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of a store that is open twice, and of one that has crashed.

// handles are the case through the first and through the second handle.
func (s *subject) handles() [2]*subject {
	return [2]*subject{s.through(s.b, "first handle"), s.through(s.second, "second handle")}
}

func twoHandles(s *subject, t *rapid.T) {
	handles := s.handles()
	key := s.key("k")
	_, lists := backend.As[backend.Lister](s.b)
	var revision, newest uint64
	var value []byte
	for range rapid.IntRange(2, 8).Draw(t, "calls") {
		i := rapid.IntRange(0, 1).Draw(t, "handle")
		one, other := handles[i], handles[1-i]
		old := revision
		if revision != 0 && rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			one.mustDelete(key, revision)
			revision, value = 0, nil
		} else {
			value = smallValue().Draw(t, "value")
			revision = one.mustKeep(key, revision, value, rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "keep"))
			if revision <= newest {
				s.broken("%s got revision %d through the %s after it had had %d", show(key), revision, one.handle, newest)
			}
			newest = revision
		}
		other.holds(key, revision, value)
		if lists {
			if e := other.all(key, nil)[key]; e.Revision != revision {
				s.broken("List through the second of two handles shows %s, it is at revision %d", showEntry(e, nil), revision)
			}
		}
		if _, ok := other.set(key, old, []byte("late"), 0); ok {
			s.broken("CompareAndSet at revision %d succeeded through one handle after it had been replaced through the other", old)
		}
		one.holds(key, revision, value)
	}
}

func freshReadsElsewhere(s *subject, t *rapid.T) {
	handles := s.handles()
	key := s.key("k")
	writes := rapid.IntRange(2, 8).Draw(t, "writes")
	var acknowledged atomic.Uint64
	acknowledged.Store(handles[0].mustSet(key, 0, nil))
	look := func() {
		before := acknowledged.Load()
		if e := handles[1].get(key); e.Revision < before {
			s.broken("Get through the second handle saw revision %d, but %d was acknowledged before it began", e.Revision, before)
		}
	}
	s.together(3, func(i int) {
		for range writes {
			if i == 0 {
				acknowledged.Store(handles[0].mustSet(key, acknowledged.Load(), nil))
			}
			look() // the writer too: the others may come too early, or too late
		}
	})
}

func raceOfHandles(s *subject, t *rapid.T) {
	handles := s.handles()
	key := s.key("k")
	callers := rapid.IntRange(2, 6).Draw(t, "callers")
	each := rapid.IntRange(1, 3).Draw(t, "increments")
	s.raceToCreateOne(s.key("created"), callers, func(i int) *subject { return handles[i%2] })
	handles[0].mustSet(key, 0, []byte("0"))
	s.together(callers, func(i int) {
		h := handles[i%2]
		for range each {
			h.increment(key, callers*each)
		}
	})
	for _, h := range handles {
		if e, want := h.get(key), fmt.Sprint(callers*each); string(e.Value) != want {
			s.broken("after %s increments the counter is %s", want, showValue(e.Value))
		}
	}
}

func watchElsewhere(s *subject, t *rapid.T) {
	w, ok := backend.As[backend.Watcher](s.second)
	if !ok {
		return
	}
	handles := s.handles()
	key := s.key("k")
	var revision uint64
	var value []byte
	changes := func() {
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			value = smallValue().Draw(t, "value")
			revision = handles[0].mustSet(key, revision, value)
		}
	}
	if rapid.Bool().Draw(t, "changes before") {
		changes()
	}
	one := handles[1].watch(w, key)
	defer one.end()
	if e := one.next(); e.Revision != revision {
		s.broken("the first state that the second handle's watch sent was %s, the key is at revision %d", showEntry(e, nil), revision)
	}
	changes()
	one.comesTo(revision, value)
	if rapid.Bool().Draw(t, "delete") {
		handles[0].mustDelete(key, revision)
		one.comesTo(0, nil)
	}
}

// afterCrash takes a store's time, and so is done a few times only.
func afterCrash(s *subject) {
	type state struct {
		revision uint64
		value    []byte
	}
	states := map[string]state{}
	newest := map[string]uint64{} // of each key, also of those that are deleted
	for round := range 3 {
		for i := range 12 {
			key := s.key(fmt.Sprint(i))
			st := states[key]
			if (i+round)%4 == 3 && st.revision != 0 {
				s.mustDelete(key, st.revision)
				states[key] = state{}
				continue
			}
			value := fmt.Appendf(nil, "%d in round %d", i, round)
			revision, ok := s.set(key, st.revision, value, []time.Duration{0, time.Hour}[i%2])
			if !ok {
				s.broken("CompareAndSet %s at its revision was a conflict", show(key))
			}
			if revision <= newest[key] {
				s.broken("%s got revision %d after %d", show(key), revision, newest[key])
			}
			states[key], newest[key] = state{revision, value}, revision
		}
		s.step("the store crashes, and is opened again")
		done := s.waiting(aReopening, "the store has not been opened again")
		s.b = s.reopen(s.b)
		done()
		for key, st := range states {
			s.holds(key, st.revision, st.value)
			if st.revision == 0 {
				s.mustNotDelete(key, newest[key], backend.ErrNotFound, "which was deleted before the crash,")
			}
		}
	}
}
