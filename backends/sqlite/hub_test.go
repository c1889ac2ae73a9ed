package sqlite

import (
	"fmt"
	"testing"

	"github.com/ailease/lease/backend"
)

func TestAWatcherTakesOnlyNewerStates(t *testing.T) {
	type state struct{ stamp, revision uint64 } // revision 0: absent
	for _, c := range []struct {
		name   string
		offers []state
		want   []uint64
	}{
		{"the first state, absent in an empty file", []state{{0, 0}}, []uint64{0}},
		{"each newer one", []state{{5, 3}, {6, 6}, {9, 9}}, []uint64{3, 6, 9}},
		{"a pushed state is not overtaken by an older read", []state{{5, 3}, {8, 8}, {7, 3}}, []uint64{3, 8}},
		{"a pushed absence is not overtaken by an older read", []state{{5, 3}, {8, 0}, {7, 3}}, []uint64{3, 0}},
		{"an old absence does not hide a newer state", []state{{5, 0}, {8, 8}, {6, 0}}, []uint64{0, 8}},
		{"a push that was overtaken by a newer read is dropped", []state{{5, 3}, {9, 8}, {8, 8}}, []uint64{3, 8}},
		{"an absence that was overtaken by a newer read is dropped", []state{{5, 3}, {9, 9}, {8, 0}}, []uint64{3, 9}},
		{"the same state read again later says nothing new", []state{{5, 3}, {9, 3}, {12, 3}}, []uint64{3}},
		{"but what is older than the last look is old all the same", []state{{5, 3}, {9, 3}, {8, 0}}, []uint64{3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watcher{ch: make(chan backend.Entry, 1)}
			var got []uint64
			for _, o := range c.offers {
				w.offer(backend.Entry{Revision: o.revision}, o.stamp)
				if len(w.ch) > 0 {
					got = append(got, (<-w.ch).Revision)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAWatcherThatIsNotReceivedFromHoldsTheNewestState(t *testing.T) {
	w := &watcher{ch: make(chan backend.Entry, 1)}
	for stamp := uint64(1); stamp <= 3; stamp++ {
		w.offer(backend.Entry{Revision: stamp}, stamp)
	}
	if e := <-w.ch; e.Revision != 3 || len(w.ch) != 0 {
		t.Errorf("got revision %d, and %d more", e.Revision, len(w.ch))
	}
}

func TestTheHubReadsOnlyWhenAnotherProcessHasWritten(t *testing.T) {
	type step struct {
		base, last uint64 // a commit of ours, if last is not 0
		poll       uint64 // else a poll that finds the counter here
		reads      bool
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"nobody writes", []step{{poll: 7}, {poll: 7}}},
		{"only we write", []step{{base: 7, last: 9}, {poll: 9}, {base: 9, last: 10}, {poll: 10}}},
		{"another has written since", []step{{poll: 8, reads: true}, {poll: 8}}},
		{"another has written between our writes", []step{{base: 7, last: 8}, {base: 9, last: 10}, {poll: 10, reads: true}, {poll: 10}}},
		{"the poll sees our commit before it is told: needless, but once", []step{{poll: 9, reads: true}, {base: 7, last: 9}, {poll: 9}}},
		{"another writes just after the poll has looked, and we after it", []step{{poll: 7}, {base: 8, last: 9}, {poll: 7, reads: true}, {poll: 9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHub(nil)
			h.watchers["k"] = map[*watcher]struct{}{}
			h.known = 7
			for i, s := range c.steps {
				if s.last != 0 {
					h.committed(s.base, s.last, nil)
					continue
				}
				if reads := len(h.stale(s.poll)) > 0; reads != s.reads {
					t.Errorf("step %d: reads: %v, want %v", i, reads, s.reads)
				}
			}
		})
	}
}
