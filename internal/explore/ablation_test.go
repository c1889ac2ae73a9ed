package explore

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/internal/patched"
)

// ablation is a rule of the package, the patch that leaves it out, and what the explorer finds
// then.
type ablation struct {
	rule string
	patched.Patch
	row    string
	broken string
}

var ablations = []ablation{
	{
		"a release is stored as such, not as a deadline of now", patched.Patch{
			File: "state.go",
			Old:  "n.State, n.Deadline = stateReleased, now",
			New:  "n.Deadline = now",
		},
		"a lease is released", endIsTold,
	},
	{
		"a takeover keeps how the lease before it ended", patched.Patch{
			File: "state.go",
			Old:  "n.PrevOp, n.Prev = r.Op, r.asPrev()",
			New:  "n.PrevOp = r.Op",
		},
		"a lease is released", outcomeKnown,
	},
	{
		"the end of the lease before is looked at", patched.Patch{
			File: "record.go",
			Old:  "return p != nil && p.LeaseID == c.leaseID && p.State != StateInProgress && p.End == c.outcome()",
			New:  "return false",
		},
		"a lease is released", endIsTold,
	},
	{
		"a refusal is looked into", patched.Patch{
			File: "apply.go",
			Old:  "return c.refused(ctx, w)",
			New:  "s, err := c.load(ctx, storeKey)\n\t\treturn s, wasNotApplied, err",
		},
		"an older input is repeated", nothingAfter,
	},
	{
		"the look into a refusal outlives the caller's context", patched.Patch{
			File: "settle.go",
			Old:  "s, err = c.loadPatiently(ctx, w.storeKey, err)",
			New:  "",
		},
		"Do shares a result", knownError,
	},
	{
		"a refusal that nothing contradicts is believed", patched.Patch{
			File: "settle.go",
			Old:  "case acquires && (notWritten || w.isRetained(r.FirstSeenAt)) && (expiresAfter(r.AcquiredAt) || r.Prev != nil && r.Version > 1 && expiresAfter(r.Prev.AcquiredAt)):",
			New:  "case false && notWritten && expiresAfter(r.AcquiredAt):",
		},
		"two leases follow an acquire", outcomeKnown,
	},
	{
		"an extension that was refused is done again", patched.Patch{
			File: "settle.go",
			Old:  "case refused || r.Version <= n.Version+1 || before(r.writtenAt()):",
			New:  "case r.Version == n.Version || before(r.writtenAt()):",
		},
		"two processes share a lease", outcomeKnown,
	},
	{
		"an extension may have been applied before its lease was taken over", patched.Patch{
			File: "settle.go",
			Old:  "return wasOvertaken // or another's",
			New:  "return wasNotApplied // or another's",
		},
		"an expired lease is taken over", nothingAfter,
	},
	{
		"what was refused while the first write is under way is sent again", patched.Patch{
			File: "settle.go",
			Old:  "err == nil && e.Revision != w.cur.revision",
			New:  "err == nil",
		},
		"a failure is repeated, now for good", outcomeKnown,
	},
	{
		"the same nonce over a released lease is told to wait", patched.Patch{
			File: "state.go",
			Old:  "\t\tcase again:\n\t\t\treturn r, outPolling, nil\n",
			New:  "",
		},
		"a nonce comes back", nonceOnce,
	},
	{
		"the same outcome compares whether a failure is retryable", patched.Patch{
			File: "state_command.go",
			Old:  "\tif retryable {\n\t\tkind = \"failed, retryable\"\n\t}\n",
			New:  "",
		},
		"a failure is repeated, now for good", sameOutcome,
	},
	{
		"a failure that is not retryable stands", patched.Patch{
			File: "state.go",
			Old:  "return r.Retryable && (",
			New:  "return (",
		},
		"Do shares a failure for good", finishedStays,
	},
	{
		"at most once does not begin over released plain work", patched.Patch{
			File: "state.go",
			Old:  "case c.atMostOnce && !r.AtMostOnce && !c.retryFailed:",
			New:  "case false:",
		},
		"at most once after plain work", atMostOnce,
	},
	{
		"at most once does not begin over expired plain work", patched.Patch{
			File: "state.go",
			Old:  "case c.atMostOnce && !c.retryFailed:",
			New:  "case false:",
		},
		"at most once after plain work", atMostOnce,
	},
	{
		"at most once does not begin over failed plain work", patched.Patch{
			File: "state.go",
			Old:  " && (r.AtMostOnce || !c.atMostOnce)",
			New:  "",
		},
		"at most once after a failure", atMostOnce,
	},
	{
		"an at-most-once lease is not taken over once it has expired", patched.Patch{
			File: "state.go",
			Old:  "case r.AtMostOnce && !now.Before(r.Deadline) && !c.retryFailed:",
			New:  "case false:",
		},
		"a lease is held at most once", atMostOnce,
	},
	{
		"an at-most-once lease is not replaced", patched.Patch{
			File: "state.go",
			Old:  "case !c.replace || r.AtMostOnce:",
			New:  "case !c.replace:",
		},
		"at most once is not replaced", atMostOnce,
	},
	{
		"a replacement remembers the nonce that it replaced", patched.Patch{
			File: "state.go",
			Old:  "n.Replaced = append(slices.Clone(r.Replaced), r.call())",
			New:  "n.Replaced = r.Replaced",
		},
		"an older input is repeated", inputStays,
	},
	{
		"a takeover keeps the count of failures", patched.Patch{
			File: "state.go",
			Old:  "n.Failures, n.Checkpoint = r.Failures, r.Checkpoint",
			New:  "n.Checkpoint = r.Checkpoint",
		},
		"failures are counted", failuresCount,
	},
	{
		"a takeover keeps the checkpoint", patched.Patch{
			File: "state.go",
			Old:  "n.Failures, n.Checkpoint = r.Failures, r.Checkpoint",
			New:  "n.Failures = r.Failures",
		},
		"a checkpoint is handed on", checkpoints,
	},
	{
		"an older checkpoint does not replace a newer one", patched.Patch{
			File: "state.go",
			Old:  "case c.checkpointSeq != 0 && c.checkpointSeq <= r.CheckpointSeq:",
			New:  "case false:",
		},
		"checkpoints overtake each other", checkpoints,
	},
	{
		"the limit of failures is part of the command", patched.Patch{
			File: "state.go",
			Old:  "(c.limit == 0 || r.Failures < c.limit) && ",
			New:  "",
		},
		"Do tries again", limitHolds,
	},
	{
		"Do draws a new nonce after each time that it has held", patched.Patch{
			File: "do_acquire.go",
			Old:  "d.acquire.Nonce = newID(\"do_\")",
			New:  "d.acquire.Nonce = cmp.Or(d.acquire.Nonce, newID(\"do_\"))",
		},
		"Do tries again", goesOn,
	},
	{
		"Do waits for the end of its lease to be known", patched.Patch{
			File: "do_end.go",
			Old:  "\tif h.failed == nil {\n\t\treturn Lease{}, false\n\t}\n\treturn *h.failed, h.failed.Retryable && caller.Err() == nil",
			New:  "\treturn h.snapshot(), caller.Err() == nil",
		},
		"Do does not know how its lease ended", endKnown,
	},
	{
		"Do asks with Replace once", patched.Patch{
			File: "do_acquire.go",
			Old:  "d.acquire.RetryFailed, d.acquire.Replace = false, false",
			New:  "d.acquire.RetryFailed = false",
		},
		"Do replaces other input once", replacesOnce,
	},
	{
		"Do asks with RetryFailed once", patched.Patch{
			File: "do_acquire.go",
			Old:  "d.acquire.RetryFailed, d.acquire.Replace = false, false",
			New:  "d.acquire.Replace = false",
		},
		"Do shares a failure for good", finishedStays,
	},
	{
		"Do gives back a lease that came too late for its caller", patched.Patch{
			File: "do_acquire.go",
			Old:  "d.giveBack(ctx, l.LeaseID)",
			New:  "ctx.Err()",
		},
		"the caller of Do goes away", leavesNothing,
	},
	{
		"Do does not call an end lost whose first try was applied", patched.Patch{
			File: "do_end.go",
			Old:  "case unknown && follows(err, &l):",
			New:  "case false && follows(err, &l):",
		},
		"Do tries again", endIsTold,
	},
}

// TestAblation leaves out one rule at a time. Each is there for a reason: without it the explorer
// finds a schedule that breaks what callers are promised.
func TestAblation(t *testing.T) {
	if !*ablate {
		t.Skip("takes a minute or two; CI runs it with -explore.ablate")
	}
	if mostSchedules < 1<<20 {
		t.Skip("under the race detector rows are not explored to the end: without it this test runs")
	}
	for _, a := range ablations {
		t.Run(a.rule, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			row := fmt.Sprintf("^TestEverySchedule$/^%s$", regexp.QuoteMeta(strings.ReplaceAll(a.row, " ", "_")))
			out, err := a.Test(t, "../..", "-run", row, ".")
			if err == nil {
				t.Fatalf("nothing was found\n%s", out)
			}
			found := regexp.MustCompile(`(?m)^ +explore_test\.go:\d+: (.+?): .*\n +after (\d+) schedules`).FindStringSubmatch(out)
			if found == nil {
				t.Fatalf("no rule was broken: %v\n%s", err, out)
			}
			if found[1] != a.broken {
				t.Errorf("the broken rule is %q, not %q\n%s", found[1], a.broken, out)
			}
			t.Logf("without %q the row %q breaks %q after %s schedules; %v", a.rule, a.row, found[1], found[2],
				time.Since(began).Round(100*time.Millisecond))
		})
	}
}
