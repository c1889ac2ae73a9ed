package timeline_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/natstest"
)

var cost = flag.Bool("timeline.cost", false, "TestCost measures, for a minute and a half")

// TestCost compares the throughput of lives with a timeline and without, in turns on two stores of
// one kind, by callers who do nothing else. The rate at which entries are taken bounds the cost.
// The bucket fills up while the lives without a timeline have their turn. So entries are taken at
// twice the rate here.
func TestCost(t *testing.T) {
	if !*cost {
		t.Skip("takes a minute and a quiet machine: run it with -timeline.cost")
	}
	const (
		least = 0.9
		turn  = 20 * time.Millisecond
		whole = 9 * time.Second
	)
	for _, store := range costStores {
		for _, callers := range []int{1, runtime.GOMAXPROCS(0)} {
			t.Run(fmt.Sprintf("%s by %d", store.name, callers), func(t *testing.T) {
				begin := time.Now()
				with, without := twoLives(t, store.open)
				with.run(t, callers, 4096) // the first of them find the bucket full
				each := 16
				for without.run(t, callers, each) < turn {
					each *= 2
				}
				noted, dropped, since := with.n, with.s.Dropped(), time.Now()
				var ratios []float64
				for time.Since(begin) < whole || len(ratios) < 15 {
					runtime.GC() // so that none falls into one turn and not into the other
					first, second := inTurns(t, with, without, callers, each, 0), inTurns(t, with, without, callers, each, 1)
					ratios = append(ratios, float64(first[1]+second[1])/float64(first[0]+second[0]))
				}
				noted, dropped = 2*(with.n-noted), with.s.Dropped()-dropped
				slices.Sort(ratios)
				median := ratios[len(ratios)/2]
				t.Logf("%.2f of the throughput without, the middle half of %d rounds from %.2f to %.2f; %d of %d entries dropped, %.0f a second written",
					median, len(ratios), ratios[len(ratios)/4], ratios[3*len(ratios)/4], dropped, noted, float64(uint64(noted)-dropped)/time.Since(since).Seconds())
				if median < least {
					t.Errorf("with a timeline there is %.2f of the throughput, want at least %.2f", median, least)
				}
				if _, total, err := with.s.Runs(t.Context(), "default", "", 0, 1); err != nil || total == 0 {
					t.Errorf("%d timelines, error %v", total, err)
				}
			})
		}
	}
}

// costStores are the stores, and the one that has a choice with both.
var costStores = append(slices.Clone(stores), struct {
	name string
	open func(t testing.TB) backend.Backend
}{"nats, synced always", func(t testing.TB) backend.Backend {
	defer func(before bool) { natstest.SyncAlways = before }(natstest.SyncAlways)
	natstest.SyncAlways = true
	return stores[2].open(t)
}})
