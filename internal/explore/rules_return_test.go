package explore

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/ailease/lease"
)

// checkReturn holds what an operation returned against what was written.
func (r *run) checkReturn(w *worker, res result) error {
	o := &w.program[res.at]
	if o.verb == "do" {
		return r.checkDone(w, res)
	}
	count, mine := r.store.by(opID{w.id, res.at})
	var carried *lease.Error
	switch {
	case errors.Is(res.err, lease.ErrUnknownOutcome):
		return r.checkUnknown(w, o, res)
	case errors.As(res.err, &carried):
		if err := r.checkError(res.err); err != nil {
			return err
		}
		lost := errors.Is(res.err, lease.ErrLost) || errors.Is(res.err, lease.ErrFinished)
		if o.ends() && (count > 0 || lost && r.endedBefore(w, o)) {
			return broke(endIsTold, "%s was applied and returned %v", w.names(res.at), res.err)
		}
		if count > 0 && !(errors.Is(res.err, lease.ErrLost) && r.takenOver(mine)) && !(o.verb == "extend" && w.buried()) {
			return broke(nothingAfter, "%s was applied and returned %v", w.names(res.at), res.err)
		}
		return r.checkTold(carried.Lease, w)
	case res.err != nil:
		return broke(knownError, "%s returned a bare %v", w.names(res.at), res.err)
	}
	var err error
	switch {
	case o.verb == "acquire" && !res.acquired:
		err = r.checkRefusal(w, o, res, count)
	case count > 0:
		if mine.rec().LeaseID != res.lease.LeaseID || mine.rec().Version != res.lease.Version {
			err = broke(appliedOnce, "%s returned version %d, was applied %d times", w.names(res.at), res.lease.Version, count)
		} else {
			err = r.checkTold(res.lease, nil)
		}
	default:
		err = r.checkRepeated(w, o, res)
	}
	if err != nil {
		return err
	}
	return r.checkCompletions()
}

// checkRefusal is about an acquire that was told how the lease of somebody else stands.
func (r *run) checkRefusal(w *worker, o *operation, res result, count int) error {
	if count > 0 {
		return broke(nothingAfter, "%s was applied and returned %s", w.names(res.at), res.lease.State)
	}
	if err := r.checkTold(res.lease, w); err != nil {
		return err
	}
	told := r.told(res.lease)
	again := told.rec().Nonce == w.nonce(true)
	half := o.atMostOnce && !told.rec().AtMostOnce
	switch {
	case o.replace && o.input != told.rec().InputHash && told.rec().InputHash != "" && !told.rec().AtMostOnce:
		return broke(inputStays, "%s did not replace input %q", w.names(res.at), told.rec().InputHash)
	case told.rec().State == "released" && !again && !half:
		return broke(releasedOpens, "%s returned %s", w.names(res.at), res.lease.State)
	case told.rec().State == "failed" && told.rec().Retryable && !again && !half:
		return broke(retryableOpens, "%s returned %s", w.names(res.at), res.lease.State)
	}
	return nil
}

// checkRepeated is about a success that wrote nothing.
func (r *run) checkRepeated(w *worker, o *operation, res result) error {
	l, name := res.lease, w.names(res.at)
	switch {
	case o.verb == "acquire":
		if told := r.told(l); told == nil || told.rec().Nonce != w.nonce(true) || told.rec().State != "in_progress" {
			return broke(appliedOnce, "%s acquired version %d, which is not its own", name, l.Version)
		}
		return r.checkTold(l, w)
	case o.verb == "extend":
		if told := r.told(l); o.save == 0 || told == nil || told.rec().CheckpointSeq < o.save {
			return broke(appliedOnce, "%s returned version %d, was not applied", name, l.Version)
		}
		return r.checkTold(l, w)
	}
	for _, h := range r.store.history {
		if h.rec().LeaseID == r.workers[o.of].leaseID && h.rec().LeaseID == l.LeaseID && o.endsAs(w, h.rec()) {
			return r.checkTold(l, nil)
		}
	}
	return broke(sameOutcome, "%s returned %s, version %d", name, l.State, l.Version)
}

// takenOver tells whether another lease replaced what w wrote: the one case in which ErrLost comes
// after a write. It was applied, but its answer came too late to be of use.
func (r *run) takenOver(w written) bool { return r.store.leasesAfter(w.revision, w.rec().LeaseID) > 0 }

// endedBefore tells whether the lease of o had ended as o asks, and at most one lease has followed.
func (r *run) endedBefore(w *worker, o *operation) bool {
	id := r.workers[o.of].leaseID
	for _, h := range r.store.history {
		if h.rec().LeaseID == id && o.endsAs(w, h.rec()) {
			return r.store.leasesAfter(h.revision, id) < 2
		}
	}
	return false
}

// checkUnknown: with the store at hand, only what others have written since hides an outcome.
func (r *run) checkUnknown(w *worker, o *operation, res result) error {
	if r.used.outages+r.used.cancels > 0 || w.call.lostRead {
		return nil
	}
	if r.row.retention > 0 && r.used.clocks > 0 {
		return nil // what was written may have been forgotten since
	}
	wrote := &w.call.wrote
	followed := r.store.leasesAfter(wrote.expected, "")
	hidden := followed >= 2
	switch o.verb {
	case "acquire": // its own lease would have had to expire
		hidden = hidden && !r.store.standing().rec().AcquiredAt.Before(wrote.rec().Deadline)
	case "extend":
		hidden = hidden || !r.used.nothing() && r.store.revision() > wrote.expected+1
	}
	if !hidden {
		return broke(outcomeKnown, "%s returned %v; %d leases have followed", w.names(res.at), res.err, followed)
	}
	return nil
}

// checkError knows the errors that promise that nothing was written, and which of them take a
// fault.
func (r *run) checkError(err error) error {
	for _, e := range []error{lease.ErrNotFound, lease.ErrLost, lease.ErrFinished, lease.ErrInputMismatch} {
		if errors.Is(err, e) {
			return nil
		}
	}
	if !r.used.nothing() && (errors.Is(err, lease.ErrUnavailable) || errors.Is(err, context.Canceled)) {
		return nil
	}
	return broke(knownError, "%v", err)
}

// told is the write that l shows; nil if there is none.
func (r *run) told(l lease.Lease) *written {
	for i, h := range r.store.history {
		if h.rec().LeaseID == l.LeaseID && h.rec().Version == l.Version {
			return &r.store.history[i]
		}
	}
	return nil
}

// checkTold looks for l among what was ever written. The deadline is the store's: nobody believes
// to hold for longer than oneHolder guards. If w is not nil, its call has read what it was told.
func (r *run) checkTold(l lease.Lease, w *worker) error {
	if l.State == "" || l.State == lease.StateNotFound {
		return nil
	}
	h := r.told(l)
	if h == nil {
		return broke(toldStood, "version %d, token %d, %s", l.Version, l.Token, l.State)
	}
	if token := r.store.token(l.LeaseID); token != l.Token {
		return broke(tokensGrow, "told token %d, acquired at revision %d", l.Token, token)
	}
	open := h.rec().State == "in_progress"
	same := l.State == lease.State(h.rec().State) && l.ErrorCode == h.rec().ErrorCode && l.Retryable == h.rec().Retryable
	switch l.State {
	case lease.StateExpired:
		same = open && !l.Released || h.rec().State == "released" && l.Released
	case lease.StateInProgress: // also to whoever repeats an acquire of a lease that was released
		same = open || h.rec().State == "released"
	case lease.StateFailed: // also at most once past its deadline, and what its like finds half-done
		same = same || !l.Retryable && (open && l.ErrorCode == "expired" || h.rec().State == "released" && l.ErrorCode == "released")
	}
	if !same || open && !h.rec().Deadline.Equal(l.ExpiresAt) || !bytes.Equal(h.rec().Result, l.Result) {
		return broke(toldStood, "version %d, %s, with deadline %v and result %s", l.Version, l.State, l.ExpiresAt.Sub(t0), l.Result)
	}
	if w != nil && !slices.Contains(w.call.reads, h.revision) {
		return broke(toldStood, "%s was told version %d, which it had not read", w.names(w.at), l.Version)
	}
	return nil
}
