package conformance

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of a journal with much in it, and with several callers at once.

const (
	manyNotes   = 2 * backend.MaxJournalBatch // of one stream, more than a page and than a window of ids
	manyStreams = backend.MaxJournalBatch + 100
)

// journalOfMany adds more than a page of entries and of streams, and goes through all pages.
func journalOfMany(s *subject) {
	long := s.key("long/1")
	var want []backend.JournalEntry
	for i := range manyNotes {
		want = append(want, note(long, fmt.Sprint("id", i), fmt.Sprint(i)))
	}
	for batch := range slices.Chunk(want, 250) {
		s.add(batch...)
	}
	var short []backend.JournalEntry
	for i := range manyStreams {
		short = append(short, note(s.key(fmt.Sprint("short/", i)), "1", fmt.Sprint(i)))
	}
	s.together(manyCallers, func(c int) {
		for batch := range slices.Chunk(short[c*len(short)/manyCallers:(c+1)*len(short)/manyCallers], 50) {
			s.add(batch...)
		}
	})
	for batch := range slices.Chunk(want, 500) { // all ids are taken, also the oldest
		s.add(batch...)
	}
	for _, limit := range []int{backend.MaxJournalBatch, 333} {
		s.mustEqual(fmt.Sprintf("ReadStream, %d at a time,", limit), s.readAll(long, 0, limit), want)
	}
	var down []backend.JournalEntry
	for before := uint64(0); ; before = down[len(down)-1].Position {
		page := s.readNewest(s.key("long/"), before, 700)
		if down = append(down, page...); len(page) < 700 {
			break
		}
	}
	slices.Reverse(down)
	s.mustEqual("ReadNewest, 700 at a time and turned round,", down, want)

	seen := map[string]bool{}
	for offset := 0; offset < manyStreams; offset += 400 {
		page, total := s.streams(s.key("short/"), offset, 400)
		if total != manyStreams || len(page) != min(400, manyStreams-offset) {
			s.broken("Streams with offset %d and limit 400 returned %d streams and the total %d, there are %d", offset, len(page), total, manyStreams)
		}
		for _, info := range page {
			if seen[info.Stream] || info.Count != 1 {
				s.broken("Streams returned %s twice, or with a count of %d that is 1", show(info.Stream), info.Count)
			}
			seen[info.Stream] = true
		}
	}
	page, total := s.streams(long, 0, 1)
	if total != 1 || len(page) != 1 || page[0].Count != manyNotes || string(page[0].Last.Data) != string(want[manyNotes-1].Data) {
		s.broken("Streams %s returned %s and the total %d, it has %d entries", show(long), showStreams(page), total, manyNotes)
	}
}

// journalAppenders has callers append to the same streams, while a reader follows one of them.
func journalAppenders(s *subject, t *rapid.T) {
	callers := rapid.IntRange(2, 5).Draw(t, "callers")
	calls := rapid.IntRange(1, 4).Draw(t, "calls")
	s.appendTogether(callers, calls, func(int) *subject { return s })
}

// appendTogether has each of the callers append in batches, through a handle of its own.
func (s *subject) appendTogether(callers, calls int, handle func(i int) *subject) {
	const each = 3 // entries of a stream in a call
	streams := []string{s.key("ns/a"), s.key("ns/b")}
	total := callers * calls * each
	var followed []backend.JournalEntry
	var ended atomic.Int32 // callers
	s.together(callers+1, func(i int) {
		h := handle(i)
		if i == callers {
			for {
				var after uint64
				if n := len(followed); n > 0 {
					after = followed[n-1].Position
				}
				last := int(ended.Load()) == callers
				page := h.readStream(streams[0], after, 4)
				followed = append(followed, page...)
				switch {
				case len(page) > 0:
				case last:
					return
				default: // the others may have no other processor
					time.Sleep(50 * time.Microsecond)
				}
			}
		}
		defer ended.Add(1)
		for call := range calls {
			var batch []backend.JournalEntry
			for k := range each {
				for _, stream := range streams {
					batch = append(batch, note(stream, "", fmt.Sprintf("%d %d %d", i, call, k)))
				}
			}
			h.add(batch...)
		}
	})
	for _, stream := range streams {
		all := s.readAll(stream, 0, backend.MaxJournalBatch)
		s.mustHaveEach(stream, all, callers, calls, each)
		if stream == streams[0] {
			s.mustEqual("ReadStream to the end after each position, while others appended,", followed, all)
		}
	}
	newest := s.readNewest(s.key("ns/"), 0, backend.MaxJournalBatch)
	if len(newest) != 2*total {
		s.broken("ReadNewest returned %d entries, %d were added", len(newest), 2*total)
	}
}

// mustHaveEach fails the case unless each caller's entries are there once, in its order.
func (s *subject) mustHaveEach(stream string, all []backend.JournalEntry, callers, calls, each int) {
	next := make([]int, callers)
	for _, e := range all {
		var i, call, k int
		if _, err := fmt.Sscanf(string(e.Data), "%d %d %d", &i, &call, &k); err != nil {
			s.broken("stream %s has an entry %s, which nobody added", show(stream), showValue(e.Data))
		}
		if at := call*each + k; at != next[i] {
			s.broken("stream %s has entry %d of caller %d where its entry %d is due", show(stream), at, i, next[i])
		}
		next[i]++
	}
	for i, n := range next {
		if n != calls*each {
			s.broken("stream %s has %d entries of caller %d, who added %d", show(stream), n, i, calls*each)
		}
	}
}

func journalRaceOfIDs(s *subject, t *rapid.T) {
	callers := rapid.IntRange(2, 6).Draw(t, "callers")
	s.raceOfIDs(callers, func(int) *subject { return s })
}

// raceOfIDs has the callers add entries with the same ids, each through a handle of its own.
func (s *subject) raceOfIDs(callers int, handle func(i int) *subject) {
	stream, ids := s.key("ids/a"), []string{"1", "2", "3"}
	s.together(callers, func(i int) {
		var batch []backend.JournalEntry
		for k := range ids {
			id := ids[(i+k)%len(ids)]
			batch = append(batch, note(stream, id, fmt.Sprint(i)), note(stream, id, fmt.Sprint(i)))
		}
		handle(i).add(batch...)
	})
	var found []string
	for _, e := range s.readStream(stream, 0, backend.MaxJournalBatch) {
		found = append(found, e.ID)
	}
	slices.Sort(found)
	if !slices.Equal(found, ids) {
		s.broken("%d callers added entries with the ids %q, and the stream has the ids %q", callers, ids, found)
	}
	if page, _ := s.streams(stream, 0, 1); len(page) != 1 || page[0].Count != len(ids) {
		s.broken("Streams %s returned %s, it has %d entries", show(stream), showStreams(page), len(ids))
	}
}

func journalFreshReads(s *subject, t *rapid.T) {
	readers := rapid.IntRange(1, 4).Draw(t, "readers")
	s.freshJournal(rapid.IntRange(2, 8).Draw(t, "appends"), readers, s, s)
}

// freshJournal appends through one handle while readers look through another.
func (s *subject) freshJournal(appends, readers int, writes, reads *subject) {
	stream := s.key("fresh/a")
	var acknowledged atomic.Int64
	look := func(h *subject) {
		before := int(acknowledged.Load())
		count := func(call string, n int) {
			if n < before {
				s.broken("%s saw %d entries, but %d were acknowledged before it began", call, n, before)
			}
		}
		count("ReadStream", len(h.readStream(stream, 0, backend.MaxJournalBatch)))
		before = int(acknowledged.Load())
		count("ReadNewest", len(h.readNewest(s.key("fresh/"), 0, backend.MaxJournalBatch)))
		before = int(acknowledged.Load())
		page, total := h.streams(s.key("fresh/"), 0, 1)
		if total > 1 || total < min(before, 1) || len(page) != total {
			s.broken("Streams saw %d streams, and the total %d, where %d entries were acknowledged before it began", len(page), total, before)
		}
		if len(page) == 1 {
			count("Streams", page[0].Count)
		}
	}
	s.together(readers+1, func(i int) {
		for n := range appends {
			if i == 0 {
				writes.add(note(stream, "", fmt.Sprint(n)))
				acknowledged.Add(1)
			}
			look(reads) // the writer too: the others may come too early, or too late
		}
	})
}

// journalStreamsWhile lists streams while others append to some of them.
func journalStreamsWhile(s *subject) {
	const rest, busy, lists = 20, 4, 60
	n := &notes{s: s}
	for i := range rest {
		n.add(note(s.key(fmt.Sprint("ns/rests", i)), "", "1"), note(s.key(fmt.Sprint("ns/rests", i)), "", "2"))
	}
	var over atomic.Bool
	s.together(busy+1, func(c int) {
		if c < busy {
			for i := 0; !over.Load() && i < 100*lists; i++ {
				s.add(note(s.key(fmt.Sprint("ns/busy", c, " ", i%3)), "", fmt.Sprint(i)))
			}
			return
		}
		defer over.Store(true)
		var newest uint64
		moved := 0 // listings that others have changed
		for begun, looks := time.Now(), 0; looks < lists || moved < lists && time.Since(begun) < 500*time.Millisecond; looks++ {
			seen := map[string]bool{}
			page, total := s.streams(s.key("ns/"), 0, backend.MaxJournalBatch)
			if len(page) > 0 && page[0].Last.Position != newest {
				moved, newest = moved+1, page[0].Last.Position
			}
			if total != len(page) {
				s.broken("Streams returned %d streams and the total %d", len(page), total)
			}
			for _, info := range page {
				if seen[info.Stream] {
					s.broken("Streams returned %s twice", show(info.Stream))
				}
				seen[info.Stream] = true
			}
			for i := range rest {
				at := slices.IndexFunc(page, func(info backend.StreamInfo) bool { return info.Stream == n.all[2*i].Stream })
				if at < 0 || page[at].Count != 2 || page[at].Last.Position != n.all[2*i+1].Position {
					s.broken("Streams does not return %s as it rests, but %s", show(n.all[2*i].Stream), showStreams(page[max(0, at):max(0, at)+1]))
				}
			}
		}
	})
}
