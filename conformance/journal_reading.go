package conformance

import (
	"fmt"
	"math"
	"strings"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of a journal's order, ids, pages and streams, with one caller at a time.

func journalOrder(s *subject, t *rapid.T) {
	n := &notes{s: s}
	streams := []string{s.key("a"), s.key("b/c")}
	for range rapid.IntRange(1, 4).Draw(t, "calls") {
		var batch []backend.JournalEntry
		for i := range rapid.IntRange(1, 4).Draw(t, "entries") {
			e := note(rapid.SampledFrom(streams).Draw(t, "stream"), "", fmt.Sprint(i))
			// Append ignores it.
			e.Position = rapid.SampledFrom([]uint64{0, 1, n.last(), math.MaxUint64}).Draw(t, "position")
			batch = append(batch, e)
		}
		given := make([]backend.JournalEntry, len(batch))
		copy(given, batch)
		for i := range batch {
			given[i].Position = 0
		}
		before := n.last()
		s.add(batch...)
		n.learn(before, given)
	}
	for _, stream := range streams {
		n.checkStream(stream, 0, backend.MaxJournalBatch)
	}
}

func journalIDs(s *subject, t *rapid.T) {
	n := &notes{s: s}
	stream, other := s.key("a"), s.key("b")
	// Ids are told apart by their bytes, as keys are.
	pair := rapid.SampledFrom(twins).Draw(t, "twins")
	ids := []string{"id" + pair[0], "id" + pair[1], ""}
	for i := range rapid.IntRange(1, 3).Draw(t, "calls") {
		var batch []backend.JournalEntry
		for k := range rapid.IntRange(1, 4).Draw(t, "entries") {
			where := rapid.SampledFrom([]string{stream, stream, stream, other}).Draw(t, "stream")
			batch = append(batch, note(where, rapid.SampledFrom(ids).Draw(t, "id"), fmt.Sprint(i, " ", k)))
		}
		n.add(batch...)
		n.add(batch[0]) // once more, alone
	}
	n.checkStream(stream, 0, backend.MaxJournalBatch)
	n.checkStream(other, 0, backend.MaxJournalBatch)
	n.checkStreams(s.id, 0, 10)
}

func journalPages(s *subject, t *rapid.T) {
	n := &notes{s: s}
	streams := []string{s.key("ns/a"), s.key("ns/b"), s.key("other/a")}
	for range rapid.IntRange(1, 4).Draw(t, "calls") {
		n.add(drawNotes(t, streams)...)
	}
	limits := []int{1, 2, len(n.all), len(n.all) + 1, backend.MaxJournalBatch}
	places := []uint64{0, n.last() + 1, math.MaxInt64, math.MaxUint64}
	for _, e := range n.all {
		places = append(places, e.Position)
	}
	limit := rapid.SampledFrom(limits).Draw(t, "limit")
	for _, at := range places {
		n.checkStream(rapid.SampledFrom(streams).Draw(t, "stream"), at, limit)
		n.checkNewest(s.key(rapid.SampledFrom([]string{"", "ns/", "ns/a", "o"}).Draw(t, "prefix")), at, limit)
	}
	n.checkStream(s.key("unknown"), 0, limit)
	n.checkNewest(s.key("unknown"), 0, limit)
}

func journalStreams(s *subject, t *rapid.T) {
	n := &notes{s: s}
	streams := s.journalStreamNames()
	prefix := rapid.SampledFrom(append([]string{s.id, s.key("unknown")}, streams...)).Draw(t, "prefix")
	for range rapid.IntRange(1, 5).Draw(t, "calls") {
		n.add(drawNotes(t, streams)...)
		n.checkStreams(prefix, 0, backend.MaxJournalBatch)
	}
	for offset := range len(streams) + 2 {
		n.checkStreams(prefix, offset, 1)
		n.checkStreams(prefix, offset, rapid.IntRange(2, 4).Draw(t, "limit"))
	}
	n.checkStreams(prefix, math.MaxInt, 1)
}

// journalPrefixes has a stream for each odd name, and takes each of them for a prefix too.
func journalPrefixes(s *subject) {
	all := s.oddKeys()
	newest := map[string]uint64{}
	for _, stream := range all {
		if page := s.readStream(stream, 0, 1); len(page) > 0 {
			s.broken("ReadStream %s, to which nothing was added, returned %s", show(stream), showNotes(page))
		}
		s.add(note(stream, "id", stream))
		page := s.readStream(stream, 0, 2)
		s.mustEqual("ReadStream "+show(stream), page, []backend.JournalEntry{note(stream, "id", stream)})
		newest[stream] = page[0].Position
	}
	for _, prefix := range all {
		want := 0
		for _, stream := range all {
			if strings.HasPrefix(stream, prefix) {
				want++
			}
		}
		page := s.readNewest(prefix, 0, backend.MaxJournalBatch)
		infos, total := s.streams(prefix, 0, backend.MaxJournalBatch)
		if len(page) != want || len(infos) != want || total != want {
			s.broken("of the prefix %s ReadNewest found %d entries and Streams %d streams and the total %d, there are %d", show(prefix), len(page), len(infos), total, want)
		}
		for i, e := range page { // that they have the prefix, and come once, is looked at already
			if e.Position != newest[e.Stream] || string(e.Data) != e.Stream || infos[i].Stream != e.Stream || infos[i].Count != 1 {
				s.broken("of the prefix %s ReadNewest returned %s, and Streams %s", show(prefix), showNote(e), showStreams(infos[i:i+1]))
			}
		}
	}
}

// journalAndKeys has keys and streams of the same names come and go.
func journalAndKeys(s *subject, t *rapid.T) {
	n := &notes{s: s}
	names := s.journalStreamNames()
	revisions := map[string]uint64{}
	for range rapid.IntRange(2, 8).Draw(t, "calls") {
		name := rapid.SampledFrom(names).Draw(t, "name")
		switch rapid.SampledFrom([]string{"append", "set", "delete"}).Draw(t, "call") {
		case "append":
			n.add(note(name, rapid.SampledFrom([]string{"", "1"}).Draw(t, "id"), "entry"))
		case "set":
			revisions[name] = s.mustSet(name, revisions[name], []byte("value"))
		case "delete":
			if revisions[name] != 0 {
				s.mustDelete(name, revisions[name])
				revisions[name] = 0
			}
		}
		s.holds(name, revisions[name], []byte("value"))
		n.checkStream(name, 0, backend.MaxJournalBatch)
	}
	n.checkStreams(s.id, 0, backend.MaxJournalBatch)
	n.checkNewest(s.id, 0, backend.MaxJournalBatch)
	if _, ok := backend.As[backend.Lister](s.b); ok {
		found := s.all(s.id, nil)
		for name, revision := range revisions {
			if found[name].Revision != revision {
				s.broken("List shows %s as %s, it is at revision %d", show(name), showEntry(found[name], nil), revision)
			}
			delete(found, name)
		}
		for name := range found {
			s.broken("List yielded the key %s, which nobody wrote", show(name))
		}
	}
}
