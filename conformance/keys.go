package conformance

import (
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The property of keys, and the keys that a store is apt to get wrong.

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
	{".", "=2E"}, {"=2E", "=2e"}, {" ", "%20"}, {" ", "+"}, {"'", "''"}, {"\\", "\\\\"}, {"0", "00"}, {"1", "1.0"}, {"", "b"}, {"a", "ab"}, {"", "/b"}, {"a", "a/b"}, {"", ".b"},
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

// parentAndChild draws a key, and one that a store with paths may find below it.
func (s *subject) parentAndChild(t *rapid.T) []string {
	parent := s.key("parent" + rapid.SampledFrom([]string{"", "", "a", " ", "."}).Draw(t, "end"))
	child := parent + rapid.SampledFrom([]string{"/", ".", ":", "\x00", ""}).Draw(t, "separator") + "b"
	return []string{parent, child}
}

func keys(s *subject, t *rapid.T) {
	held := map[string]uint64{}
	all := append(s.parentAndChild(t), s.awkwardKeys(t)...)
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

// oddKeys are each piece and each twin, at either end of a key and within it, short and long.
func (s *subject) oddKeys() []string {
	odd := slices.Clone(pieces)
	for _, pair := range twins {
		odd = append(odd, pair[:]...)
	}
	slices.Sort(odd)
	var all []string
	long := strings.Repeat("long", 300)
	for _, piece := range slices.Compact(odd) {
		all = append(all, s.id+piece, piece+s.id, s.id+"a"+piece+"b", s.id+long+piece)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// eachKey has all odd keys held side by side.
func eachKey(s *subject) {
	held := map[string]uint64{}
	all := s.oddKeys()
	for _, k := range all {
		s.holds(k, 0, nil)
		held[k] = s.mustSet(k, 0, []byte(k))
	}
	for _, k := range all {
		s.holds(k, held[k], []byte(k))
	}
	for i, k := range all {
		if i%2 == 0 {
			s.mustDelete(k, held[k])
			held[k] = 0
		}
	}
	for _, k := range all {
		s.holds(k, held[k], []byte(k))
	}
}

// eachPrefix lists by each of the odd keys.
func eachPrefix(s *subject) {
	all := s.oddKeys()
	for _, k := range all {
		s.mustSet(k, 0, []byte(k))
	}
	for _, prefix := range all {
		found := s.all(prefix, nil)
		for _, k := range all {
			if e, ok := found[k]; strings.HasPrefix(k, prefix) && (!ok || string(e.Value) != k) {
				s.broken("List %s missed %s, or showed another's value: %s", show(prefix), show(k), showEntry(e, nil))
			}
			delete(found, k)
		}
		for k := range found {
			s.broken("List %s yielded %s, which nobody wrote", show(prefix), show(k))
		}
	}
}
