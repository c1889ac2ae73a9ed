package runs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ailease/lease/internal/patched"
)

// ablation is a rule of the protocol, the patch that leaves it out, the row in which the explorer
// finds what goes wrong then, and the promise that is broken. Or the row is a test that fails then.
type ablation struct {
	rule string
	patched.Patch
	row    string
	broken string
}

const (
	startGo = "runs/start.go"
	lookGo  = "runs/look.go"
	clearGo = "runs/clear.go"
	runGo   = "run_state.go"
)

var ablations = []ablation{
	// Start
	{"start: the marker is written before the record",
		patched.Patch{File: startGo, Old: "if err := mark(ctx, s, key, s.Now().Add(min(r.Delay, r.Within))); err != nil {", New: "if err := ctx.Err(); err != nil {"},
		"a start dies", found},
	{"start: the marker always gets a new revision",
		patched.Patch{File: startGo, Old: "			earlier = m.due\n", New: "			earlier = m.due\n		}\n		if m.revision != 0 && !due.Before(m.due) {\n			return nil\n"},
		"a run is canceled, and something fails", found},
	{"start: the marker keeps the earlier due time",
		patched.Patch{File: startGo, Old: "if m.revision != 0 && m.due.Before(due) {", New: "if false {"},
		"one start is delayed", notLate},
	{"start: a conflict begins again with the record and the marker",
		patched.Patch{File: startGo, Old: "		case moved:\n", New: "		case moved:\n			if sight, err = s.Look(ctx, key); err == nil {\n				if writes, _, _ := s.WouldStart(sight, r); writes {\n					_, _, _ = s.Start(ctx, sight, r)\n				}\n			}\n"},
		"a start dies", found},
	// A worker
	{"worker: a look that ends without a claim sets the next one",
		patched.Patch{File: lookGo, Old: "		if s.Now().Before(sight.Next) && sight.ClaimID != id {\n			return looked{next: sight.Next}, nil", New: "		if s.Now().Before(sight.Next) {\n			return looked{}, nil"},
		"a worker dies", found},
	{"worker: nobody claims before the due time",
		patched.Patch{File: runGo, Old: "	at := r.Run.Due\n", New: "	at := now\n"},
		"an attempt fails, and the next one waits", notEarly},
	{"worker: a marker is deleted at the revision that was known before the end",
		patched.Patch{File: clearGo, Old: "		return deleteMarker(ctx, s, c.marker)\n", New: "		m, _ := loadMarker(ctx, s, c.marker.key)\n		return deleteMarker(ctx, s, m)\n"},
		"a run ends while the next one begins", found},
	{"worker: the record under a marker without a run is fenced",
		patched.Patch{File: clearGo, Old: "if moved, err := s.Fence(ctx, sight); err != nil || moved {", New: "if moved, err := false, error(nil); err != nil || moved {"},
		"a start dies", found},
	{"worker: a fence that comes too late looks again",
		patched.Patch{File: clearGo, Old: "if moved, err := s.Fence(ctx, sight); err != nil || moved {", New: "if moved, err := s.Fence(ctx, sight); err != nil && moved {"},
		"a start dies", found},
	{"worker: an absent record is fenced too",
		patched.Patch{File: clearGo, Old: "	if moved, err := s.Fence(ctx, sight); err != nil || moved {", New: "	if sight.Standing == runlink.Absent {\n	} else if moved, err := s.Fence(ctx, sight); err != nil || moved {"},
		"a start dies", found},
	{"worker: an ended record is fenced too",
		patched.Patch{File: "run_steps.go", Old: "	_, err = m.backend.CompareAndSet(ctx, storeKey, s.revision,", New: "	if s.revision != 0 {\n		return false, nil\n	}\n	_, err = m.backend.CompareAndSet(ctx, storeKey, s.revision,"},
		"a start over a failed run dies", found},
	{"worker: the fence comes before the deletion",
		patched.Patch{File: clearGo, Old: "	if moved, err := s.Fence(ctx, sight); err != nil || moved {\n		return moved, err\n	}\n	return false, deleteMarker(ctx, s, m)\n", New: "	if err := deleteMarker(ctx, s, m); err != nil {\n		return false, err\n	}\n	return s.Fence(ctx, sight)\n"},
		"a start dies", found},
	{"worker: a marker over no run is deleted at the revision that was listed",
		patched.Patch{File: clearGo, Old: "	return false, deleteMarker(ctx, s, m)\n", New: "	m, _ = loadMarker(ctx, s, m.key)\n	return false, deleteMarker(ctx, s, m)\n"},
		"a start dies", found},
	{"worker: a marker over no run is cleared",
		patched.Patch{File: clearGo, Old: "	return false, deleteMarker(ctx, s, m)\n", New: "	return false, nil\n"},
		"a start dies", noOrphans},
	{"worker: a marker over a lease by hand is left",
		patched.Patch{File: lookGo, Old: "		case runlink.Held: // by hand, and none of a worker's business until that ends\n			return looked{next: sight.Next}, nil", New: "		case runlink.Held:\n			return looked{}, deleteMarker(ctx, s, m)"},
		"by hand before, and the clock of the start is ahead", found},
	{"worker: a marker is never moved beyond the due time of its run",
		patched.Patch{File: clearGo, Old: "writeMarker(ctx, s, c.marker, sight.Due)", New: "writeMarker(ctx, s, c.marker, sight.Until)"},
		"an attempt is released", notLate},
	// Claims
	{"claims: a run that is canceled keeps the claim over which it ended",
		patched.Patch{File: runGo, Old: "	n.Run = new(*n.Run)\n	n.Run.remember(r)\n	n.keepRun(c)\n	return n, outChanged, nil", New: "	n.keepRun(c)\n	return n, outChanged, nil"},
		"a run is canceled", oneLive},
	{"claims: a new start keeps it too",
		patched.Patch{File: runGo, Old: "	n.Run.remember(r)\n	n.keepRun(c)\n}\n\n// remember", New: "	n.keepRun(c)\n}\n\n// remember"},
		"a run is canceled", oneLive},
	{"claims: so does a run that takes the place of another",
		patched.Patch{File: runGo, Old: "	case r.State == StateInProgress:\n		n.StoppingID, n.StoppingUntil = r.LeaseID, r.Deadline\n", New: "	case r.State == StateInProgress:\n"},
		"a run is replaced", oneLive},
	{"claims: nobody claims before that claim is over",
		patched.Patch{File: runGo, Old: `	if r.Run.StoppingID != "" {`, New: "	if false {"},
		"a run is canceled", oneLive},
	{"claims: nor does anybody by hand",
		patched.Patch{File: "state.go", Old: "	case r.stops(now, c.skew):", New: "	case false:"},
		"by hand in between", oneLive},
	{"claims: one that stands is not taken over",
		patched.Patch{File: runGo, Old: "		return r.Deadline.Add(skew)\n	}\n	at", New: "		return now\n	}\n	at"},
		"a worker dies", oneLive},
	{"claims: one that ran out counts as a failure",
		patched.Patch{File: runGo, Old: "		n.Failures++\n", New: ""},
		"a run kills its worker", limited},
	{"claims: the one that is one failure too many ends the run",
		patched.Patch{File: runGo, Old: "case r.State == StateInProgress && r.Run.Attempts > 0 && n.Failures >= r.Run.Attempts:", New: "case false:"},
		"a run kills its worker", limited},
	{"claims: so does a failed attempt",
		patched.Patch{File: runGo, Old: "	case n.Run.Attempts > 0 && n.Failures >= n.Run.Attempts:", New: "	case false:"},
		"the last attempt fails", limited},
	{"claims: what is at most once is not taken over",
		patched.Patch{File: runGo, Old: "r.State == StateInProgress && (r.AtMostOnce || r.Deadline.After(r.Run.Until)):", New: "r.State == StateInProgress && r.Deadline.After(r.Run.Until):"},
		"at most once", limited},
	{"claims: that it ran out is written one TTL later",
		patched.Patch{File: runGo, Old: "return over.Add(r.TTL + skew)", New: "return over.Add(skew)"},
		"at most once", accepted},
	// By hand
	{"by hand: an acquire over an unfinished run is polling, whatever the time",
		patched.Patch{File: runGo, Old: "	case c.start == nil:\n		return r, outPolling, nil\n", New: "	case c.start == nil:\n		return r.successor(c, now), outTookOver, nil\n"},
		"by hand in between", found},
	// What needs more than the explorer's world: a named test shows it.
	{"start and status: a missing marker of an overdue run is rewritten",
		patched.Patch{File: startGo, Old: "	if err == nil && m.revision == 0 {\n		_, err = writeMarker(ctx, s, m, sight.Next)", New: "	if false {\n		_, err = writeMarker(ctx, s, m, sight.Next)"},
		"TestMissingMarkerOfAnOverdueRunIsRewritten", ""},
	{"claims: an extension by the ticket changes nothing",
		patched.Patch{File: runGo, Old: "		return r, outRepeated, nil // acknowledged", New: "		return r.extended(c, now), outChanged, nil // acknowledged"},
		"TestRunTable", ""},
	{"claims: an ended record keeps the claim that ended it",
		patched.Patch{File: "state.go", Old: "	case r.outcome() == c.outcome():", New: "	case false:"},
		"TestRunTable", ""},
	{"claims: the clock skew of that claim passes too",
		patched.Patch{File: runGo, Old: "at = later(at, r.Run.StoppingUntil.Add(skew))", New: "at = later(at, r.Run.StoppingUntil)"},
		"TestRunTable", ""},
	{"claims: or its worker has written that it stopped",
		patched.Patch{File: runGo, Old: "case c.verb == verbRelease && r.Run.StoppingID == c.leaseID:", New: "case false:"},
		"TestACancellationReachesTheWorker", ""},
	{"claims: the record is kept until the deadline of the whole and its retention",
		patched.Patch{File: runGo, Old: "		last = later(n.Run.Until, n.Deadline)\n", New: "		last = n.Deadline\n"},
		"TestWhatARunKeeps", ""},
	{"claims: the deadline of the whole ends the run",
		patched.Patch{File: runGo, Old: "	case over:\n", New: "	case false:\n"},
		"TestRunTable", ""},
}

// ofMachine are the tests that stand beside the machine.
var ofMachine = []string{"TestRunTable", "TestWhatARunKeeps"}

// TestAblation leaves out one rule at a time, and expects that the explorer finds a run that is
// lost, late, early or done twice.
func TestAblation(t *testing.T) {
	if !*ablate {
		t.Skip("takes minutes; CI runs it with -runs.ablate")
	}
	var mu sync.Mutex
	table := make([]string, len(ablations))
	t.Run("rules", func(t *testing.T) {
		for i, a := range ablations {
			t.Run(a.rule, func(t *testing.T) {
				if strings.HasPrefix(a.row, "Test") {
					folder := "."
					if slices.Contains(ofMachine, a.row) {
						folder = ".."
					}
					out, err := a.Test(t, "..", "-run", "^"+a.row+"$", folder)
					if err == nil || !strings.Contains(out, "--- FAIL: "+a.row) {
						t.Fatalf("%s passes: %v\n%s", a.row, err, out)
					}
					mu.Lock()
					defer mu.Unlock()
					table[i] = fmt.Sprintf("without %-78s %s fails", `"`+a.rule+`"`, a.row)
					return
				}
				row := fmt.Sprintf("^TestEveryScheduleOfTheProtocol$/^%s$", regexp.QuoteMeta(strings.ReplaceAll(a.row, " ", "_")))
				out, err := a.Test(t, "..", "-run", row, ".")
				if err == nil {
					t.Fatalf("nothing was found in %q\n%s", a.row, out)
				}
				m := regexp.MustCompile(`(?m)^ +explore_test\.go:\d+: (.+)\n +after (\d+) schedules`).FindStringSubmatch(out)
				if m == nil {
					t.Fatalf("no rule was broken: %v\n%s", err, out)
				}
				if !strings.HasPrefix(m[1], a.broken) {
					t.Errorf("what is broken is %q, not %q\n%s", m[1], a.broken, out)
				}
				mu.Lock()
				defer mu.Unlock()
				table[i] = fmt.Sprintf("without %-78s %6s schedules: %s", `"`+a.rule+`"`, m[2], m[1])
			})
		}
	})
	t.Logf("\n%s", strings.Join(table, "\n"))
}
