package proof

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
)

var days = flag.Int("proof.days", simulatedDays, "how many days TestDo simulates")

// TestCarelessHostsAreCaught: where clocks differ by more than the hosts know, two functions must
// be found to have a live context.
func TestCarelessHostsAreCaught(t *testing.T) {
	for seed := range uint64(10_000) {
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
	t.Error("nothing was found in 10,000 days")
}

// dayCensus counts what a day has met. Each must be met on some day.
var dayCensus = []struct {
	what  string
	count func(s *Simulation, st *stint, was *story) bool
}{
	{"began after another had on its key", func(_ *Simulation, st *stint, _ *story) bool { return st.attempt > 1 }},
	{"lost the lease", func(_ *Simulation, st *stint, _ *story) bool { return st.lost }},
	{"lost the lease, and did not stop", func(_ *Simulation, st *stint, _ *story) bool { return st.lost && st.until > st.live.to }},
	{"were told to stop, since their caller had gone", func(_ *Simulation, st *stint, _ *story) bool { return st.gone && st.failed && !st.lost }},
	{"left a released lease", func(_ *Simulation, _ *stint, was *story) bool { return was.last.State == released && was.taken == 0 }},
	{"went on where another had released", func(_ *Simulation, _ *stint, was *story) bool { return was.over == released }},
	{"tried a failure again", func(_ *Simulation, _ *stint, was *story) bool { return was.over == failed }},
	{"were replaced by newer input", func(_ *Simulation, _ *stint, was *story) bool { return was.how == "replaced" }},
	{"had their lease forgotten", func(_ *Simulation, _ *stint, was *story) bool { return was.how == "forgotten" }},
	{"had their lease released by hand", func(_ *Simulation, _ *stint, was *story) bool { return was.how == "released by hand" }},
	{"had their lease failed by hand", func(_ *Simulation, _ *stint, was *story) bool { return was.how == "failed by hand" }},
	{"had their deadline set by hand", func(_ *Simulation, _ *stint, was *story) bool { return was.moved > 0 }},
	{"loaded a checkpoint", func(_ *Simulation, st *stint, _ *story) bool { return st.loaded != "" }},
	{"saved one of unknown outcome", func(_ *Simulation, st *stint, _ *story) bool {
		return slices.ContainsFunc(st.saved, func(s save) bool { return !s.acknowledged })
	}},
	{"were at most once", func(_ *Simulation, st *stint, _ *story) bool { return st.opt.AtMostOnce }},
	{"were at most once, after another", func(_ *Simulation, st *stint, _ *story) bool { return st.opt.AtMostOnce && st.attempt > 1 }},
	{"ran within another", func(_ *Simulation, st *stint, _ *story) bool { return st.outer != nil }},
	{"called Do for their own key", func(_ *Simulation, st *stint, _ *story) bool { return st.itself != nil }},
	{"ran on a calm day", func(s *Simulation, _ *stint, _ *story) bool { return s.calm }},
}

// TestDo simulates bad days, and checks what Do promises: see verdict.go.
func TestDo(t *testing.T) {
	var simulated, functions, calls, results, failures atomic.Int64
	met := make([]atomic.Int64, len(dayCensus))
	one := func(t *testing.T, seed uint64) {
		synctest.Test(t, func(t *testing.T) {
			s := &Simulation{Seed: seed}
			if broken := s.Run(); len(broken) > 0 {
				t.Fatalf("replay with -run '^TestDo$' -proof.seed %d\n%v\n%v", seed, broken, s)
			}
			simulated.Add(1)
			functions.Add(int64(len(s.stints)))
			for _, st := range s.stints {
				for i, c := range dayCensus {
					if c.count(s, st, s.found.stories[st.leaseID]) {
						met[i].Add(1)
					}
				}
			}
			calls.Add(int64(len(s.told)))
			for _, c := range s.told {
				if c.err == nil {
					results.Add(1)
				} else if errors.Is(c.err, lease.ErrFailed) {
					failures.Add(1)
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
	t.Logf("%d days simulated in %v: %d calls of Do, of which %d got a result and %d a failure; %d functions run, of which",
		simulated.Load(), time.Since(begun).Round(time.Millisecond), calls.Load(), results.Load(), failures.Load(), functions.Load())
	for i, c := range dayCensus {
		t.Logf("%9d %s", met[i].Load(), c.what)
		if *seed == 0 && met[i].Load() == 0 {
			t.Errorf("no function: %s", c.what)
		}
	}
}
