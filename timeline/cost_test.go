package timeline_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
)

var cost = flag.Bool("timeline.cost", false, "TestCost measures, for some minutes")

// TestCost compares the throughput of lives with a timeline and without, in turns on two stores of
// one kind. An entry is about as much to write as a record is, and a life has two of each. So where
// the processor is all that a life waits for, the timeline is a good part of it: in memory, and on
// a NATS server in this process. On SQLite a life waits for the disk, and entries share their
// transactions.
func TestCost(t *testing.T) {
	if !*cost {
		t.Skip("only with -timeline.cost")
	}
	least := map[string]float64{"memory": 0.4, "sqlite": 0.9, "nats": 0.6}
	each := map[string]int{"memory": 4000, "sqlite": 400, "nats": 1500}
	for _, store := range stores {
		for _, callers := range []int{1, runtime.GOMAXPROCS(0)} {
			t.Run(fmt.Sprintf("%s by %d", store.name, callers), func(t *testing.T) {
				with, without := twoLives(t, store.open)
				var ratios []float64
				for round := range 41 {
					spent := inTurns(t, with, without, callers, each[store.name], round)
					ratios = append(ratios, float64(spent[1])/float64(spent[0]))
				}
				slices.Sort(ratios)
				median := ratios[len(ratios)/2]
				t.Logf("%.2f of the throughput without, the middle half of the rounds from %.2f to %.2f; %d of %d entries dropped",
					median, ratios[len(ratios)/4], ratios[3*len(ratios)/4], with.s.Dropped(), 2*with.n)
				if median < least[store.name] {
					t.Errorf("with a timeline there is %.2f of the throughput, want at least %.2f", median, least[store.name])
				}
				if _, total, err := with.s.Runs(t.Context(), "default", "", 0, 1); err != nil || total == 0 {
					t.Errorf("%d timelines, error %v", total, err)
				}
			})
		}
	}
}
