package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of backend.Lister.

// all lists what begins with prefix; a key that comes twice fails the case.
func (s *subject) all(prefix string, during func(n int)) map[string]backend.Entry {
	found := map[string]backend.Entry{}
	s.entries(s.ctx, prefix, func(e backend.Entry, err error) bool {
		if err != nil {
			s.broken("List %s failed: %v", show(prefix), err)
		}
		switch _, twice := found[e.Key]; {
		case twice:
			s.broken("List %s yielded %s twice", show(prefix), show(e.Key))
		case !strings.HasPrefix(e.Key, prefix):
			s.broken("List %s yielded %s", show(prefix), show(e.Key))
		case e.Revision == 0:
			s.broken("List %s yielded %s with revision 0", show(prefix), show(e.Key))
		}
		found[e.Key] = e
		if during != nil {
			during(len(found))
		}
		return true
	})
	return found
}

func list(s *subject, t *rapid.T) {
	tails := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 4).Draw(t, "pieces"), "")
	}), 1, 8, rapid.ID[string]).Draw(t, "tails")
	live := map[string]backend.Entry{}
	for i, tail := range tails {
		key, value := s.key(tail), fmt.Append(nil, i)
		revision := s.mustSet(key, 0, value)
		switch rapid.SampledFrom([]string{"keep", "keep", "update", "delete", "delete and create"}).Draw(t, "then") {
		case "update":
			value = append(value, '+')
			revision = s.mustSet(key, revision, value)
		case "delete":
			s.mustDelete(key, revision)
			continue
		case "delete and create":
			s.mustDelete(key, revision)
			revision = s.mustSet(key, 0, value)
		}
		live[key] = backend.Entry{Key: key, Value: value, Revision: revision}
	}
	prefix := s.key(rapid.SampledFrom(append(pieces, tails...)).Draw(t, "prefix"))
	if rapid.Bool().Draw(t, "all") {
		prefix = s.id
	}
	found := s.all(prefix, nil)
	for key, want := range live {
		got, ok := found[key]
		switch {
		case !strings.HasPrefix(key, prefix):
		case !ok:
			s.broken("List %s missed %s", show(prefix), show(key))
		case got.Revision != want.Revision || !bytes.Equal(got.Value, want.Value):
			s.broken("List %s yielded %s as %s, it is %s", show(prefix), show(key), showEntry(got, nil), showEntry(want, nil))
		}
		delete(found, key)
	}
	for key := range found {
		s.broken("List %s yielded %s, which is deleted", show(prefix), show(key))
	}
	late := prefix + "late"
	revision := s.mustSet(late, s.get(late).Revision, []byte("late"))
	if e := s.all(prefix, nil)[late]; e.Revision != revision {
		s.broken("List %s shows %s as %s, it has just been written", show(prefix), show(late), showEntry(e, nil))
	}
}

func listWhileWriting(s *subject, t *rapid.T) {
	n := rapid.IntRange(2, 30).Draw(t, "keys")
	stay := map[string]bool{}
	for i := range n {
		key := s.key(fmt.Sprintf("stays%02d", i))
		s.mustSet(key, 0, nil)
		stay[key] = true
	}
	touched := rapid.IntRange(0, n-1).Draw(t, "touched")
	found := s.all(s.id, func(i int) {
		// The caller updates a key that stays, makes one that comes, deletes one that it made
		// before, lists and watches.
		key := s.key(fmt.Sprintf("stays%02d", (touched+i)%n))
		s.mustSet(key, s.get(key).Revision, []byte("touched"))
		if i == 1 && s.all(key, nil)[key].Revision == 0 {
			s.broken("List in the loop of another List missed %s", show(key))
		}
		if w, ok := backend.As[backend.Watcher](s.b); ok && i == 1 {
			one := s.watch(w, key)
			one.next()
			one.end()
		}
		if i < 5 {
			s.mustSet(s.key(fmt.Sprintf("comes%02d", i)), 0, nil)
		}
		if e := s.get(s.key(fmt.Sprintf("comes%02d", i-2))); e.Revision != 0 {
			s.mustDelete(e.Key, e.Revision)
		}
	})
	for key := range stay {
		if _, ok := found[key]; !ok {
			s.broken("List missed %s, which was there all the while", show(key))
		}
	}
}

// listsUntilError lists to the end, and returns the error that ended it. during is called with each
// entry; nil: nobody is interested.
func (s *subject) listsUntilError(ctx context.Context, prefix string, during func(n int)) (last error) {
	n := 0
	s.entries(ctx, prefix, func(e backend.Entry, err error) bool {
		switch {
		case last != nil:
			s.broken("List %s went on after the error %v", show(prefix), last)
		case err != nil && (e.Key != "" || e.Value != nil || e.Revision != 0):
			s.broken("List %s yielded, together with the error %v, the entry %s: %s", show(prefix), err, show(e.Key), showEntry(e, nil))
		}
		if last = err; err == nil {
			if n++; during != nil {
				during(n)
			}
		}
		return true
	})
	s.step("List %s, of %d entries, ended with %v", show(prefix), n, last)
	return last
}

func listCutShort(s *subject, t *rapid.T) {
	n := rapid.IntRange(1, 10).Draw(t, "keys")
	for i := range n {
		s.mustSet(s.key(fmt.Sprint(i)), 0, nil)
	}
	most := rapid.IntRange(1, n).Draw(t, "most")
	how := rapid.SampledFrom([]string{"breaks List off", "breaks List off by a panic", "calls List, and takes no step"}).Draw(t, "how")
	s.breakOff(how, most)
	// Whatever the listing held, it has let go of.
	key := s.key("0")
	s.mustSet(key, s.get(key).Revision, []byte("after"))

	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	yielded := 0
	err := s.listsUntilError(ctx, s.id, func(int) {
		if yielded++; yielded == most {
			s.step("the context of List ends")
			cancel()
		}
	})
	switch {
	case err == nil && yielded < n:
		s.broken("List yielded %d entries of %d when its context ended, and ended without an error", yielded, n)
	case err != nil && !errors.Is(err, context.Canceled):
		s.broken("List ended with %v when its context did", err)
	}
	s.says("List", s.listsUntilError(ctx, s.id, nil), context.Canceled)
}

// breakOff lists until the caller has seen so many entries.
func (s *subject) breakOff(how string, entries int) {
	l, _ := backend.As[backend.Lister](s.b)
	if strings.HasPrefix(how, "calls") {
		l.List(s.ctx, s.id)
		s.step("the caller %s", how)
		return
	}
	type panicked struct{}
	defer func() {
		if v := recover(); v != nil && v != (panicked{}) {
			panic(v)
		}
	}()
	seen := 0
	s.entries(s.ctx, s.id, func(backend.Entry, error) bool {
		if seen++; seen < entries {
			return true
		}
		s.step("the caller %s after %d entries", how, entries)
		if strings.HasSuffix(how, "panic") {
			panic(panicked{})
		}
		return false
	})
}
