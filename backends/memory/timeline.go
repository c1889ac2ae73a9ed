package memory

import (
	"cmp"
	"iter"
	"slices"
)

// timeline is a list of entries in the order of their positions. One that is dropped from its midst
// stays in it until half of them are: dropping costs a constant per entry.
type timeline struct {
	entries []*journalEntry // neither the first after head nor the last is dropped
	head    int             // before it, all are dropped
	dropped int             // of entries
}

func (l *timeline) add(e *journalEntry) { l.entries = append(l.entries, e) }

// count is how many entries there are.
func (l *timeline) count() int { return len(l.entries) - l.dropped }

// dropOne is called for each entry that is dropped, after that was noted in the entry.
func (l *timeline) dropOne() {
	l.dropped++
	if l.dropped*2 >= len(l.entries) {
		l.entries = slices.DeleteFunc(l.entries, func(e *journalEntry) bool { return e.dropped })
		l.head, l.dropped = 0, 0
		return
	}
	for l.entries[l.head].dropped {
		l.head++
	}
	for last := len(l.entries) - 1; l.entries[last].dropped; last-- {
		l.entries[last] = nil
		l.entries = l.entries[:last]
		l.dropped--
	}
}

// oldest and newest return an entry of a timeline that is not empty.
func (l *timeline) oldest() *journalEntry {
	for e := range l.from(0) {
		return e
	}
	return nil
}

func (l *timeline) newest() *journalEntry {
	for e := range l.downFrom(0) {
		return e
	}
	return nil
}

// from yields the entries after a position, the oldest first.
func (l *timeline) from(after uint64) iter.Seq[*journalEntry] {
	return func(yield func(*journalEntry) bool) {
		for _, e := range l.entries[max(l.head, l.upTo(after)):] {
			if !e.dropped && !yield(e) {
				return
			}
		}
	}
}

// downFrom yields the entries before a position, the newest first, and all for 0.
func (l *timeline) downFrom(before uint64) iter.Seq[*journalEntry] {
	return func(yield func(*journalEntry) bool) {
		end := len(l.entries)
		if before > 0 {
			end = l.upTo(before - 1)
		}
		for i := end - 1; i >= l.head; i-- {
			if e := l.entries[i]; !e.dropped && !yield(e) {
				return
			}
		}
	}
}

// upTo is the number of entries, dropped ones among them, at or before a position.
func (l *timeline) upTo(position uint64) int {
	n, found := slices.BinarySearchFunc(l.entries, position, func(e *journalEntry, p uint64) int {
		return cmp.Compare(e.Position, p)
	})
	if found {
		n++
	}
	return n
}

func newestFirst(a, b *journalEntry) int { return cmp.Compare(b.Position, a.Position) }
