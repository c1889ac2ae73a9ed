package conformance_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// The suite is tested by stores that are known to be broken. Each is put to it in a process of its
// own, this test binary, since it must fail there.
const mutantEnv = "AILEASE_CONFORMANCE_MUTANT"

// TestOneMutant is what such a process runs. Without one it puts a fork without a fault to the
// suite.
func TestOneMutant(t *testing.T) {
	fault := func(*memory.Store, *fork) {}
	if name := os.Getenv(mutantEnv); name != "" {
		conformance.SetSoon(3 * time.Second)
		for _, m := range mutants {
			if m.name == name {
				fault = m.fault
			}
		}
	}
	conformance.Run(t, func(*testing.T) backend.Backend { return newFork(fault) },
		conformance.WithSecondHandle(secondOf), conformance.WithReopen(reopened))
}

// TestEveryMutantIsCaught prints the table that stands in the package's documentation.
func TestEveryMutantIsCaught(t *testing.T) {
	table := make([]string, len(mutants))
	free := make(chan struct{}, 2)
	var wg sync.WaitGroup
	for i, m := range mutants {
		if conformance.Promise(m.caughtBy) == "" {
			t.Fatalf("%s: there is no property %q", m.name, m.caughtBy)
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			out, err := putToTheSuite(t, m)
			if err == nil || !strings.Contains(out, "broken promise: "+conformance.Promise(m.caughtBy)) {
				t.Errorf("%s survived property %q, a bug of the suite: %v\n%s", m.name, m.caughtBy, err, out)
				return
			}
			table[i] = fmt.Sprintf("%-54s %s", m.name, m.caughtBy)
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d mutants written, %d caught:\n%s", len(mutants), len(table), strings.Join(table, "\n"))
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	if want := "//\t" + strings.Join(table, "\n//\t") + "\n"; !strings.Contains(string(doc), want) {
		t.Errorf("the table in doc.go is out of date, it must be:\n%s", want)
	}
}

// putToTheSuite runs the one property that is meant to catch m. The seed is fixed so that the test
// always does the same.
func putToTheSuite(t *testing.T, m mutant) (output string, err error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	property := strings.ReplaceAll(m.caughtBy, " ", "_")
	c := exec.CommandContext(t.Context(), exe, "-test.run=^TestOneMutant$/^"+property+"$", "-test.timeout=60s",
		"-rapid.nofailfile", "-rapid.shrinktime=300ms", "-rapid.seed=1")
	c.Env = append(os.Environ(), mutantEnv+"="+m.name)
	out, err := c.CombinedOutput()
	return string(out), err
}
