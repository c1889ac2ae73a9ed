package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of one caller at a time.

// smallValue draws a value of a few bytes, sometimes none.
func smallValue() *rapid.Generator[[]byte] { return rapid.SliceOfN(rapid.Byte(), 0, 8) }

// wrongRevision draws a revision that is not right, among them near ones, and 0 where that is
// wrong.
func wrongRevision(t *rapid.T, right uint64) uint64 {
	return rapid.OneOf(
		rapid.Uint64Range(0, right+3),
		rapid.Uint64(),
	).Filter(func(r uint64) bool { return r != right }).Draw(t, "wrong revision")
}

func absent(s *subject, t *rapid.T) {
	key := s.key("k")
	s.holds(key, 0, nil)
	expected := max(1, rapid.Uint64().Draw(t, "expected"))
	if err := s.tryDelete(key, expected); !errors.Is(err, backend.ErrNotFound) {
		s.broken("CompareAndDelete of an absent key returned %v", err)
	}
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
	wrong := wrongRevision(t, revision)
	if _, ok := s.set(key, wrong, []byte("wrong"), 0); ok {
		s.broken("CompareAndSet at revision %d succeeded, the key was at %d", wrong, revision)
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
		}
		s.holds(key, revision, value)
	}
}

func deletion(s *subject, t *rapid.T) {
	key, value := s.key("k"), smallValue().Draw(t, "value")
	revision := s.mustSet(key, 0, value)
	if wrong := max(1, wrongRevision(t, revision)); wrong != revision {
		if err := s.tryDelete(key, wrong); !errors.Is(err, backend.ErrConflict) {
			s.broken("CompareAndDelete at revision %d returned %v, the key was at %d", wrong, err, revision)
		}
		s.holds(key, revision, value)
	}
	s.mustDelete(key, revision)
	s.holds(key, 0, nil)
	if err := s.tryDelete(key, revision); !errors.Is(err, backend.ErrNotFound) {
		s.broken("CompareAndDelete of a deleted key returned %v", err)
	}
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

// pieces are what is apt to be confused, folded, trimmed, escaped twice or given a meaning.
var pieces = []string{
	"a", "A", "b", "ß", "SS", "é", "e\u0301", "ﬁ", "fi", "İ", "i", "K", "\u212a", "💡", "\u200d", "\ufeff", "\u00a0",
	" ", ".", "..", "/", "//", "\\", ":", "*", ">", "$", "%", "_", "?", "#", "=", "=2E", "=2e", "%2E", "'", `"`, "-", "+", "~",
	"\x00", "\n", "\t", "\x7f", "null", "0",
}

// twins are pairs that a store may take for the same: by case, normalisation, width, trimming,
// escaping, patterns, or an end that it sees too early.
var twins = [][2]string{
	{"a", "A"}, {"é", "É"}, {"é", "e\u0301"}, {"K", "\u212a"}, {"ﬁ", "fi"}, {"ß", "ss"}, {"İ", "i"}, {"", " "}, {"", "."}, {"", "/"}, {"/", "//"},
	{"", "*"}, {"a", "?"}, {"a", "_"}, {"", "%"}, {"", ">"}, {"", "\x00"}, {"\x00", "\x00a"}, {"", "\n"}, {"\n", "\t"}, {"", "\u200d"}, {"", "\ufeff"}, {" ", "\u00a0"},
	{".", "=2E"}, {"=2E", "=2e"}, {" ", "%20"}, {" ", "+"}, {"'", "''"}, {"\\", "\\\\"}, {"0", "00"}, {"1", "1.0"}, {"", "b"}, {"a", "ab"},
}

// awkwardKeys draws keys of the case that differ in little: pairs with one piece exchanged for its
// twin, at either end or next to it.
func (s *subject) awkwardKeys(t *rapid.T) []string {
	side := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 3).Draw(t, "pieces"), "")
	})
	var all []string
	for range rapid.IntRange(1, 3).Draw(t, "pairs") {
		pair := rapid.SampledFrom(twins).Draw(t, "twins")
		head, tail, place := side.Draw(t, "head"), side.Draw(t, "tail"), rapid.IntRange(0, 3).Draw(t, "place")
		longest := rapid.IntRange(0, 9).Draw(t, "longest") == 0
		for _, piece := range pair {
			k := [...]string{
				piece + head + s.id + tail,
				head + piece + s.id + tail,
				head + s.id + piece + tail,
				head + s.id + tail + piece,
			}[place]
			if longest {
				room := backend.MaxKeyBytes - len(k)
				k = strings.Repeat("x", room%2) + strings.Repeat("é", room/2) + k // the difference is in the last bytes
			}
			if !slices.Contains(all, k) {
				all = append(all, k)
			}
		}
	}
	return all
}

func keys(s *subject, t *rapid.T) {
	held := map[string]uint64{}
	all := s.awkwardKeys(t)
	for _, k := range all {
		s.holds(k, 0, nil)
		held[k] = s.mustSet(k, 0, []byte(k))
	}
	for _, k := range all {
		s.holds(k, held[k], []byte(k))
	}
	s.mustDelete(all[0], held[all[0]])
	s.holds(all[0], 0, nil)
	for _, k := range all[1:] {
		s.holds(k, held[k], []byte(k))
	}
}

func values(s *subject, t *rapid.T) {
	value := rapid.OneOf(
		rapid.SampledFrom([][]byte{{}, {0}, []byte("null"), []byte("{}"), {0xff, 0xfe}, []byte("\x00a\x00"), []byte("é"), []byte("e\u0301")}),
		rapid.SliceOfN(rapid.Byte(), 0, 300),
	).Draw(t, "value")
	// A large value is a small one many times over: rapid has no need to draw a megabyte.
	if times := rapid.SampledFrom([]int{1, 1, 1, 1, 100, backend.MaxValueBytes}).Draw(t, "times"); len(value) > 0 {
		value = bytes.Repeat(value, max(1, min(times, backend.MaxValueBytes/len(value))))
	}
	key := s.key("k")
	first := s.mustSet(key, 0, value)
	s.holds(key, first, value)
	second := s.mustSet(key, first, []byte("short"))
	s.holds(key, second, []byte("short"))
	third := s.mustSet(key, second, value)
	s.holds(key, third, value)
}

func aliasing(s *subject, t *rapid.T) {
	key := s.key("k")
	original := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "value")
	given := bytes.Clone(original)
	revision := s.mustSet(key, 0, given)
	scramble := func(what string, b []byte) {
		for i := range b {
			b[i] ^= 0xff
		}
		s.step("the caller changes %s", what)
	}
	scramble("the value it gave", given)
	s.holds(key, revision, original)
	scramble("the value it got", s.get(key).Value)
	s.holds(key, revision, original)
	if l, ok := backend.As[backend.Lister](s.b); ok {
		for e, err := range l.List(t.Context(), key) {
			if err != nil {
				s.broken("List failed: %v", err)
			}
			scramble("a value that List yielded", e.Value)
		}
		s.holds(key, revision, original)
	}
	if w, ok := backend.As[backend.Watcher](s.b); ok {
		one, other := s.watch(w, key), s.watch(w, key)
		defer one.end()
		defer other.end()
		scramble("a value that Watch sent", one.next().Value)
		if e := other.next(); !bytes.Equal(e.Value, original) {
			s.broken("another watch was sent the changed value %s", showValue(e.Value))
		}
		s.holds(key, revision, original)
	}
}

func invalid(s *subject, t *rapid.T) {
	for _, bad := range []struct {
		what  string
		key   string
		value []byte
		keep  time.Duration
	}{
		{"an empty key", "", nil, 0},
		{"a key of 1281 bytes", s.key(strings.Repeat("k", backend.MaxKeyBytes+1-len(s.id))), nil, 0},
		{"a key that is not UTF-8", s.key("\xff"), nil, 0},
		{"a value of 1 MiB and a byte", s.key("k"), make([]byte, backend.MaxValueBytes+1), 0},
		{"a negative keep", s.key("k"), nil, -time.Nanosecond},
	} {
		if _, err := s.trySet(bad.key, 0, bad.value, bad.keep); !errors.Is(err, backend.ErrInvalid) {
			s.broken("CompareAndSet with %s returned %v", bad.what, err)
		}
	}
	if err := s.tryDelete(s.key("k"), 0); !errors.Is(err, backend.ErrInvalid) {
		s.broken("CompareAndDelete with expected 0 returned %v", err)
	}
	s.holds(s.key("k"), 0, nil)
}

// model lets rapid make up a sequence of calls on few keys, and holds every answer against a map.
func model(s *subject, t *rapid.T) {
	type state struct {
		revision uint64
		value    []byte
		newest   uint64 // of all revisions that the key ever had
	}
	all := s.awkwardKeys(t)
	states := map[string]*state{}
	for _, k := range all {
		states[k] = &state{}
	}
	pick := func(t *rapid.T) (string, *state) {
		k := rapid.SampledFrom(all).Draw(t, "key")
		return k, states[k]
	}
	expected := func(t *rapid.T, st *state) uint64 {
		return rapid.SampledFrom([]uint64{st.revision, st.revision, st.revision, 0, st.newest, st.newest + 1}).Draw(t, "expected")
	}
	t.Repeat(map[string]func(*rapid.T){
		"get": func(t *rapid.T) {
			k, st := pick(t)
			s.holds(k, st.revision, st.value)
		},
		"set": func(t *rapid.T) {
			k, st := pick(t)
			want, v := expected(t, st), smallValue().Draw(t, "value")
			revision, ok := s.set(k, want, v, rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "keep"))
			switch {
			case ok != (want == st.revision):
				s.broken("CompareAndSet %s expected %d: success is %t, the key was at %d", show(k), want, ok, st.revision)
			case ok && revision <= st.newest:
				s.broken("%s got revision %d after %d", show(k), revision, st.newest)
			case ok:
				*st = state{revision, v, revision}
			}
		},
		"delete": func(t *rapid.T) {
			k, st := pick(t)
			want := max(1, expected(t, st))
			err := s.tryDelete(k, want)
			switch {
			case st.revision == 0:
				if !errors.Is(err, backend.ErrNotFound) {
					s.broken("CompareAndDelete of the absent %s returned %v", show(k), err)
				}
			case want != st.revision:
				if !errors.Is(err, backend.ErrConflict) {
					s.broken("CompareAndDelete %s expected %d returned %v, the key was at %d", show(k), want, err, st.revision)
				}
			case err != nil:
				s.broken("CompareAndDelete %s at its revision failed: %v", show(k), err)
			default:
				st.revision, st.value = 0, nil
			}
		},
	})
	for _, k := range all {
		s.holds(k, states[k].revision, states[k].value)
	}
}
