package proof

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/internal/natstest"
)

var (
	seed = flag.Uint64("proof.seed", 0, "replay the one workload with this seed")
	long = flag.Duration("proof.for", 0, "go on with new seeds for this long in each test, instead of the few of the short form")
)

// badDays has some of everything that the contract of a backend allows, and of conflicts that are
// none.
var badDays = conformance.Faults{Refused: 0.03, LostRequest: 0.07, LostAnswer: 0.08, Late: 0.07, Duplicate: 0.05, FalseConflict: 0.04, Delay: 0.3, MaxDelay: 20 * time.Millisecond}

// tally is what a test has done in all.
type tally struct {
	histories, operations, takeovers, unknown, crashes, faults, undecided, kept int

	met map[string]int
}

func (y *tally) add(h *History) {
	y.histories++
	if y.met == nil {
		y.met = map[string]int{}
	}
	for what, n := range Census(h) {
		y.met[what] += n
	}
	y.operations += len(h.Operations)
	y.takeovers += h.Takeovers
	for _, o := range h.Operations {
		if open(&o) {
			y.unknown++
		}
	}
	for kind, n := range h.Injected {
		if kind == "crash" {
			y.crashes += n
		}
		y.faults += n
	}
}

func (y *tally) log(t *testing.T) {
	t.Logf("%d histories, %d operations of which %d with unknown outcome, %d takeovers, %d faults injected, %d of them crashes; %d completions kept",
		y.histories, y.operations, y.unknown, y.takeovers, y.faults, y.crashes, y.kept)
	for _, what := range rare {
		t.Logf("%6d times: %s", y.met[what], what)
	}
	if y.undecided > 0 {
		t.Logf("for %d histories porcupine did not finish in time", y.undecided)
	}
	if y.undecided*100 > y.histories {
		t.Error("too many histories are undecided")
	}
}

// seeds yields those to run: the one that is to be replayed; or n; or, in the long form, as many as
// there is time for, but at least so many.
func seeds(n, least int) func(yield func(uint64) bool) {
	return func(yield func(uint64) bool) {
		if *seed != 0 {
			yield(*seed)
			return
		}
		begun, first := time.Now(), uint64(1)
		if *long > 0 {
			first = uint64(begun.UnixNano())
		}
		if *long == 0 {
			least = n
		}
		for s := first; s < first+uint64(least) || time.Since(begun) < *long; s++ {
			if !yield(s) {
				return
			}
		}
	}
}

// checkFor is for how long porcupine looks at one history. Few take longer, and those take for
// ever.
const checkFor = 5 * time.Second

// check fails the test, with the history of the key in question, if h breaks a promise.
func (y *tally) check(t *testing.T, s uint64, h *History) {
	t.Helper()
	y.add(h)
	broken := CheckInvariants(h.Operations, h.Writes)
	lost, kept := CheckKept(context.Background(), h.Manager, h.Operations)
	broken, y.kept = append(broken, lost...), y.kept+kept
	if len(broken) > 0 {
		t.Fatalf("seed %d (replay with -proof.seed=%d):\n%s\n%s", s, s, strings.Join(broken, "\n"), show(h))
	}
	switch Linearizable(h.again(), checkFor) {
	case porcupine.Illegal:
		t.Fatalf("seed %d (replay with -proof.seed=%d): the history is not linearizable\n%s", s, s, show(h))
	case porcupine.Unknown:
		y.undecided++
	}
}

// show prints the history of each key that is not linearizable by itself, or of all.
func show(h *History) string {
	keys := map[string][]Operation{}
	for _, o := range h.Operations {
		keys[o.Key] = append(keys[o.Key], o)
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if Linearizable(keys[k], time.Second) == porcupine.Ok && Linearizable(h.Operations, time.Second) != porcupine.Ok {
			continue
		}
		slices.SortFunc(keys[k], func(a, b Operation) int { return int(a.Called - b.Called) })
		for _, o := range keys[k] {
			fmt.Fprintf(&b, "  %v\n", &o)
		}
		for _, w := range h.Writes {
			if strings.HasSuffix(w.Key, "/"+k) {
				fmt.Fprintf(&b, "  revision %d by #%d: %s %s version %d until %s\n", w.Revision, w.By.Operation, w.Record.State, short(w.Record.LeaseID), w.Record.Version, clockTime(w.Record.Deadline))
			}
		}
	}
	return b.String()
}

// TestMemory runs in bubbles, where delays, retries and patience take no time.
func TestMemory(t *testing.T) {
	var y tally
	for s := range seeds(400, 0) {
		var h *History
		synctest.Test(t, func(t *testing.T) {
			var err error
			w := Workload{Seed: s, Clients: 4, Keys: 3, Each: 25, Faults: badDays, Hurry: 50 * time.Millisecond}
			if s%4 == 0 { // so bad that settling gives up
				w.Each = 10 // what is unknown makes the check hard
				w.Faults = conformance.Faults{LostRequest: 0.3, LostAnswer: 0.27, Late: 0.27, MaxDelay: 10 * time.Second}
			}
			if h, err = w.Do(NewRecorder(memory.New())); err != nil {
				t.Fatal(err)
			}
		})
		y.check(t, s, h)
	}
	y.log(t)
	if *seed == 0 && (y.takeovers < y.histories || y.unknown == 0) {
		t.Error("too little happened to prove anything")
	}
	for _, what := range rare {
		if *seed == 0 && y.met[what] == 0 {
			t.Errorf("it never happened that %s", what)
		}
	}
}

// TestSQLite crashes the store and reopens it from what a crash leaves.
func TestSQLite(t *testing.T) {
	t.Parallel()
	var y tally
	for s := range seeds(40, 0) {
		store, path := openSQLite(t, "")
		w := Workload{Seed: s, Clients: 6, Keys: 3, Each: 25, Faults: badDays, Hurry: 5 * time.Millisecond}
		w.Faults.MaxDelay = 2 * time.Millisecond
		w.Disturb = func(f *conformance.Faulty, r *Recorder) {
			f.Crash(func(crashed backend.Backend) backend.Backend {
				r.underWay.Wait() // for writes that nobody waits for any more: the copy would miss them, or have half of one
				store, path = openSQLite(t, path)
				r.Replace(store)
				return r
			})
		}
		h, err := w.Do(NewRecorder(store))
		if err != nil {
			t.Fatal(err)
		}
		y.check(t, s, h)
	}
	y.log(t)
}

// openSQLite opens a new file, or a copy of the one at crashed, with its log, taken as it stands.
func openSQLite(t *testing.T, crashed string) (backend.Backend, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leases.db")
	if crashed != "" {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(crashed + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := sqlite.Open(context.Background(), path, sqlite.WithSynchronous(sqlite.Normal))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func TestNATS(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]func(t *testing.T) (url string, replicas int){
		"alone":   func(t *testing.T) (string, int) { return natstest.Alone(t).ClientURL(), 1 },
		"cluster": func(t *testing.T) (string, int) { return natstest.StartCluster(t).URL(), 3 },
	} {
		t.Run(name, func(t *testing.T) {
			url, replicas := setup(t)
			var y tally
			var bucket atomic.Int64
			for s := range seeds(15, 0) {
				store, err := natskv.Open(t.Context(), url, natskv.WithReplicas(replicas), natskv.WithBucket(fmt.Sprint("b", bucket.Add(1))))
				if err != nil {
					t.Fatal(err)
				}
				w := Workload{Seed: s, Clients: 6, Keys: 3, Each: 25, Faults: badDays, Hurry: 5 * time.Millisecond}
				w.Faults.MaxDelay = 2 * time.Millisecond
				h, err := w.Do(NewRecorder(store))
				if err != nil {
					t.Fatal(err)
				}
				y.check(t, s, h)
				store.Close()
			}
			y.log(t)
		})
	}
}

// TestStaleReadsAreCaught: a fault that no backend may have must be found, or the search finds
// nothing.
func TestStaleReadsAreCaught(t *testing.T) {
	for s := uint64(1); s < 50; s++ {
		var h *History
		synctest.Test(t, func(t *testing.T) {
			var err error
			w := Workload{Seed: s, Clients: 4, Keys: 1, Each: 20, Faults: conformance.Faults{Stale: 0.3, Delay: 0.3}}
			if h, err = w.Do(NewRecorder(memory.New())); err != nil {
				t.Fatal(err)
			}
		})
		if Linearizable(h.Operations, 10*time.Second) == porcupine.Illegal {
			return
		}
	}
	t.Error("no history with stale reads was found not to be linearizable")
}

// careless is a store whose compare-and-set does not compare.
type careless struct{ *memory.Store }

func (c careless) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if e, err := c.Store.Get(ctx, key); err == nil {
		expected = e.Revision
	}
	return c.Store.CompareAndSet(ctx, key, expected, value, keep)
}

// TestACarelessStoreIsCaught by the invariants, by name.
func TestACarelessStoreIsCaught(t *testing.T) {
	var all Broken
	for s := uint64(1); s < 10; s++ {
		synctest.Test(t, func(t *testing.T) {
			w := Workload{Seed: s, Clients: 4, Keys: 1, Each: 20, Faults: conformance.Faults{Delay: 0.3}}
			h, err := w.Do(NewRecorder(careless{memory.New()}))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, CheckInvariants(h.Operations, h.Writes)...)
			lost, _ := CheckKept(context.Background(), h.Manager, h.Operations)
			all = append(all, lost...)
		})
	}
	found := strings.Join(all, "\n")
	for _, what := range []string{"two holders", "version", "acquired again after it was", "completed as"} {
		if !strings.Contains(found, what) {
			t.Errorf("nothing was found of %q in:\n%s", what, found)
		}
	}
}
