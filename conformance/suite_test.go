package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
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

// patienceOfMutants is what each step of a mutant is given.
const patienceOfMutants = time.Second

var times = flag.Int("conformance.times", 1, "how often each mutant is put to its property, each time with other cases")

// TestOneMutant is what such a process runs: the property that must find the mutant, and then the
// others, which look at fewer cases. Without a mutant it puts a fork without a fault to the suite.
func TestOneMutant(t *testing.T) {
	run := func(t *testing.T, fault func(*memory.Store, *fork), names []string) {
		conformance.RunOnly(t, names, func(*testing.T) backend.Backend { return newFork(fault) },
			conformance.WithSecondHandle(secondOf), conformance.WithReopen(reopened))
	}
	name := os.Getenv(mutantEnv)
	if name == "" {
		run(t, func(*memory.Store, *fork) {}, conformance.Names())
		return
	}
	i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == name })
	m := mutants[i]
	conformance.SetPatience(patienceOfMutants)
	t.Run("its property", func(t *testing.T) { run(t, m.fault, []string{m.caughtBy}) })
	t.Run("another", func(t *testing.T) {
		flag.Set("rapid.checks", "20")
		others := slices.DeleteFunc(conformance.Names(), func(p string) bool { return p == m.caughtBy || p == "keep" || p == "journal keep" })
		run(t, m.fault, others) // but for those that take seconds
	})
}

// verdict is what the suite says of a mutant.
type verdict struct {
	mutant
	output string
	caught bool     // with the promise of its property
	also   []string // the other properties that fail, if it is meant to fail alone
}

// putToTheSuite runs the suite with m: its property as often as is asked for, and, if m is meant to
// fail alone, the others once.
func putToTheSuite(t *testing.T, m mutant, alone bool) verdict {
	t.Helper()
	v := verdict{mutant: m, caught: true}
	for seed := 1; seed <= *times && v.caught; seed++ {
		tests := "^TestOneMutant$/^its"
		if alone && seed == 1 {
			tests = "^TestOneMutant$"
		}
		out, err := runMutant(t, m.name, seed, "-test.run="+tests, "-rapid.shrinktime=20ms")
		v.output = out
		v.caught = err != nil && failed(out, "its_property", m.caughtBy) &&
			strings.Contains(out, "broken promise: "+conformance.Promise(m.caughtBy)+"\n")
		for _, p := range conformance.Names() {
			if failed(out, "another", p) {
				v.also = append(v.also, p)
			}
		}
	}
	return v
}

// runMutant runs TestOneMutant in a process of its own, with flags. With one seed it always draws
// the same.
func runMutant(t *testing.T, name string, seed int, flags ...string) (output string, err error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	flags = append(flags, "-test.timeout=120s", "-rapid.nofailfile", fmt.Sprint("-rapid.seed=", seed))
	c := exec.CommandContext(t.Context(), exe, flags...)
	c.Env = append(os.Environ(), mutantEnv+"="+name)
	out, err := c.CombinedOutput()
	return string(out), err
}

// failed tells whether the property is named as one that failed.
func failed(output, part, property string) bool {
	path := "TestOneMutant/" + part + "/" + strings.ReplaceAll(property, " ", "_")
	return regexp.MustCompile(`(?m)--- FAIL: ` + regexp.QuoteMeta(path) + ` \(`).MatchString(output)
}

// verdicts are those of all mutants, which the tests share.
var verdicts []verdict

func ofAllMutants(t *testing.T) []verdict {
	t.Helper()
	if verdicts != nil {
		return verdicts
	}
	alone := map[string]bool{}
	for _, p := range contract {
		if len(p.mutants) > 0 {
			alone[p.mutants[0]] = true
		}
	}
	all := make([]verdict, len(mutants))
	free := make(chan struct{}, 8) // much of the time they wait
	var wg sync.WaitGroup
	for i, m := range mutants {
		if conformance.Promise(m.caughtBy) == "" {
			t.Fatalf("%s: there is no property %q", m.name, m.caughtBy)
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			all[i] = putToTheSuite(t, m, alone[m.name])
		})
	}
	wg.Wait()
	verdicts = all
	return all
}

// TestEveryMutantIsCaught prints the tables that stand in the package's documentation.
func TestEveryMutantIsCaught(t *testing.T) {
	tables := map[string][]string{} // by the file that shows them
	n := 0
	for _, v := range ofAllMutants(t) {
		if !v.caught {
			t.Errorf("%s survived property %q, a bug of the suite:\n%s", v.name, v.caughtBy, v.output)
		}
		file := "doc.go"
		if strings.HasPrefix(v.caughtBy, "journal") {
			file = "doc_journal.go"
		}
		tables[file] = append(tables[file], fmt.Sprintf("%-54s %s", v.name, v.caughtBy))
		n++
	}
	if t.Failed() {
		return
	}
	t.Logf("%d mutants written, %d caught, %d of %d times each", len(mutants), n, *times, *times)
	for file, table := range tables {
		t.Logf("%s:\n%s", file, strings.Join(table, "\n"))
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "//\t" + strings.Join(table, "\n//\t") + "\n"; !strings.Contains(string(doc), want) {
			t.Errorf("the table in %s is out of date, it must be:\n%s", file, want)
		}
	}
}
