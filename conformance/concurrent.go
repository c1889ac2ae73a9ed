package conformance

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of several callers at once.

func raceToCreate(s *subject, t *rapid.T) {
	n := rapid.IntRange(2, 8).Draw(t, "callers")
	s.raceToCreateOne(s.key("k"), n, func(int) *subject { return s })
}

// raceToCreateOne has n callers create key at once, each through a handle of its own.
func (s *subject) raceToCreateOne(key string, n int, handle func(i int) *subject) {
	revisions := make([]uint64, n)
	s.together(n, func(i int) {
		revisions[i], _ = handle(i).set(key, 0, fmt.Append(nil, i), 0)
	})
	winner := -1
	for i, r := range revisions {
		switch {
		case r == 0:
		case winner >= 0:
			s.broken("callers %d and %d both created the key", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		s.broken("none of %d callers created the key", n)
	}
	s.holds(key, revisions[winner], fmt.Append(nil, winner))
}

func lostUpdate(s *subject, t *rapid.T) {
	key := s.key("k")
	callers := rapid.IntRange(2, 6).Draw(t, "callers")
	each := rapid.IntRange(1, 4).Draw(t, "increments")
	s.mustSet(key, 0, []byte("0"))
	s.together(callers, func(int) {
		for range each {
			s.increment(key, callers*each)
		}
	})
	if e, want := s.get(key), fmt.Sprint(callers*each); string(e.Value) != want {
		s.broken("after %s increments the counter is %s", want, showValue(e.Value))
	}
}

// increment adds 1 to the number under key. At most others of all callers do the same. A caller
// loses only to another that wins, and so not more often than that.
func (s *subject) increment(key string, others int) {
	for range others + 1 {
		e := s.get(key)
		n, err := strconv.Atoi(string(e.Value))
		if err != nil {
			s.broken("the counter is %s", showValue(e.Value))
		}
		if _, ok := s.set(key, e.Revision, fmt.Append(nil, n+1), 0); ok {
			return
		}
	}
	s.broken("CompareAndSet %s was a conflict %d times, but only %d others can have come before", show(key), others+1, others)
}

func freshReads(s *subject, t *rapid.T) {
	key := s.key("k")
	writes := rapid.IntRange(2, 8).Draw(t, "writes")
	readers := rapid.IntRange(1, 4).Draw(t, "readers")
	var acknowledged atomic.Uint64
	acknowledged.Store(s.mustSet(key, 0, nil))
	look := func() {
		before := acknowledged.Load()
		if e := s.get(key); e.Revision < before {
			s.broken("Get saw revision %d, but %d was acknowledged before it began", e.Revision, before)
		}
	}
	s.together(readers+1, func(i int) {
		for range writes {
			if i == 0 {
				acknowledged.Store(s.mustSet(key, acknowledged.Load(), nil))
			}
			look() // the writer too: the others may come too early, or too late
		}
	})
}

// raceToDelete has callers delete and write a key at one revision.
func raceToDelete(s *subject) {
	const callers, rounds = 6, 40
	key := s.key("k")
	for n := range rounds {
		revision := s.mustSet(key, s.get(key).Revision, fmt.Append(nil, n))
		writes := func(i int) bool { return i%2 == 0 && n%2 == 0 } // in odd rounds all delete
		var won [callers]bool
		var next [callers]uint64
		s.together(callers, func(i int) {
			if writes(i) {
				next[i], won[i] = s.set(key, revision, fmt.Append(nil, n, " by ", i), 0)
				return
			}
			err := s.tryDelete(s.ctx, key, revision)
			switch {
			case err == nil:
				won[i] = true
			case !errors.Is(err, backend.ErrConflict) && !errors.Is(err, backend.ErrNotFound):
				s.broken("CompareAndDelete %s failed: %v", show(key), err)
			}
		})
		winner := -1
		for i, ok := range won {
			switch {
			case !ok:
			case winner >= 0:
				s.broken("callers %d and %d both wrote or deleted the key at revision %d", winner, i, revision)
			default:
				winner = i
			}
		}
		switch {
		case winner < 0:
			s.broken("of %d callers at the key's revision %d none succeeded", callers, revision)
		case writes(winner):
			s.holds(key, next[winner], fmt.Append(nil, n, " by ", winner))
		default:
			s.holds(key, 0, nil)
		}
	}
}

// strangers has several callers, each with a key of its own, call at once whatever there is.
func strangers(s *subject) {
	const callers, rounds = 12, 25
	_, lists := backend.As[backend.Lister](s.b)
	s.together(callers, func(i int) {
		key := s.key(fmt.Sprint("of caller ", i, " alone"))
		var newest uint64
		for n := range rounds {
			value := fmt.Appendf(nil, "%d by %d", n, i)
			s.holds(key, 0, nil)
			first := s.mustSet(key, 0, value)
			s.holds(key, first, value)
			second := s.mustSet(key, first, append(value, '+'))
			if s.holds(key, second, append(value, '+')); first <= newest {
				s.broken("%s got revision %d after %d", show(key), first, newest)
			}
			newest = second
			if lists && n%5 == 0 {
				if e := s.all(key, nil)[key]; e.Revision != second {
					s.broken("List %s yielded %s, it is at revision %d", show(key), showEntry(e, nil), second)
				}
			}
			s.mustDelete(key, second)
		}
	})
}

// sightings are what one reader of a key has seen.
type sightings struct {
	entries []backend.Entry
	changes int       // between them
	until   time.Time // after which it need not see any more
}

func (r *sightings) see(e backend.Entry) {
	if n := len(r.entries); n > 0 && r.entries[n-1].Revision != e.Revision {
		r.changes++
	}
	r.entries = append(r.entries, e)
}

// enough tells whether the reader has looked often enough while others wrote.
func (r *sightings) enough() bool {
	const reads, changes = 60, 15
	return len(r.entries) >= reads && r.changes >= changes || time.Now().After(r.until)
}

// whole checks that no read mixes two states, while one writes and others read in every way. Every
// value is written once.
func whole(s *subject) {
	key := s.key("k")
	revision := s.mustSet(key, 0, []byte("0"))
	written := map[uint64]string{revision: "0"}
	var seen [3]sightings
	var reading sync.WaitGroup
	reading.Add(len(seen))
	over := make(chan struct{}) // closed when enough was read
	go func() { reading.Wait(); close(over) }()
	_, lists := backend.As[backend.Lister](s.b)
	w, watches := backend.As[backend.Watcher](s.b)
	s.together(len(seen)+1, func(i int) {
		begun := time.Now()
		if i == len(seen) {
			for n := 1; !isClosed(over); n++ {
				if time.Since(begun) > 200*time.Millisecond {
					time.Sleep(10 * time.Millisecond) // for stores whose reads give way to writes
				}
				value := fmt.Append(nil, n)
				revision = s.mustSet(key, revision, value)
				written[revision] = string(value)
			}
			return
		}
		defer reading.Done()
		r := &seen[i]
		r.until = begun.Add(500 * time.Millisecond)
		switch {
		case i == 0:
			for !r.enough() {
				r.see(s.get(key))
			}
		case i == 1 && lists:
			for !r.enough() {
				for _, e := range s.all(key, nil) {
					r.see(e)
				}
			}
		case i == 2 && watches:
			one := s.watch(w, key)
			defer one.cancel()
			late := time.After(time.Until(r.until)) // how many states it sends is its own affair
			for !r.enough() {
				select {
				case e, ok := <-one.states:
					if !ok {
						s.broken("the watch of %s closed its channel", show(key))
					}
					r.see(e)
				case <-late:
				}
			}
		}
	})
	for i, how := range []string{"Get", "List", "Watch"} {
		for _, e := range seen[i].entries {
			if want, ok := written[e.Revision]; !ok || want != string(e.Value) {
				s.broken("%s showed %s, but what was written at that revision is %q", how, showEntry(e, nil), want)
			}
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
