package conformance

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease/backend"
)

// Keeps that the property waits for. The first ends soon. The second ends within a second and
// after, so that one that is cut to whole seconds is noticed.
const (
	soon      = 250 * time.Millisecond
	notSoSoon = 1250 * time.Millisecond
)

// keptNotes are the entries of one stream. The newest go first.
type keptNotes struct {
	stream string
	stay   []backend.JournalEntry
	brief  []backend.JournalEntry
	until  time.Time // when the keep of the latter ends at the earliest
	seen   []uint64  // the positions at which entries were read
}

// journalKeep takes real time, and so runs once, with some streams side by side.
func journalKeep(s *subject) {
	var all []*keptNotes
	for i := range 3 {
		for _, keep := range []time.Duration{soon, notSoSoon} {
			k := &keptNotes{stream: s.key(fmt.Sprint("ns/", keep, " ", i)), until: time.Now().Add(keep)}
			k.brief = []backend.JournalEntry{note(k.stream, "goes", "1"), note(k.stream, "", "2")}
			for n := range k.brief {
				k.brief[n].Keep = keep
			}
			if i < 2 { // nothing of the third stays
				k.stay = []backend.JournalEntry{note(k.stream, "stays", "stays")}
			}
			s.add(slices.Concat(k.stay, k.brief)...)
			all = append(all, k)
		}
	}
	// Many stores drop entries as others are added, and some take seconds to do it.
	begun := time.Now()
	for left := all; len(left) > 0; time.Sleep(20 * time.Millisecond) {
		s.add(note(s.key("meanwhile"), "", ""), note(s.key("meanwhile"), "", ""))
		left = slices.DeleteFunc(slices.Clone(left), func(k *keptNotes) bool { return k.isOver(s) })
		if len(left) > 0 && time.Since(begun) > notSoSoon+s.pace.patience(aState) {
			s.broken("%s still has entries whose keep of %v ended %v ago, while others were added", show(left[0].stream), left[0].brief[0].Keep, time.Since(left[0].until))
		}
	}
	for _, k := range all { // an id that is free can be taken again, and one that stays cannot
		k.takenAgain(s)
	}
	if _, total := s.streams(s.key("ns/"), 0, 1); total != len(all) {
		s.broken("Streams returned the total %d, there are %d", total, len(all))
	}
	s.dropsTheNewest()
}

// takenAgain adds an entry whose id was one of those that went. The server that takes it may be the
// last to drop that one, and then drops the new.
func (k *keptNotes) takenAgain(s *subject) {
	again := note(k.stream, "goes", "again")
	page, begun := k.stay, time.Now()
	for len(page) == len(k.stay) {
		if waited := time.Since(begun); waited > s.pace.patience(aState) {
			s.broken("an entry with the id of one that went %v ago is still dropped", waited)
		}
		s.add(slices.Concat([]backend.JournalEntry{again}, k.stay)...)
		page = s.readStream(k.stream, 0, 10)
	}
	s.mustEqual("ReadStream "+show(k.stream), page, append(k.stay, again))
}

// dropsTheNewest looks for a store that goes by the positions that it has.
func (s *subject) dropsTheNewest() {
	for range 3 {
		brief := note(s.key("brief"), "", "")
		brief.Keep = 10 * time.Millisecond
		s.add(brief)
		newest := s.readNewest(s.key("brief"), 0, 1)
		if len(newest) == 0 {
			continue // the store is slow, or this process was
		}
		time.Sleep(2 * brief.Keep)
		s.add(note(s.key("after"), "", ""))
		if next := s.readNewest(s.key("after"), 0, 1); len(next) == 0 || next[0].Position <= newest[0].Position {
			s.broken("after position %d, which may have been dropped, the next entry is %s", newest[0].Position, showNotes(next))
		}
	}
}

// isOver looks at the stream in every way, and fails the case if something is gone too early or was
// never there. It tells whether all that is to go is gone in every way. A store of several servers
// drops on each by its own clock, so what one look missed, the next may still show.
func (k *keptNotes) isOver(s *subject) bool {
	over := true
	look := func(call string, page []backend.JournalEntry) {
		rest := slices.Concat(k.stay, k.brief)
		k.mayBeFewer(s, call, len(page))
		for _, e := range page {
			i := slices.IndexFunc(rest, func(w backend.JournalEntry) bool { return w.ID == e.ID && bytes.Equal(w.Data, e.Data) })
			if i < 0 {
				s.broken("%s shows %s of %s", call, showNotes(page), show(k.stream))
			}
			rest = rest[i+1:]
			k.seen = append(k.seen, e.Position)
		}
		if len(page) < len(k.stay) || len(k.stay) > 0 && page[0].ID != k.stay[0].ID {
			s.broken("%s shows %s of %s, without what is to stay for an hour", call, showNotes(page), show(k.stream))
		}
		over = over && len(page) == len(k.stay)
	}
	look("ReadStream", s.readStream(k.stream, 0, 10))
	newest := s.readNewest(k.stream, 0, 10)
	slices.Reverse(newest)
	look("ReadNewest", newest)

	infos, total := s.streams(k.stream, 0, 10)
	if len(infos) > 1 || total != len(infos) {
		s.broken("Streams shows %s of one stream, and the total %d", showStreams(infos), total)
	}
	count := 0
	if len(infos) == 1 {
		count = infos[0].Count
		if count < 1 || count > len(k.stay)+len(k.brief) || !slices.Contains(k.seen, infos[0].Last.Position) {
			s.broken("Streams shows %s, and %d entries were added to %s", showStreams(infos), len(k.stay)+len(k.brief), show(k.stream))
		}
	}
	k.mayBeFewer(s, "Streams", count)
	agree := count == 0 || len(newest) > 0 && infos[0].Last.Position == newest[len(newest)-1].Position
	return over && count == len(k.stay) && agree
}

// mayBeFewer fails the case if fewer entries are seen than were added while their keep lasts.
func (k *keptNotes) mayBeFewer(s *subject, call string, n int) {
	early := time.Until(k.until)
	if added := len(k.stay) + len(k.brief); early > 0 && n < added {
		s.broken("%s shows %d of the %d entries of %s, %v before the keep of %v is over", call, n, added, show(k.stream), early, k.brief[0].Keep)
	}
}
