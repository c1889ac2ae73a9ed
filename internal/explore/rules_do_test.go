package explore

import (
	"context"
	"errors"
	"slices"

	"github.com/ailease/lease"
)

// checkRun is about the function of Do, which w is about to run under l.
func (r *run) checkRun(w *worker, ctx context.Context, l lease.Lease) error {
	name := w.names(w.at)
	s := r.store.standing()
	stands := s != nil && s.rec().LeaseID == l.LeaseID && s.rec().State == "in_progress" && r.clock.Now().Before(s.rec().Deadline)
	switch {
	case ctx.Err() == nil && !stands:
		return broke(workIsHeld, "%s runs its function under version %d", name, l.Version)
	case slices.Contains(w.call.runs, l.LeaseID):
		return broke(workIsHeld, "%s runs its function twice under one lease", name)
	}
	if n := len(w.call.runs); n > 0 && r.endOf(w.call.runs[n-1]) == nil {
		return broke(endKnown, "%s runs its function again", name)
	}
	return nil
}

// endOf is how a lease ended or was released; nil if it was not.
func (r *run) endOf(leaseID string) *written {
	for i, h := range r.store.history {
		if h.rec().LeaseID == leaseID && h.rec().State != "in_progress" {
			return &r.store.history[i]
		}
	}
	return nil
}

// checkDone holds what Do returned against what was written.
func (r *run) checkDone(w *worker, res result) error {
	o, name := &w.program[res.at], w.names(res.at)
	var last *written // how the lease of its own function ended
	if n := len(w.call.runs); n > 0 {
		last = r.endOf(w.call.runs[n-1])
	}
	unknown := errors.Is(res.err, lease.ErrUnknownOutcome) || errors.Is(res.err, lease.ErrUnavailable)
	if s := r.store.standing(); !unknown && s != nil && s.op == (opID{w.id, res.at}) && s.rec().State == "in_progress" && r.clock.Now().Before(s.rec().Deadline) {
		return broke(leavesNothing, "%s returned %v, and its lease is in progress", name, res.err)
	}
	switch {
	case res.err == nil:
		return r.checkValue(w, res, last)
	case unknown:
		if r.used.nothing() && r.followed(w) < 2 {
			return broke(knownError, "%s returned %v", name, res.err)
		}
		return nil
	case errors.Is(res.err, lease.ErrFailed):
		return r.checkFailed(w, o, res)
	case errors.Is(res.err, context.Canceled):
		if !w.cancelled {
			return broke(knownError, "%s returned %v", name, res.err)
		}
		return nil
	case errors.Is(res.err, lease.ErrLost):
		if len(w.call.runs) > 0 && last != nil && !r.replacedSince(0) {
			return broke(endIsTold, "%s returned %v, its lease was %s", name, res.err, last.rec().State)
		}
		return nil
	case errors.Is(res.err, lease.ErrInputMismatch), errors.Is(res.err, lease.ErrInProgress):
		return nil
	}
	return broke(knownError, "%s returned %v", name, res.err)
}

// followed counts the leases after the last under which the function of w ran.
func (r *run) followed(w *worker) int {
	if len(w.call.runs) == 0 {
		return 0
	}
	last := w.call.runs[len(w.call.runs)-1]
	return r.store.leasesAfter(r.store.token(last), last)
}

// checkValue: a result is that of the last run, or one that has completed and was read.
func (r *run) checkValue(w *worker, res result, last *written) error {
	name := w.names(res.at)
	if len(w.call.runs) > 0 && (last != nil && last.rec().State == "completed") {
		if last.op.worker != w.id || res.value != (output{w.id}) {
			return broke(sharesTheEnd, "%s returned the value of m%d", name, res.value.By+1)
		}
		return nil
	}
	for _, h := range r.store.history {
		by := output{h.op.worker}
		if h.rec().State == "completed" && res.value == by && (w.program[res.at].input == "" || sameInput(w, res, &h)) {
			return nil
		}
	}
	return broke(sharesTheEnd, "%s returned a value of m%d, which no lease has", name, res.value.By+1)
}

// sameInput tells whether h is about the input of the operation, or about none.
func sameInput(w *worker, res result, h *written) bool {
	theirs := w.run.workers[h.op.worker].program[h.op.at].input
	return theirs == "" || theirs == w.program[res.at].input
}

// checkFailed: a failure that may be tried again is returned only once there are enough.
func (r *run) checkFailed(w *worker, o *operation, res result) error {
	name := w.names(res.at)
	var carried *lease.Error
	if !errors.As(res.err, &carried) {
		return broke(knownError, "%s returned a bare %v", name, res.err)
	}
	l := carried.Lease
	if l.State != lease.StateFailed {
		return broke(sharesTheEnd, "%s returned %v, of a lease that is %s", name, res.err, l.State)
	}
	if err := r.checkTold(l, nil); err != nil {
		return err
	}
	if l.Retryable && !w.cancelled && l.Failures < w.call.failures+max(1, o.attempts) && (l.AtMostOnce || !o.atMostOnce) {
		return broke(goesOn, "%s returned failure %d; there were %d when it looked", name, l.Failures, w.call.failures)
	}
	return nil
}
