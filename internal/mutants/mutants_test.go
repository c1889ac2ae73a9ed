// Package mutants has no code but its test: the tests of package lease against copies of it that
// are broken on purpose. A test that no mutant fails would prove nothing.
package mutants

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/internal/patched"
)

var run = flag.Bool("mutants", false, "run TestMutants, which compiles a broken copy of package lease for each row")

// mutants are broken copies of package lease, each with the test that has to fail.
var mutants = []struct {
	name string
	patched.Patch
	caughtBy string
}{
	{"the work is never run",
		patched.Patch{File: "do.go", Old: "value, err := work(h.ctx)", New: "value, err := none, error(nil)"},
		"TestCallersWithOneKeyShareOneRun"},
	{"the first caller gets the value as it was, not as it was stored",
		patched.Patch{File: "encode.go", Old: "return encoded, result, l.decode(&result)", New: "_ = l\n\treturn encoded, value, nil"},
		"TestEveryCallerGetsWhatWasStored"},
	{"progress drops the metadata",
		patched.Patch{File: "state.go", Old: "n.Progress = c.progress", New: "n.Progress, n.Metadata = c.progress, nil"},
		"TestWhatEachStepKeepsAndDrops"},
	{"a shortened lease is given up",
		patched.Patch{File: "do_keep.go", Old: "if h.term.shortened(now, n.rec.Deadline, n.rec.TTL, n.rec.Version) {", New: "if h.lose(ErrLost); h.term.shortened(now, n.rec.Deadline, n.rec.TTL, n.rec.Version) {"},
		"TestShortenedByAnother"},
	{"a watch stops after one state",
		patched.Patch{File: "wait.go", Old: "more = yield(l, nil)\n\t\t\treturn more", New: "more = yield(l, nil)\n\t\t\treturn false"},
		"TestWatchYieldsEachState"},
	{"a release leaves the deadline",
		patched.Patch{File: "state.go", Old: "n.State, n.Deadline = stateReleased, now", New: "n.State = stateReleased"},
		"TestWhatEachStepKeepsAndDrops"},
	{"a replacement keeps the token",
		patched.Patch{File: "state.go", Old: "n.Replaced = append(slices.Clone(r.Replaced), r.call())", New: "n.Token = r.Token\n\tn.Replaced = append(slices.Clone(r.Replaced), r.call())"},
		"TestReplace"},
	{"a replacement forgets whom it replaced",
		patched.Patch{File: "state.go", Old: "n.Replaced = append(slices.Clone(r.Replaced), r.call())", New: "n.Replaced = slices.Clone(r.Replaced)"},
		"TestReplacedNoncesDoNotComeBack"},
	{"a failure is not shared",
		patched.Patch{File: "do_acquire.go", Old: "d.limit = failures + max(1, d.Attempts)", New: "d.limit = failures + 2"},
		"TestAFailureIsSharedByThoseWhoWait"},
	{"a checkpoint of a holder who was fenced off overwrites its successor's",
		patched.Patch{File: "state.go", Old: "case r.LeaseID != c.leaseID:\n\t\treturn r, 0, errOther(r)\n\tcase r.State == stateReleased:\n\t\treturn r, 0, errReleased(r)\n\tcase c.checkpointSeq", New: "case r.LeaseID != c.leaseID && c.checkpoint == nil:\n\t\treturn r, 0, errOther(r)\n\tcase c.checkpointSeq"},
		"TestACheckpointGoesFromHolderToHolder"},
	{"a checkpoint is lost with its holder",
		patched.Patch{File: "state.go", Old: "n.Failures, n.Checkpoint = r.Failures, r.Checkpoint", New: "n.Failures = r.Failures"},
		"TestACheckpointOutlivesItsHolder"},
	{"a permanent failure is tried again",
		patched.Patch{File: "state.go", Old: "return r.Retryable && (c.limit == 0", New: "return (c.limit == 0"},
		"TestWhetherAFailureStands"},
	{"at most once is taken over",
		patched.Patch{File: "state.go", Old: "case r.AtMostOnce && !now.Before(r.Deadline) && !c.retryFailed:", New: "case false:"},
		"TestStateTable"},
	{"at most once begins over half-done work",
		patched.Patch{File: "state.go", Old: "case c.atMostOnce && !c.retryFailed:", New: "case false:"},
		"TestAtMostOnceAndWhatWasHalfDone"},
	{"the nonce means nothing",
		patched.Patch{File: "state.go", Old: "again := c.nonce != \"\" && c.nonce == r.Nonce", New: "again := false"},
		"TestNonceMakesAcquireRepeatable"},
	{"every attempt has the nonce of the first",
		patched.Patch{File: "do_acquire.go", Old: "d.acquire.Nonce = newID(\"do_\")", New: "d.acquire.Nonce = cmp.Or(d.acquire.Nonce, newID(\"do_\"))"},
		"TestEachAttemptHasANonceOfItsOwn"},
	{"a caller who has gone fails the lease",
		patched.Patch{File: "do_end.go", Old: "case gone && (!h.AtMostOnce || v.mark == retryable):", New: "case false:"},
		"TestACallerWhoseContextEndsReleases"},
	{"Finish means nothing",
		patched.Patch{File: "do_keep.go", Old: "if d.Finish {", New: "if false {"},
		"TestFinish"},
	{"Grace means nothing",
		patched.Patch{File: "do_term.go", Old: "if grace > 0 {", New: "if false {"},
		"TestTermTable"},
	{"observers are called on the path of the operation",
		patched.Patch{File: "events.go", Old: "c.enqueue(kept, e, nil)", New: "_ = kept\n\tfor _, observe := range c.observers {\n\t\tobserve(*e)\n\t}"},
		"TestABlockedObserverDelaysNothing"},
	{"a result that comes past the deadline is refused",
		patched.Patch{File: "state.go", Old: "case r.State == StateInProgress: // also past the deadline", New: "case r.State == StateInProgress && now.Before(r.Deadline): // also past the deadline"},
		"TestLateHolderIsAcceptedIfNobodyTookOver"},
	{"the retention of the lease means nothing",
		patched.Patch{File: "record.go", Old: "if r.Retention > 0 {", New: "if false {"},
		"TestRetentionOfALease"},
	{"a closed store is asked again",
		patched.Patch{File: "do_end.go", Old: "func isClosed(err error) bool { return errors.Is(err, backend.ErrClosed) }", New: "func isClosed(err error) bool { return err == backend.ErrClosed }"},
		"TestAStoreThatIsClosed"},
	{"a refusal is believed at once",
		patched.Patch{File: "apply.go", Old: "return c.refused(ctx, w)", New: "s, err := c.load(ctx, storeKey)\n\t\treturn s, wasNotApplied, err"},
		"TestWritesAgainstOthers"},
	{"nested keys find the token of the innermost lease",
		patched.Patch{File: "context.go", Old: "if l.Key != key {\n\t\t\tcontinue\n\t\t}", New: ""},
		"TestNestedLeases"},
}

// TestMutants runs, for each mutant, the one test that has to fail with it.
func TestMutants(t *testing.T) {
	if !*run {
		t.Skip("takes a minute; CI runs it with -mutants")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			out, err := m.Test(t, "../..", "-timeout", "60s", "-run", "^"+m.caughtBy+"$", "../..")
			switch {
			case err == nil:
				t.Fatalf("%s does not notice it\n%s", m.caughtBy, out)
			case !strings.Contains(out, "--- FAIL: "+m.caughtBy) && !strings.Contains(out, "panic: test timed out"):
				t.Fatalf("%s did not run: %v\n%s", m.caughtBy, err, out)
			}
			t.Logf("%s: caught by %s, in %v", m.name, m.caughtBy, time.Since(began).Round(100*time.Millisecond))
		})
	}
}
