package sqlite

import (
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/prefixwatch"
)

// TestLookMeetsOwnChanges: whatever the order in which a look and the Store's own changes come, no
// state is told after a later one, and the newest is.
func TestLookMeetsOwnChanges(t *testing.T) {
	type change struct {
		revision uint64 // 0: a deletion
		counter  uint64
	}
	set := func(n uint64) change { return change{n, n} }
	remove := func(n uint64) change { return change{0, n} }
	for _, tt := range []struct {
		name   string
		before []change // committed before the look begins
		during []change // and while it runs
		found  uint64   // at which revision the look finds the key, 0: absent
		asOf   uint64   // the counter that the look finds
		after  []change // told after the look has ended
		told   []uint64
	}{
		{"a change of another", []change{set(5)}, nil, 7, 7, nil, []uint64{5, 7}},
		{"a deletion of another", []change{set(5)}, nil, 0, 7, nil, []uint64{5, 0}},
		{"an own change that the look has seen", nil, []change{set(5)}, 5, 5, nil, []uint64{5}},
		{"an own change that the look has not seen", []change{set(5)}, []change{set(8)}, 5, 7, nil, []uint64{5, 8}},
		{"an own deletion that the look has not seen", []change{set(5)}, []change{remove(8)}, 5, 7, nil, []uint64{5, 0}},
		{"another's change under an own deletion", []change{set(5)}, []change{remove(8)}, 7, 7, nil, []uint64{5, 0}},
		{"another's change after an own deletion", []change{set(5)}, []change{remove(8)}, 9, 9, nil, []uint64{5, 0, 9}},
		{"an own creation that the look has not seen", nil, []change{set(8)}, 0, 7, nil, []uint64{8}},
		{"an own creation that another has deleted", nil, []change{set(8)}, 0, 9, nil, []uint64{8, 0}},
		{"an own change that is told late", []change{set(5)}, nil, 0, 9, []change{set(8)}, []uint64{5, 0}},
		{"an own deletion that is told late", []change{set(5)}, nil, 9, 9, []change{remove(8)}, []uint64{5, 9}},
		{"nothing new", []change{set(5)}, nil, 5, 6, nil, []uint64{5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &prefixWatcher{Feed: prefixwatch.New(""), stands: map[string]uint64{}, looked: true}
			own := func(all []change) {
				for _, c := range all {
					w.own(backend.Entry{Key: "k", Revision: c.revision}, c.counter)
				}
			}
			own(tt.before)
			w.removed = map[string]uint64{}
			own(tt.during)
			var snapshot []backend.Entry
			if tt.found != 0 {
				snapshot = append(snapshot, backend.Entry{Key: "k", Revision: tt.found})
			}
			w.found(snapshot, tt.asOf)
			own(tt.after)
			w.Close()
			var told []uint64
			for e := range w.States() {
				told = append(told, e.Revision)
			}
			if len(told) != len(tt.told) {
				t.Fatalf("told %d, want %d", told, tt.told)
			}
			for i := range told {
				if told[i] != tt.told[i] {
					t.Errorf("told %d, want %d", told, tt.told)
				}
			}
		})
	}
}
