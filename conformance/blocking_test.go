package conformance_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// TestWhateverFailsIsNamed shows what the suite says of mutants that block, panic, or fail only at
// times: the step, and how it came to that.
func TestWhateverFailsIsNamed(t *testing.T) {
	of := map[string]verdict{}
	for _, v := range ofAllMutants(t) {
		of[v.name] = v
	}
	for _, tt := range []struct {
		mutant string
		says   string // of what went wrong
		step   string // that came before, or is under way
	}{
		{"blocked for ever on a cancelled context", `Get "~k" has not returned for `, `CompareAndSet "~k" expected 0`},
		{"blocked for ever when the context ends", `has not returned for `, `the context`},
		{"two locks, taken in either order", ` has not returned for `, `CompareAndDelete "~of caller `},
		{"list that holds a lock which a writer needs", `CompareAndSet "~stays`, `List "~" yields "~stays`},
		{"list that holds a lock which a list needs", `the next step of List "~stays`, `List "~" yields "~stays`},
		{"list broken off that keeps its lock", `CompareAndSet "~0"`, `the caller breaks List off after `},
		{"close in the loop of a listing blocks", `Close while others write, and a listing runs has not returned for `, `List`},
		{"close waits for a watch that nobody reads", `Close while others write, and a listing runs has not returned for `, `Watch "~k"`},
		{"close that blocks the second time", `Close again has not returned for `, `Get of an absent key -> store closed`},
		{"watch that is silent", `the watch of "~k" has sent nothing for `, `Watch "~k"`},
		{"watch that sends its first state alone", `the watch of "~k" has sent nothing for `, `the watch of "~k" sends `},
		{"watch that holds its writers up", `CompareAndSet "~k" expected `, `Watch "~k"`},
		{"watch that stays open after cancel", `has not closed its channel after its context's end for `, `the context of the watch of "~`},
		{"a panic over a large value", `a call panicked: runtime error: index out of range`, `(1048576 bytes) keep 0s has not returned`},
		{"list that goes on when it is broken off", `a call panicked: `, `the caller breaks List off after `},
		{"a crash after which opening blocks", `the store has not been opened again for `, `the store crashes`},
		{"list that holds a lock which a deletion needs", `CompareAndDelete "~`, `List "~" yields`},
		{"list that holds a lock which a watch needs", `Watch "~stays`, `List "~" yields`},
		{"list broken off by a panic that keeps its lock", `CompareAndSet "~0"`, `by a panic after `},
		{"list that is not begun and holds a lock", `CompareAndSet "~0"`, `takes no step`},
		{"watch that sends its first state for ever", `1001 times, and nothing later`, `Watch "~k"`},
		{"a call that ends its caller's goroutine", `a call has ended its caller's goroutine`, `CompareAndSet "~k" expected 0`},
		{"a key that was contended stays locked", `was a conflict `, `revision conflict`},
		{"unavailable when the context ends, and written later", ` said `, `store unavailable: context `},
	} {
		t.Run(tt.mutant, func(t *testing.T) {
			v, ok := of[tt.mutant]
			if !ok {
				t.Fatal("there is no such mutant")
			}
			_, told, _ := strings.Cut(v.output, "broken promise: "+conformance.Promise(v.caughtBy)+"\n")
			says, steps, ok := strings.Cut(told, "steps")
			if !ok || !strings.Contains(says, tt.says) || !strings.Contains(steps, tt.step) {
				t.Errorf("want %q after the step %q:\n%s", tt.says, tt.step, v.output)
			}
			if m := waitedFor.FindStringSubmatch(says); m != nil {
				waited, longest := duration(t, m[1]), duration(t, m[2])
				if most := max(16*longest, patienceOfMutants) + 100*time.Millisecond; waited > most {
					t.Errorf("told after %v, where the longest took %v: want %v at most:\n%s", waited, longest, most, v.output)
				}
			}
		})
	}
}

var waitedFor = regexp.MustCompile(`for (\S+); the longest of its kind took (\S+) before`)

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFailuresAreShrunk looks at a failure that two writes, each tried twice, are enough for, with
// the time it takes.
func TestFailuresAreShrunk(t *testing.T) {
	out, _ := runMutant(t, "conflict reported but written", 1, "-test.run=^TestOneMutant$/^its", "-rapid.shrinktime=60s")
	_, told, _ := strings.Cut(out, "steps:\n")
	steps, hint, ok := strings.Cut(told, "to repeat it, specify -run=")
	if n := strings.Count(steps, " -> "); !ok || n > 6 {
		t.Errorf("%d steps, want 6 at most, and how to repeat them:\n%s", n, out)
	}
	if !strings.Contains(hint, "-rapid.seed=") {
		t.Errorf("the seed is not told:\n%s", out)
	}
}

const hangsEnv = "AILEASE_CONFORMANCE_HANGS"

// TestAConstructorThatHangs runs itself in another process, which must end by its own doing.
func TestAConstructorThatHangs(t *testing.T) {
	hangs := os.Getenv(hangsEnv)
	if hangs != "" {
		conformance.SetPatience(200 * time.Millisecond)
		conformance.RunOnly(t, []string{"absent"}, func(t *testing.T) backend.Backend {
			if hangs == "opening" {
				select {}
			}
			t.Cleanup(func() { select {} })
			return memory.New()
		})
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for hangs, want := range map[string]string{
		"opening": "TestAConstructorThatHangs/absent: the opening of a store has not returned for 1.2s",
		"cleanup": "TestAConstructorThatHangs/absent: the store's cleanup has not returned for 1.2s",
	} {
		c := exec.CommandContext(t.Context(), exe, "-test.run=^TestAConstructorThatHangs$", "-test.timeout=60s")
		c.Env = append(os.Environ(), hangsEnv+"="+hangs)
		out, err := c.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, want %q:\n%s", err, want, out)
		}
	}
}
