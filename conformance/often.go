package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/ailease/lease/backend"
)

// The properties of many calls and many keys: for faults that are rare, and for what a store does
// well until there is too much of it. Each runs once.

const (
	manyCallers = 8
	manyWriters = 64
	manyKeyed   = 1100 // more than a page of a client library holds, or a 16-bit hash tells apart
	manyWrites  = 330  // more than a byte counts, with deletions left out
)

// manyConflicts calls at wrong revisions, of each kind so often that one that gets through in
// fifty is met. The key is there at first, and then it is not.
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
	kinds := []func(i int) uint64{
		func(i int) uint64 { return old[i%len(old)] },
		func(i int) uint64 { return now ^ 1<<(i%64) },
		func(i int) uint64 { return now + 1 + uint64(i) },
		func(int) uint64 { return 0 },
	}
	const each = 600
	s.together(manyCallers, func(c int) {
		for i := c; i < each; i += manyCallers {
			for _, wrongly := range kinds {
				wrong := wrongly(i)
				if _, ok := s.set(key, wrong, []byte("wrong"), 0); ok {
					s.broken("CompareAndSet at revision %d succeeded, the key was at %d", wrong, now)
				}
			}
			wrong := max(1, kinds[i%3](i))
			s.mustNotDelete(key, wrong, backend.ErrConflict, fmt.Sprintf("at revision %d, where it is at %d,", wrong, now))
		}
	})
	s.holds(key, now, []byte("19"))
	s.mustDelete(key, now)
	old = append(old, now)
	s.together(manyCallers, func(c int) {
		for i := c; i < each; i += manyCallers {
			wrong := max(1, kinds[i%3](i))
			if _, ok := s.set(key, wrong, []byte("wrong"), 0); ok {
				s.broken("CompareAndSet at revision %d succeeded, the key was absent", wrong)
			}
			s.mustNotDelete(key, wrong, backend.ErrNotFound, fmt.Sprintf("at revision %d, where it is absent,", wrong))
		}
	})
	s.holds(key, 0, nil)
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

// writeMany has many callers write many keys, some of them with the largest values. It returns the
// keys in their order, and what was written.
func (s *subject) writeMany() (keys []string, all map[string]backend.Entry) {
	large := bytes.Repeat([]byte("large"), backend.MaxValueBytes/5)
	all = map[string]backend.Entry{}
	written := make([]backend.Entry, manyKeyed)
	s.together(manyWriters, func(w int) {
		for i := w; i < manyKeyed; i += manyWriters {
			e := backend.Entry{Key: s.key(fmt.Sprintf("many%04d", i)), Value: fmt.Append(nil, i)}
			if i%200 == 150 {
				e.Value = large
			}
			e.Revision = s.mustSet(e.Key, 0, e.Value)
			written[i] = e
		}
	})
	for _, e := range written {
		keys = append(keys, e.Key)
		all[e.Key] = e
	}
	return keys, all
}

// manyKeys has all of many keys looked up when the last is written, and made anew when the last is
// deleted.
func manyKeys(s *subject) {
	keys, written := s.writeMany()
	each := func(f func(key string, e backend.Entry)) {
		s.together(manyWriters, func(w int) {
			for i := w; i < manyKeyed; i += manyWriters {
				f(keys[i], written[keys[i]])
			}
		})
	}
	each(func(key string, want backend.Entry) {
		if e := s.get(key); e.Revision != want.Revision || !bytes.Equal(e.Value, want.Value) {
			s.broken("of %d keys, %s should be %s, but is %s", manyKeyed, show(key), showEntry(want, nil), showEntry(e, nil))
		}
	})
	each(func(key string, e backend.Entry) { s.mustDelete(key, e.Revision) })
	each(func(key string, e backend.Entry) {
		if revision := s.mustSet(key, 0, nil); revision <= e.Revision {
			s.broken("%s got revision %d after %d, with which it was deleted, and %d other keys", show(key), revision, e.Revision, manyKeyed-1)
		}
	})
}

// longList lists more than fits into a page, by number and by bytes.
func longList(s *subject) {
	keys, written := s.writeMany()
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
			delete(found, key)
		}
		for key := range found {
			s.broken("List %s yielded %s, which nobody wrote", show(prefix), show(key))
		}
	}
	for i := 150; i < manyKeyed; i += 200 { // they have been listed, and are large
		s.mustDelete(keys[i], written[keys[i]].Revision)
		delete(written, keys[i])
	}
	s.longListWhile("a key is written", written, func(n int) { s.mustSet(s.key(fmt.Sprint("come", n)), 0, nil) })
	gone := slices.Collect(maps.Keys(written))
	slices.Sort(gone) // the first of them are those that most stores list first
	s.longListWhile("a key is deleted", written, func(n int) {
		key := gone[n/changesApart]
		s.mustDelete(key, written[key].Revision)
		delete(written, key)
	})
}

const changesApart = 40 // in a listing, from one change to the next

// longListWhile lists while other keys than those that stay change now and then.
func (s *subject) longListWhile(what string, stay map[string]backend.Entry, change func(n int)) {
	found := s.all(s.id, func(n int) {
		if n%changesApart == 0 {
			change(n)
		}
	})
	for key := range stay {
		if _, ok := found[key]; !ok {
			s.broken("List %s, while %s now and then, missed %s, which was there all the while", show(s.id), what, show(key))
		}
	}
}

// manyLists lists so often that a listing that is wrong now and then is met, and so is what a
// listing leaves behind that was broken off.
func manyLists(s *subject) {
	const keys, lists = 4, 640
	for i := range keys {
		s.mustSet(s.key(fmt.Sprint(i)), 0, nil)
	}
	s.all(s.id, nil) // what the first one starts for good is not left behind
	before := runtime.NumGoroutine()
	s.together(manyCallers, func(c int) {
		for i := c; i < lists; i += manyCallers {
			s.entries(s.ctx, s.id, func(_ backend.Entry, err error) bool {
				if err != nil {
					s.broken("List %s failed: %v", show(s.id), err)
				}
				return false
			})
			if found := s.all(s.id, nil); len(found) != keys {
				s.broken("List %s yielded %d keys of %d", show(s.id), len(found), keys)
			}
		}
	})
	s.leavesNothing(before, lists, "listings that were broken off")
}

// leavesNothing waits until n of what has ended has left no goroutines, of which there were so many
// before. With any store, and beside other tests, some come and go.
func (s *subject) leavesNothing(before, n int, ended string) {
	var now int
	for end := time.Now().Add(s.pace.patience(anEnd)); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now = runtime.NumGoroutine(); now <= before+n/10 {
			return
		}
	}
	s.broken("after %d %s there are %d goroutines, there were %d", n, ended, now, before)
}

// manyWatches has more watches than a connection of some client library allows, half of them of one
// key.
func manyWatches(s *subject) {
	const watches = 70
	w, _ := backend.As[backend.Watcher](s.b)
	var all []*watching
	for i := range watches {
		one := s.watch(w, s.key(fmt.Sprint("watched", max(0, i-watches/2))))
		defer one.cancel()
		one.comesTo(0, nil)
		all = append(all, one)
	}
	revisions := map[string]uint64{}
	for _, one := range all {
		if revisions[one.key] == 0 {
			revisions[one.key] = s.mustSet(one.key, 0, []byte(one.key))
		}
	}
	for _, one := range all {
		one.comesTo(revisions[one.key], []byte(one.key))
	}
	for _, one := range all {
		one.end()
	}
}
