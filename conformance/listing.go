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
	l, _ := backend.As[backend.Lister](s.b)
	found := map[string]backend.Entry{}
	for e, err := range l.List(context.Background(), prefix) {
		if err != nil {
			s.broken("List %s failed: %v", show(prefix), err)
		}
		s.step("List %s yields %s: %s", show(prefix), show(e.Key), showEntry(e, nil))
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
	}
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
		// The one who lists updates a key that stays, makes one that comes, and deletes what it
		// made before.
		key := s.key(fmt.Sprintf("stays%02d", (touched+i)%n))
		s.mustSet(key, s.get(key).Revision, []byte("touched"))
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

func listCutShort(s *subject, t *rapid.T) {
	n := rapid.IntRange(1, 10).Draw(t, "keys")
	for i := range n {
		s.mustSet(s.key(fmt.Sprint(i)), 0, nil)
	}
	most := rapid.IntRange(1, n).Draw(t, "most")
	l, _ := backend.As[backend.Lister](s.b)
	s.within("List that its caller breaks off", func() {
		seen := 0
		for range l.List(context.Background(), s.id) {
			if seen++; seen == most {
				break
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cancel()
	s.within("List with an ended context", func() {
		var last error
		for _, err := range l.List(ctx, s.id) {
			last = err
		}
		s.step("List with an ended context -> %v", last)
		if !errors.Is(last, context.Canceled) {
			s.broken("List with an ended context ended with %v", last)
		}
	})
}
