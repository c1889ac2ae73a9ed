package proof

import (
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// TestAPrefixWatchTellsAsSoonAsAWatch measures how soon the other host is told of a write: by a
// watch of its prefix, by a watch of its key, and beside these how long the write takes. All three
// are measured on the same writes. The medians count, and the best of three, since the machine may
// be busy.
func TestAPrefixWatchTellsAsSoonAsAWatch(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			here, there := d.ends(t)
			var byKey, byPrefix <-chan backend.Entry
			var err error
			if byKey, err = here.Watch(t.Context(), "told/k"); err != nil {
				t.Fatal(err)
			}
			if byPrefix, err = here.WatchPrefix(t.Context(), "told/"); err != nil {
				t.Fatal(err)
			}
			const writes = 25
			var revision uint64
			for range 3 {
				var writing, key, prefix []time.Duration
				for range writes {
					nextOfKey, nextOfPrefix := make(chan uint64, 1), make(chan uint64, 1)
					toldKey, toldPrefix := make(chan time.Time, 1), make(chan time.Time, 1)
					go func() { toldKey <- await(byKey, nextOfKey) }()
					go func() { toldPrefix <- await(byPrefix, nextOfPrefix) }()
					begun := time.Now()
					if revision, err = there.CompareAndSet(t.Context(), "told/k", revision, []byte("v"), 0); err != nil {
						t.Fatal(err)
					}
					written := time.Now()
					nextOfKey <- revision
					nextOfPrefix <- revision
					k, p := <-toldKey, <-toldPrefix
					if k.IsZero() || p.IsZero() {
						t.Fatal("a watch has ended")
					}
					writing, key, prefix = append(writing, written.Sub(begun)), append(key, k.Sub(begun)), append(prefix, p.Sub(begun))
				}
				w, k, p := median(writing), median(key), median(prefix)
				t.Logf("a write takes %v, is told by a watch of its key after %v, and by one of its prefix after %v", w, k, p)
				if p <= 3*(k+w) {
					return
				}
			}
			t.Error("a watch of a prefix takes longer than three times what a write and a watch of its key take")
		})
	}
}

// await reads until the state at the revision that comes on next, and returns when that was.
func await(states <-chan backend.Entry, next <-chan uint64) time.Time {
	seen := map[uint64]time.Time{}
	var wanted uint64
	for {
		select {
		case e, ok := <-states:
			if !ok {
				return time.Time{}
			}
			seen[e.Revision] = time.Now()
		case wanted = <-next:
			next = nil
		}
		if at, ok := seen[wanted]; wanted != 0 && ok {
			return at
		}
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
