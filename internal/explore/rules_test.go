package explore

import (
	"bytes"
	"context"
	"fmt"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// violation is a broken rule.
type violation struct{ rule, detail string }

func (v *violation) Error() string { return v.rule + ": " + v.detail }

// The rules. Those of writes are checked in rules_write_test.go, those of what operations return in
// rules_return_test.go, and those of Do in rules_do_test.go.
const (
	oneHolder      = "at most one holder before its deadline"
	tokensGrow     = "the fencing token is the revision of the acquiring write, and stays"
	versionsGrow   = "the version grows by one with each accepted change"
	finishedStays  = "what is finished is not changed, and is acquired again only if asked to"
	releasedOpens  = "a released lease is open to the next at once"
	retryableOpens = "a retryable failure is open to the next at once"
	nonceOnce      = "a nonce gets one lease, and another only if that expired"
	atMostOnce     = "what is at most once begins over no half-done work, and is not taken over or replaced"
	inputStays     = "other input needs Replace, and what was replaced does not come back"
	failuresCount  = "every failure is counted, and kept by the next lease"
	checkpoints    = "a checkpoint is its holder's alone, and the next attempt finds it"
	appliedOnce    = "no operation is applied twice, and what returned success is applied"
	sameOutcome    = "a success without a write repeats an outcome that was written"
	nothingAfter   = "an error other than ErrUnknownOutcome promises that nothing was written, nor will be"
	endIsTold      = "an end that was applied is told as success, or unknown once two leases have followed"
	outcomeKnown   = "an outcome is unknown only if it cannot be known"
	toldStood      = "a lease that was told stood in the store while the call was under way"
	resultStays    = "an acknowledged completion stays readable, with its result"
	knownError     = "an operation returns only errors that it documents, and none where nothing went wrong"
	workIsHeld     = "a function begins only while its lease stands, and once for each lease"
	endKnown       = "Do goes on only once the end of the lease that it held is known"
	limitHolds     = "no attempt begins once Attempts failures have come since the first look"
	goesOn         = "Do returns a retryable failure only once Attempts failures have come"
	replacesOnce   = "Do replaces other input once, never after it has looked"
	leavesNothing  = "Do leaves no lease in progress behind, unless the store is away"
	sharesTheEnd   = "Do returns how a lease of its key ended"
	comesToAnEnd   = "every operation comes to an end, unless another holds the lease"
)

func broke(rule, format string, args ...any) error {
	return &violation{rule, fmt.Sprintf(format, args...)}
}

// names is the operation of w in the words of a schedule.
func (w *worker) names(at int) string { return fmt.Sprintf("m%d %s", w.id+1, w.program[at].text) }

// forgotten tells whether w reads as absent now.
func (r *run) forgotten(w *written) bool {
	return w == nil || !r.clock.Now().Before(w.rec().KeepUntil)
}

// checkCompletions looks for every acknowledged completion in what stands, until its retention is
// over or other input replaces it.
func (r *run) checkCompletions() error {
	now := r.store.standing()
	for _, w := range r.workers {
		for _, res := range w.results {
			if res.err != nil || w.program[res.at].verb != "complete" {
				continue
			}
			if !r.clock.Now().Before(res.lease.DoneAt.Add(r.row.retained())) || r.replacedSince(res.lease.Version) {
				continue
			}
			if now == nil || now.rec().State != "completed" || !bytes.Equal(now.rec().Result, w.output()) {
				return broke(resultStays, "that of m%d is gone", w.id+1)
			}
		}
	}
	return nil
}

// replacedSince tells whether other input has replaced a lease since the given version.
func (r *run) replacedSince(version uint64) bool {
	for i, h := range r.store.history {
		if i > 0 && h.rec().Version > version && r.replaces(&h, &r.store.history[i-1]) {
			return true
		}
	}
	return false
}

// checkEnd reads the key as one who comes later, through a Manager that remembers nothing.
func (r *run) checkEnd() error {
	if err := r.checkCompletions(); err != nil {
		return err
	}
	s := r.store.standing()
	for _, w := range r.workers {
		if w.waits() && (s == nil || s.rec().State != "in_progress" || !r.clock.Now().Before(s.rec().Deadline)) {
			return broke(comesToAnEnd, "%s waits, and nobody holds the lease", w.names(w.at))
		}
	}
	m, err := lease.NewManager(reader{s: &r.store}, lease.WithClock(r.clock))
	if err != nil {
		return err
	}
	l, err := m.Status(context.Background(), key)
	if err != nil {
		return broke(knownError, "status returned %v", err)
	}
	if !r.forgotten(s) && (l.LeaseID != s.rec().LeaseID || l.Version != s.rec().Version) {
		return broke(toldStood, "version %d, but version %d stands", l.Version, s.rec().Version)
	}
	return r.checkTold(l, nil)
}

// reader reads the store at once.
type reader struct {
	backend.Backend
	s *store
}

func (b reader) Get(context.Context, string) (backend.Entry, error) { return b.s.get() }
