package conformance

import (
	"fmt"
	"math"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of one caller at a time.

// smallValue draws a value of a few bytes, sometimes none.
func smallValue() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 0, 8) }

// wrongRevisions are the revisions that a store is most apt to take for the right one: its
// neighbours, those that differ by the width of a counter or in the sign, and the greatest.
func wrongRevisions(right uint64) []uint64 {
	all := []uint64{right + 1, right + 1<<8, right + 1<<16, right + 1<<32, right ^ 1<<63, math.MaxInt64, math.MaxUint64}
	if right > 1 {
		all = append(all, right-1)
	}
	return all
}

// wrongRevision draws a revision that is not right: a near one, one that differs in a single bit,
// as a store with narrower numbers does not notice, the greatest, or any. 0 may be among them.
func wrongRevision(t *rapid.T, right uint64) uint64 {
	bits := rapid.Custom(func(t *rapid.T) uint64 { return right ^ 1<<rapid.IntRange(0, 63).Draw(t, "bit") })
	return rapid.OneOf(
		rapid.Uint64Range(0, right+3),
		bits, bits,
		rapid.SampledFrom(wrongRevisions(right)),
		rapid.Uint64(),
	).Filter(func(r uint64) bool { return r != right }).Draw(t, "wrong revision")
}

func absent(s *subject, t *rapid.T) {
	key := s.key("k")
	s.holds(key, 0, nil)
	expected := wrongRevision(t, 0)
	s.mustNotDelete(key, expected, backend.ErrNotFound, "which is absent,")
	if _, ok := s.set(key, expected, smallValue().Draw(t, "value"), 0); ok {
		s.broken("CompareAndSet of an absent key at revision %d succeeded", expected)
	}
	s.holds(key, 0, nil)
}

func create(s *subject, t *rapid.T) {
	key, first, second := s.key("k"), smallValue().Draw(t, "first"), smallValue().Draw(t, "second")
	revision := s.mustSet(key, 0, first)
	s.holds(key, revision, first)
	if _, ok := s.set(key, 0, second, 0); ok {
		s.broken("CompareAndSet with expected 0 overwrote a key")
	}
	s.holds(key, revision, first)
}

func update(s *subject, t *rapid.T) {
	key := s.key("k")
	var revision uint64
	for i := range rapid.IntRange(1, 4).Draw(t, "writes") {
		value := fmt.Append(nil, i)
		revision = s.mustSet(key, revision, value)
		s.holds(key, revision, value)
	}
	before := s.get(key)
	for _, wrong := range append(wrongRevisions(revision), wrongRevision(t, revision)) {
		if _, ok := s.set(key, wrong, []byte("wrong"), 0); ok {
			s.broken("CompareAndSet at revision %d succeeded, the key was at %d", wrong, revision)
		}
	}
	s.holds(key, revision, before.Value)
}

func conflict(s *subject, t *rapid.T) {
	key := s.key("k")
	revision := uint64(0)
	var value []byte
	for range rapid.IntRange(2, 8).Draw(t, "calls") {
		v := smallValue().Draw(t, "value")
		expected := revision
		if rapid.Bool().Draw(t, "wrong") {
			expected = wrongRevision(t, revision)
		}
		next, ok := s.set(key, expected, v, 0)
		if ok {
			revision, value = next, v
			if _, again := s.set(key, expected, v, 0); again {
				s.broken("the same CompareAndSet succeeded twice, at the one revision %d", expected)
			}
		}
		s.holds(key, revision, value)
	}
}

func deletion(s *subject, t *rapid.T) {
	key, value := s.key("k"), smallValue().Draw(t, "value")
	revision := s.mustSet(key, 0, value)
	if wrong := max(1, wrongRevision(t, revision)); wrong != revision {
		s.mustNotDelete(key, wrong, backend.ErrConflict, fmt.Sprintf("at revision %d, where it is at %d,", wrong, revision))
		s.holds(key, revision, value)
	}
	s.mustDelete(key, revision)
	s.holds(key, 0, nil)
	s.mustNotDelete(key, revision, backend.ErrNotFound, "a second time")
	if _, ok := s.set(key, revision, value, 0); ok {
		s.broken("CompareAndSet of a deleted key at its old revision succeeded")
	}
	again := s.mustSet(key, 0, []byte("again"))
	s.holds(key, again, []byte("again"))
}

func revisions(s *subject, t *rapid.T) {
	key := s.key("k")
	var newest, current uint64
	for i := range rapid.IntRange(2, 8).Draw(t, "writes") {
		if current != 0 && rapid.Bool().Draw(t, "delete") {
			s.mustDelete(key, current)
			current = 0
			if rapid.Bool().Draw(t, "write another key") {
				s.mustSet(s.key(fmt.Sprint("other", i)), 0, nil)
			}
		}
		current = s.mustSet(key, current, nil)
		if current <= newest {
			s.broken("revision %d came after %d", current, newest)
		}
		newest = current
	}
}
