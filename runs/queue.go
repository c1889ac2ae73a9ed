package runs

import (
	"container/heap"
	"slices"
	"time"
)

// mostQueued bounds what a worker remembers of the markers in the store: those that are due first.
// Of more it learns by later listings.
const mostQueued = 100_000

// queue is what a worker knows of the markers, in the order in which it is to look at them. A key
// is at most once in it.
type queue struct {
	items   []*item // a heap
	of      map[string]*item
	parked  map[string][]*item // by task
	listing int                // the number of the listing that began last
	most    int                // of items in of
}

// item is a marker, and when to look at it.
type item struct {
	marker
	at      time.Time
	parked  bool   // its task has as many runs as it may have
	busy    bool   // somebody looks, or works
	gone    bool   // there is no marker any more
	index   int    // in items; -1: not there
	listing int    // the last in which it was seen
	looked  uint64 // the revision at which somebody has looked
}

func newQueue() *queue {
	return &queue{of: make(map[string]*item), parked: make(map[string][]*item), most: mostQueued}
}

func (q *queue) Len() int           { return len(q.items) }
func (q *queue) Less(i, j int) bool { return q.items[i].at.Before(q.items[j].at) }
func (q *queue) Swap(i, j int) {
	q.items[i], q.items[j] = q.items[j], q.items[i]
	q.items[i].index, q.items[j].index = i, j
}
func (q *queue) Push(x any) {
	it := x.(*item)
	it.index = len(q.items)
	q.items = append(q.items, it)
}
func (q *queue) Pop() any {
	it := q.items[len(q.items)-1]
	q.items, it.index = q.items[:len(q.items)-1], -1
	return it
}

// saw notes that the store has marker m. A revision that is known changes nothing: the last look at
// it has set when to look again.
func (q *queue) saw(m marker) {
	it := q.of[m.key]
	if it == nil {
		if len(q.of) >= q.most {
			return
		}
		it = &item{index: -1}
		q.of[m.key] = it
	}
	it.listing = q.listing
	if it.revision < m.revision {
		it.marker, it.parked, it.gone = m, false, false
		q.at(it, m.due)
	}
}

// missed forgets the marker of a key that has none any more.
func (q *queue) missed(it *item) {
	it.gone = true
	if it.busy {
		return
	}
	if it.index >= 0 {
		heap.Remove(q, it.index)
	}
	it.parked = false
	delete(q.of, it.key)
}

// list notes all markers of a complete listing, as far as there is room: those that are due last
// give way to others.
func (q *queue) list(markers []marker) {
	if len(markers) > q.most {
		slices.SortFunc(markers, func(a, b marker) int { return a.due.Compare(b.due) })
		markers = markers[:q.most]
	}
	for _, m := range markers {
		if it := q.of[m.key]; it != nil {
			it.listing = q.listing
		}
	}
	q.end()
	for _, m := range markers {
		q.saw(m)
	}
}

// begin notes that a listing begins, and end that it has seen all there is.
func (q *queue) begin() { q.listing++ }

func (q *queue) end() {
	for _, it := range q.of {
		if it.listing < q.listing {
			q.missed(it)
		}
	}
}

// at sets when to look at it. It waits for its turn only if nobody is at work on it.
func (q *queue) at(it *item, when time.Time) {
	it.at = when
	switch {
	case it.busy || it.parked:
	case it.index < 0:
		heap.Push(q, it)
	default:
		heap.Fix(q, it.index)
	}
}

// next takes out what is to be looked at first, if that is due. Else it tells when it will be; the
// zero time if there is nothing.
func (q *queue) next(now time.Time) (it *item, at time.Time) {
	switch {
	case len(q.items) == 0:
		return nil, time.Time{}
	case q.items[0].at.After(now):
		return nil, q.items[0].at
	}
	it = heap.Pop(q).(*item)
	it.busy = true
	return it, time.Time{}
}

// done puts back what next has taken out: it was looked at as m, and is to be looked at again at
// when. The zero time: not before its marker changes.
func (q *queue) done(it *item, m marker, when time.Time) {
	it.busy = false
	switch {
	case it.gone:
		q.missed(it)
	case it.revision > m.revision: // it has changed meanwhile
		q.at(it, it.at)
	case !when.IsZero():
		q.at(it, when)
	}
}

// park sets a look aside until a run of its task has ended.
func (q *queue) park(it *item, task string) {
	it.busy = false
	if it.gone {
		q.missed(it)
		return
	}
	it.parked = true
	q.parked[task] = append(q.parked[task], it)
}

// unpark has one look for a task wait for its turn again.
func (q *queue) unpark(task string) {
	for parked := q.parked[task]; len(parked) > 0; parked = q.parked[task] {
		it := parked[0]
		if q.parked[task] = parked[1:]; len(parked) == 1 {
			delete(q.parked, task)
		}
		if it.parked {
			it.parked = false
			q.at(it, it.at)
			return
		}
	}
}
