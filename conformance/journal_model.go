package conformance

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// notes is what a case has appended, and nobody else: all entries in the order of their positions.
type notes struct {
	s   *subject
	all []backend.JournalEntry
}

// add appends entries in one call, and reads back where they stand.
func (n *notes) add(entries ...backend.JournalEntry) {
	before := n.last()
	n.s.add(entries...)
	n.learn(before, entries)
}

// learn reads back entries that were appended when before was the newest position.
func (n *notes) learn(before uint64, entries []backend.JournalEntry) {
	s := n.s
	var added []backend.JournalEntry
	for _, stream := range streamsOf(entries) {
		old := n.of(stream)
		want := slices.DeleteFunc(slices.Clone(entries), func(e backend.JournalEntry) bool { return e.Stream != stream })
		want = withoutTaken(old, want)
		var after uint64
		if len(old) > 0 {
			after = old[len(old)-1].Position
		}
		got := s.readAll(stream, after, backend.MaxJournalBatch)
		s.mustEqual(fmt.Sprintf("ReadStream %s after %d", show(stream), after), got, want)
		for _, e := range got {
			if e.Position <= before {
				s.broken("an entry of %s got position %d, an earlier one of the journal has %d", show(stream), e.Position, before)
			}
		}
		added = append(added, got...)
	}
	slices.SortFunc(added, func(a, b backend.JournalEntry) int { return cmp.Compare(a.Position, b.Position) })
	for i, e := range added {
		if i > 0 && e.Position == added[i-1].Position {
			s.broken("an entry of %s and one of %s both have position %d", show(added[i-1].Stream), show(e.Stream), e.Position)
		}
	}
	n.all = append(n.all, added...)
}

// streamsOf are the streams of entries.
func streamsOf(entries []backend.JournalEntry) []string {
	var all []string
	for _, e := range entries {
		if !slices.Contains(all, e.Stream) {
			all = append(all, e.Stream)
		}
	}
	return all
}

// withoutTaken leaves out what an id drops: entries and what stands before are of one stream.
func withoutTaken(before, entries []backend.JournalEntry) []backend.JournalEntry {
	taken := map[string]bool{"": false}
	for _, e := range before {
		taken[e.ID] = e.ID != ""
	}
	return slices.DeleteFunc(entries, func(e backend.JournalEntry) bool {
		drop := taken[e.ID]
		taken[e.ID] = e.ID != ""
		return drop
	})
}

// last is the newest position.
func (n *notes) last() uint64 {
	if len(n.all) == 0 {
		return 0
	}
	return n.all[len(n.all)-1].Position
}

func (n *notes) of(stream string) []backend.JournalEntry {
	return slices.DeleteFunc(slices.Clone(n.all), func(e backend.JournalEntry) bool { return e.Stream != stream })
}

// mustEqual compares what entries hold. Positions count only where they are known.
func (s *subject) mustEqual(what string, got, want []backend.JournalEntry) {
	same := slices.EqualFunc(got, want, func(g, w backend.JournalEntry) bool {
		return g.Stream == w.Stream && g.ID == w.ID && bytes.Equal(g.Data, w.Data) && (w.Position == 0 || g.Position == w.Position)
	})
	if !same {
		s.broken("%s returned %s, want %s", what, showNotes(got), showNotes(want))
	}
}

func (n *notes) checkStream(stream string, after uint64, limit int) {
	want := slices.DeleteFunc(n.of(stream), func(e backend.JournalEntry) bool { return e.Position <= after })
	n.s.mustEqual(fmt.Sprintf("ReadStream %s after %d limit %d", show(stream), after, limit),
		n.s.readStream(stream, after, limit), want[:min(limit, len(want))])
}

func (n *notes) checkNewest(prefix string, before uint64, limit int) {
	want := slices.DeleteFunc(slices.Clone(n.all), func(e backend.JournalEntry) bool {
		return !strings.HasPrefix(e.Stream, prefix) || before != 0 && e.Position >= before
	})
	slices.Reverse(want)
	n.s.mustEqual(fmt.Sprintf("ReadNewest %s before %d limit %d", show(prefix), before, limit),
		n.s.readNewest(prefix, before, limit), want[:min(limit, len(want))])
}

func (n *notes) checkStreams(prefix string, offset, limit int) {
	s := n.s
	var want []backend.StreamInfo
	for _, e := range slices.Backward(n.all) {
		switch i := slices.IndexFunc(want, func(info backend.StreamInfo) bool { return info.Stream == e.Stream }); {
		case i >= 0:
			want[i].Count++
		case strings.HasPrefix(e.Stream, prefix):
			want = append(want, backend.StreamInfo{Stream: e.Stream, Count: 1, Last: e})
		}
	}
	got, total := s.streams(prefix, offset, limit)
	if total != len(want) {
		s.broken("Streams %s offset %d limit %d returned the total %d, there are %d", show(prefix), offset, limit, total, len(want))
	}
	want = want[min(offset, len(want)):]
	want = want[:min(limit, len(want))]
	same := slices.EqualFunc(got, want, func(g, w backend.StreamInfo) bool {
		return g.Stream == w.Stream && g.Count == w.Count && g.Last.Position == w.Last.Position && g.Last.ID == w.Last.ID && bytes.Equal(g.Last.Data, w.Last.Data)
	})
	if !same {
		s.broken("Streams %s offset %d limit %d returned %s, want %s", show(prefix), offset, limit, showStreams(got), showStreams(want))
	}
}

// position draws one that some entry has, one next to it, or one of the ends.
func (n *notes) position(t *rapid.T, label string) uint64 {
	some := []uint64{0, n.last() + 1, math.MaxUint64, math.MaxInt64}
	for _, e := range n.all {
		some = append(some, e.Position, e.Position, e.Position-1)
	}
	return rapid.SampledFrom(some).Draw(t, label)
}

// journalStreamNames are of the case: with and without a namespace, one the beginning of another.
func (s *subject) journalStreamNames() []string {
	return []string{s.key("a"), s.key("a/"), s.key("a/x"), s.key("a/x/y"), s.key("ab"), s.key("b/x")}
}

// drawNotes draws entries of the streams, some of them with an id.
func drawNotes(t *rapid.T, streams []string) []backend.JournalEntry {
	one := rapid.Custom(func(t *rapid.T) backend.JournalEntry {
		id := rapid.SampledFrom([]string{"", "", "1", "2", "A", "a"}).Draw(t, "id")
		return note(rapid.SampledFrom(streams).Draw(t, "stream"), id, string(smallValue().Draw(t, "data")))
	})
	return rapid.SliceOfN(one, 1, 5).Draw(t, "entries")
}

// journalModel lets rapid make up a sequence of calls, and holds every answer against a list.
func journalModel(s *subject, t *rapid.T) {
	n := &notes{s: s}
	streams := s.journalStreamNames()
	prefixes := append([]string{s.id}, streams...)
	limits := rapid.SampledFrom([]int{1, 1, 2, 3, backend.MaxJournalBatch})
	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) { n.add(drawNotes(t, streams)...) },
		"stream": func(t *rapid.T) {
			n.checkStream(rapid.SampledFrom(streams).Draw(t, "stream"), n.position(t, "after"), limits.Draw(t, "limit"))
		},
		"newest": func(t *rapid.T) {
			n.checkNewest(rapid.SampledFrom(prefixes).Draw(t, "prefix"), n.position(t, "before"), limits.Draw(t, "limit"))
		},
		"streams": func(t *rapid.T) {
			n.checkStreams(rapid.SampledFrom(prefixes).Draw(t, "prefix"), rapid.IntRange(0, 4).Draw(t, "offset"), limits.Draw(t, "limit"))
		},
	})
}
