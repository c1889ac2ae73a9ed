package lease

import (
	"fmt"
	"time"
)

// The state machine of runs, beside that of leases in state.go. It is the same machine: a claim is
// acquired, extended, released, completed, failed and taken over as a lease is. What differs:
//
//	command          waits for a worker    claimed, in time  claim ran out          ended
//	---------------  --------------------  ----------------  ---------------------  -------------
//	acquire by hand  polling               polling           polling                as a lease
//	start            polling (1)           polling (1)       polling (1)            as an acquire
//	claim            due: a claim          polling           a failure; taken over  as it stands
//	                 else: polling                           or: the run ends
//	extend, ticket   success, unchanged    the same          the same               finished
//	cancel, ticket   failed                failed            failed                 as a lease
//	others, ticket   lost                  lost              lost                   lost
//	by a claim       repeated, or lost     as a lease        as a lease             as a lease
//
//	(1) same nonce: acquired again, unchanged; Replace and other input: a new run
//
//   - A claim that fails retryably, or is released, has the run wait for the next worker: after a
//     pause, or at once. One failure too many ends the run, "attempts_exhausted".
//   - A claim that ran out is a failure, "expired", counted by the write that takes it over. At
//     most once: the run reads as failed then, which is written one TTL later. Until that its
//     holder may still end it.
//   - Past its deadline of the whole a run that nobody works on reads as failed,
//     "deadline_exceeded". The next claim writes that.
//   - A run that is canceled or replaced over a claim remembers it. Nobody works on the key before
//     that claim's deadline, unless its worker has said by a release that it stopped.

// Error codes of runs that nobody failed.
const (
	codeExhausted = "attempts_exhausted"
	codeDeadline  = "deadline_exceeded"
)

// queued tells whether r is a run that waits for a worker.
func (r *record) queued() bool {
	return r.Run != nil && (r.State == stateQueued || r.State == stateReleased || r.State == StateFailed && r.Retryable)
}

// unfinished tells whether r is work that has not ended, whatever the time.
func (r *record) unfinished() bool { return r.State == StateInProgress || r.queued() }

// exhausted tells whether r is a run that ended because it had failed too often.
func (r *record) exhausted() bool {
	return r.Run != nil && r.State == StateFailed && r.Run.LastCode != "" && r.ErrorCode == codeExhausted
}

// over is from when on r, which is unfinished, does not read as in progress unless somebody writes.
func (r *record) over() time.Time {
	switch {
	case r.Run == nil, r.State == StateInProgress && (r.AtMostOnce || r.Deadline.After(r.Run.Until)):
		return r.Deadline
	default:
		return r.Run.Until
	}
}

// overCode is the code with which r, which is unfinished, reads as failed.
func (r *record) overCode() string {
	if r.Run == nil || r.State == StateInProgress && r.AtMostOnce {
		return codeExpired
	}
	return codeDeadline
}

// runStateAt is stateAt for a run.
func (r *record) runStateAt(now time.Time) State {
	switch {
	case !r.unfinished():
		return r.State
	case now.Before(r.over()):
		return StateInProgress
	default:
		return StateFailed
	}
}

// stops tells whether a claim over which the run r was ended may still be at work.
func (r *record) stops(now time.Time, skew time.Duration) bool {
	return r != nil && r.Run != nil && now.Before(r.Run.StoppingUntil.Add(skew))
}

// queue makes a run of n, a lease that was just made of r; nil for none.
func (n *record) queue(r *record, c *command, now time.Time) {
	s := c.start
	n.State, n.TTL, n.Deadline, n.Failures = stateQueued, 0, now, 0
	n.Run = &run{
		Ticket: c.leaseID, Task: s.task, Input: s.input,
		StartedAt: now, Due: now.Add(min(s.delay, s.within)), Until: now.Add(s.within),
		Attempts: s.attempts, PauseFirst: s.pauseFirst, PauseMost: s.pauseMost,
	}
	n.Run.remember(r)
	n.keepRun(c)
}

// remember notes the claim that may be at work on r, which n ends or replaces.
func (n *run) remember(r *record) {
	switch {
	case r == nil:
	case r.State == StateInProgress:
		n.StoppingID, n.StoppingUntil = r.LeaseID, r.Deadline
	case r.Run != nil:
		n.StoppingID, n.StoppingUntil = r.Run.StoppingID, r.Run.StoppingUntil
	}
}

// keepRun sets until when n is kept, if it is a run: as long as somebody may work on it, and then
// for the retention.
func (n *record) keepRun(c *command) {
	if n.Run == nil {
		return
	}
	last := n.DoneAt
	if n.unfinished() {
		last = later(n.Run.Until, n.Deadline)
	}
	n.KeepUntil = later(last, n.Run.StoppingUntil).Add(n.retained(c.retention))
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// stepOverRun is an acquire, or a start, over a run that has not ended.
func stepOverRun(r *record, c *command, now time.Time) (*record, outcome, error) {
	failed := !now.Before(r.over())
	switch {
	case failed && !c.retryFailed:
		return r, outEnded, nil // as it reads
	case c.start == nil:
		return r, outPolling, nil
	case failed && !now.Before(r.over().Add(c.skew)):
		return r.successor(c, now), outAcquired, nil
	case c.nonce != "" && c.nonce == r.Nonce:
		return r, outAcquiredAgain, nil
	}
	return r, outPolling, nil
}

// claimable is when a claim of r, which is a run that has not ended, may next change something.
func (r *record) claimable(now time.Time, skew time.Duration) time.Time {
	over := r.over()
	switch {
	case !now.Before(over) && r.State == StateInProgress && r.AtMostOnce:
		return over.Add(r.TTL + skew) // its worker may be about to say how it ended
	case !now.Before(over):
		return over.Add(skew)
	case r.State == StateInProgress:
		return r.Deadline.Add(skew)
	}
	at := r.Run.Due
	if r.Run.StoppingID != "" {
		at = later(at, r.Run.StoppingUntil.Add(skew))
	}
	if at.After(over) {
		return over
	}
	return at
}

func stepClaim(r *record, c *command, now time.Time) (*record, outcome, error) {
	switch {
	case r.Run == nil:
		return r, outPolling, nil // by hand
	case !r.unfinished():
		return r, outEnded, nil
	case r.LeaseID == c.leaseID && r.State == StateInProgress && now.Before(r.Deadline):
		return r, outAcquiredAgain, nil
	case now.Before(r.claimable(now, c.skew)):
		return r, outPolling, nil
	}
	n := r.handedOn(c, now)
	over := !now.Before(r.over())
	switch {
	case over && r.State == StateInProgress && r.AtMostOnce:
		return n.ranOut(r, c, now, codeExpired), outRanOut, nil
	case r.State == StateInProgress && r.Run.Attempts > 0 && n.Failures >= r.Run.Attempts:
		return n.ranOut(r, c, now, codeExhausted), outRanOut, nil
	case over:
		return n.ranOut(r, c, now, codeDeadline), outRanOut, nil
	case r.State == stateQueued || r.State == StateFailed:
		return n, outAcquired, nil
	default:
		return n, outTookOver, nil
	}
}

// handedOn is the next claim's record of the run r. What belongs to the run stays.
func (r *record) handedOn(c *command, now time.Time) *record {
	n := r.successor(c, now)
	n.Retention, n.Metadata, n.Nonce, n.AtMostOnce = r.Retention, r.Metadata, r.Nonce, r.AtMostOnce
	n.Run = new(*r.Run)
	n.Run.StoppingID, n.Run.StoppingUntil = "", time.Time{}
	switch r.State {
	case stateQueued: // the attempt was counted when the run was asked for
		n.Attempt = r.Attempt
	case StateInProgress: // the claim before ran out
		n.Failures++
	}
	n.keepRun(c)
	return n
}

// ranOut is n, which would be the next claim of r, ended instead.
func (n *record) ranOut(r *record, c *command, now time.Time, code string) *record {
	n.State, n.ErrorCode, n.DoneAt = StateFailed, code, now
	n.Attempt, n.Deadline, n.TTL = r.Attempt, now, 0
	switch r.State {
	case StateInProgress:
		n.Run.LastCode = codeExpired
	case StateFailed:
		n.Run.LastCode, n.ErrorHash, n.ErrorText = r.ErrorCode, r.ErrorHash, r.ErrorText
	}
	n.Run.remember(r)
	n.keepRun(c)
	return n
}

// stepRun is what is done to a run by its ticket, or by the id of a claim.
func stepRun(r *record, c *command, now time.Time, state State) (*record, outcome, error) {
	mine := c.leaseID == r.Run.Ticket
	switch {
	case c.verb == verbExtend && (state == StateCompleted || state == StateFailed):
		return r, 0, errFinished(r)
	case mine && c.verb == verbExtend:
		return r, outRepeated, nil // acknowledged: whoever waits keeps no worker's claim alive
	case mine && c.cancel:
		return stepCancel(r, c, now, state)
	case mine:
		return r, 0, fmt.Errorf("%w: the id is a ticket, a worker has the run, version %d", ErrLost, r.Version)
	case c.verb == verbExtend && r.LeaseID == c.leaseID && r.queued():
		return r, 0, errOver(r)
	case c.verb == verbExtend && !now.Before(r.Run.Until):
		return r, 0, fmt.Errorf("%w: the run's deadline has passed at version %d", ErrFinished, r.Version)
	case c.verb == verbRelease && r.Run.StoppingID == c.leaseID:
		return r.stopped(c), outChanged, nil
	case c.stop:
		return r, 0, errOther(r)
	}
	return stepHeld(r, c, now, state)
}

// stepCancel ends a run by its ticket.
func stepCancel(r *record, c *command, now time.Time, state State) (*record, outcome, error) {
	switch {
	case !r.unfinished() && r.outcome() == c.outcome():
		return r, outRepeated, nil
	case state != StateInProgress:
		return r, 0, errFinished(r)
	}
	n := r.ended(c, now)
	if r.LeaseID != r.Run.Ticket {
		n.LeaseID, n.Prev = r.Run.Ticket, r.asPrev()
	}
	n.Run = new(*n.Run)
	n.Run.remember(r)
	n.keepRun(c)
	return n, outChanged, nil
}

// stopped is r once the worker whose claim it was ended over has stopped.
func (r *record) stopped(c *command) *record {
	n := r.next(c)
	n.Run = new(*r.Run)
	n.Run.StoppingID, n.Run.StoppingUntil = "", time.Time{}
	return n
}

// queueAgain has the run n, if it is one, wait for its next worker.
func (n *record) queueAgain(c *command, now time.Time, pause time.Duration) {
	if n.Run == nil {
		return
	}
	n.Run = new(*n.Run)
	n.Run.Due = now.Add(pause)
	if n.Run.Due.After(n.Run.Until) {
		n.Run.Due = n.Run.Until // to write the end
	}
	n.keepRun(c)
}

// afterFailure is what the failure of a claim makes of the run n, if it is one.
func (n *record) afterFailure(c *command, now time.Time) {
	switch {
	case n.Run == nil:
	case !n.Retryable:
		n.keepRun(c)
	case n.Run.Attempts > 0 && n.Failures >= n.Run.Attempts:
		n.Run = new(*n.Run)
		n.Run.LastCode, n.ErrorCode, n.Retryable = n.ErrorCode, codeExhausted, false
		n.keepRun(c)
	default:
		n.queueAgain(c, now, n.Run.pause(n.Failures, c.jitter))
	}
}

// pause is how long to wait after so many failures: doubled each time, give or take a quarter.
func (n *run) pause(failures int, jitter float64) time.Duration {
	d := n.PauseFirst
	for i := 1; i < failures && d < n.PauseMost; i++ {
		d *= 2
	}
	d = min(d, n.PauseMost)
	return d - d/4 + time.Duration(jitter*float64(d/2))
}

// dropInput is for a run that has completed: nobody needs its input any more.
func (n *record) dropInput() {
	if n.Run != nil {
		n.Run = new(*n.Run)
		n.Run.Input = nil
	}
}

func errOver(r *record) error {
	return fmt.Errorf("%w: the claim ended at version %d", ErrLost, r.Version)
}

// fillRun makes l, the view of r, tell of the run and not of its last claim.
func (r *record) fillRun(l *Lease, state State) {
	l.LeaseID, l.AcquiredAt, l.ExpiresAt, l.Released = r.Run.Ticket, r.Run.StartedAt, r.Run.Until, false
	l.TTL = r.Run.Until.Sub(r.Run.StartedAt)
	if !r.unfinished() {
		return
	}
	l.DoneAt, l.ErrorCode, l.ErrorHash, l.ErrorText, l.Retryable = time.Time{}, "", "", "", false
	if state == StateFailed {
		l.ExpiresAt = r.over()
	}
}

// fillOwn makes l, the view of r, tell whoever has its claim of that.
func (m *Manager) fillOwn(l *Lease, r *record, now time.Time) {
	if r.Run == nil {
		return
	}
	l.LeaseID, l.AcquiredAt, l.ExpiresAt, l.TTL = r.LeaseID, r.AcquiredAt, r.Deadline, r.TTL
	if l.State == StateInProgress {
		m.fillInProgress(l, now)
	}
}
