package runs

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// A worker that cannot remember all markers remembers those that are due first.
func TestAFullQueueHasWhatIsDueFirst(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	q := newQueue()
	q.most = 10
	var markers []marker
	for i := range 3 * q.most {
		markers = append(markers, marker{fmt.Sprint("later", i), uint64(i + 1), now.Add(time.Hour)})
	}
	q.begin()
	q.list(slices.Clone(markers))
	if it, at := q.next(now); it != nil || !at.Equal(now.Add(time.Hour)) || len(q.of) != q.most {
		t.Fatalf("next is %v, at %v; %d are remembered", it, at, len(q.of))
	}
	markers = append(markers, marker{"due", 100, now})
	q.begin()
	q.list(slices.Clone(markers))
	it, _ := q.next(now)
	if it == nil || it.key != "due" || len(q.of) != q.most {
		t.Fatalf("next is %v; %d are remembered", it, len(q.of))
	}
	q.begin()
	q.list(slices.Clone(markers[:q.most])) // the run has ended, as have the others
	q.done(it, it.marker, time.Time{})
	if q.of["due"] != nil || len(q.of) != q.most-1 { // it had its place until then
		t.Errorf("%d are remembered, with what is gone: %t", len(q.of), q.of["due"] != nil)
	}
}
