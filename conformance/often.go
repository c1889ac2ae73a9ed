package conformance

import (
	"bytes"
	"fmt"

	"github.com/ailease/lease/backend"
)

// The properties of many calls and many keys: for faults that are rare, and for what a store does
// well until there is too much of it. Each runs once.

const (
	manyWriters = 16
	manyKeyed   = 1100 // more than a page of a client library holds, or a 16-bit hash tells apart
	manyWrites  = 330  // more than a byte counts, with deletions left out
)

// manyConflicts calls at wrong revisions so often that one that gets through in fifty is met.
func manyConflicts(s *subject) {
	key := s.key("k")
	var old []uint64 // those that the key had
	var now uint64
	for i := range 20 {
		if i%3 == 2 {
			s.mustDelete(key, now)
			now = 0
		}
		if now = s.mustSet(key, now, fmt.Append(nil, i)); i < 19 {
			old = append(old, now)
		}
	}
	s.together(manyWriters/2, func(w int) {
		for i := w; i < 800; i += manyWriters / 2 {
			wrong := old[i%len(old)]
			if i%3 == 0 {
				wrong = now + 1 + uint64(i)
			}
			if _, ok := s.set(key, wrong, []byte("wrong"), 0); ok {
				s.broken("CompareAndSet at revision %d succeeded, the key was at %d", wrong, now)
			}
			if i%4 == 0 {
				s.mustNotDelete(key, wrong, backend.ErrConflict, fmt.Sprintf("at revision %d, where it is at %d,", wrong, now))
			}
		}
	})
	s.holds(key, now, []byte("19"))
}

// manyWritesOfOne writes one key so often that a narrow counter ends, and an answer that is wrong
// now and then is met.
func manyWritesOfOne(s *subject) {
	key := s.key("k")
	var now, newest uint64
	for i := range manyWrites {
		if now != 0 && i%8 == 7 {
			s.mustDelete(key, now)
			s.holds(key, 0, nil)
			now = 0
			continue
		}
		value := fmt.Append(nil, i)
		now = s.mustSet(key, now, value)
		if now <= newest {
			s.broken("revision %d came after %d", now, newest)
		}
		newest = now
		s.holds(key, now, value)
	}
}

// writeMany has several callers write many keys, and returns what they wrote.
func (s *subject) writeMany(valueOf func(i int) []byte) map[string]backend.Entry {
	revisions := make([]uint64, manyKeyed)
	keyOf := func(i int) string { return s.key(fmt.Sprint("many", i)) }
	s.together(manyWriters, func(w int) {
		for i := w; i < manyKeyed; i += manyWriters {
			revisions[i] = s.mustSet(keyOf(i), 0, valueOf(i))
		}
	})
	all := map[string]backend.Entry{}
	for i, revision := range revisions {
		all[keyOf(i)] = backend.Entry{Key: keyOf(i), Value: valueOf(i), Revision: revision}
	}
	return all
}

func numbered(i int) []byte { return fmt.Append(nil, i) }

// manyKeys has all of many keys looked up when the last is written.
func manyKeys(s *subject) {
	s.writeMany(numbered)
	s.together(manyWriters, func(w int) {
		for i := w; i < manyKeyed; i += manyWriters {
			key := s.key(fmt.Sprint("many", i))
			e := s.get(key)
			if !bytes.Equal(e.Value, numbered(i)) {
				s.broken("of %d keys, %s should be %s, but is %s", manyKeyed, show(key), showValue(numbered(i)), showEntry(e, nil))
			}
		}
	})
}

// longList lists more than fits into a page, by number and by bytes.
func longList(s *subject) {
	large := bytes.Repeat([]byte("large"), backend.MaxValueBytes/5)
	written := s.writeMany(func(i int) []byte {
		if i%200 == 150 {
			return large
		}
		return numbered(i)
	})
	for _, prefix := range []string{s.id, ""} {
		found := s.all(prefix, nil)
		for key, want := range written {
			got, ok := found[key]
			switch {
			case !ok:
				s.broken("List %s missed %s, and %d of %d keys altogether", show(prefix), show(key), len(written)-len(found), len(written))
			case got.Revision != want.Revision || !bytes.Equal(got.Value, want.Value):
				s.broken("List %s yielded %s as %s, it is %s", show(prefix), show(key), showEntry(got, nil), showEntry(want, nil))
			}
		}
	}
}

// manyWatches has more watches than a connection of some client library allows.
func manyWatches(s *subject) {
	const watches = 70
	w, _ := backend.As[backend.Watcher](s.b)
	var all []*watching
	for i := range watches {
		one := s.watch(w, s.key(fmt.Sprint("watched", i/2)))
		defer one.cancel()
		one.comesTo(0)
		all = append(all, one)
	}
	for i, one := range all {
		if i%2 == 0 {
			one.revision = s.mustSet(one.key, 0, nil)
		} else {
			one.revision = all[i-1].revision
		}
	}
	for _, one := range all {
		one.comesTo(one.revision)
	}
	for _, one := range all {
		one.end()
	}
}
