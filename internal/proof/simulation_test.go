package proof

import (
	"flag"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var days = flag.Int("proof.days", simulatedDays, "how many days TestDo simulates")

// TestCarelessHostsAreCaught: where clocks differ by more than the hosts know, two functions must be found to have a live context.
func TestCarelessHostsAreCaught(t *testing.T) {
	for seed := range uint64(1000) {
		var broken Broken
		synctest.Test(t, func(t *testing.T) {
			s := &Simulation{Seed: seed, Careless: true}
			broken = s.Run()
		})
		if strings.Contains(strings.Join(broken, "\n"), "two functions with a live context") {
			t.Logf("day %d: %v", seed, broken)
			return
		}
	}
	t.Error("nothing was found in 1000 days")
}

// TestDo simulates bad days, and checks that no two functions ever had a live context for the same key, and that all were told the same.
func TestDo(t *testing.T) {
	var simulated, stints, later, lost, results atomic.Int64
	one := func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			s := &Simulation{Seed: seed}
			if broken := s.Run(); len(broken) > 0 {
				t.Fatalf("replay with -run '^TestDo$' -proof.seed %d\n%v\n%v", seed, broken, s)
			}
			simulated.Add(1)
			stints.Add(int64(len(s.stints)))
			for _, st := range s.stints {
				if st.lost {
					lost.Add(1)
				}
				if st.attempt > 1 {
					later.Add(1)
				}
			}
			for _, a := range s.told {
				if a.err == nil {
					results.Add(1)
				}
			}
		})
	}
	begun := time.Now()
	t.Run("days", func(t *testing.T) {
		shards := uint64(runtime.GOMAXPROCS(0))
		for shard := range shards {
			t.Run(fmt.Sprint(shard), func(t *testing.T) {
				t.Parallel()
				for seed := range seeds(*days, 1000) {
					if seed%shards == shard {
						one(t, seed)
					}
				}
			})
		}
	})
	t.Logf("%d days simulated in %v: %d functions run, %d of them after another had begun on the key, %d lost the lease; %d calls got a result",
		simulated.Load(), time.Since(begun).Round(time.Millisecond), stints.Load(), later.Load(), lost.Load(), results.Load())
	if *seed == 0 && (lost.Load() == 0 || later.Load() == 0) {
		t.Error("nothing was lost or taken over: these days were too good to show anything")
	}
}
