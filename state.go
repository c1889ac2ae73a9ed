package lease

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// State is how a lease stands.
type State string

// The states of a lease.
const (
	StateNotFound   State = "not_found"   // no record, or one past its retention
	StateInProgress State = "in_progress" // held, and its deadline lies ahead
	StateExpired    State = "expired"     // past its deadline, or released: open to takeover, not ended
	StateCompleted  State = "completed"
	StateFailed     State = "failed"
)

// States that only records have. A released lease reads as expired. A one-shot lock lies under a
// key of its own and is never shown as a lease.
const (
	stateReleased State = "released"
	stateLocked   State = "locked"
	stateQueued   State = "queued" // a run that no worker has claimed yet
)

// Error codes of leases that nobody failed: an at-most-once lease past its deadline, and what an
// at-most-once caller is told of another's plain lease that expired or was released.
const (
	codeExpired  = "expired"
	codeReleased = "released"
)

// stateAt is how r reads at now; a nil r is the absence of a record. The skew delays only the
// forgetting: no clock that is ahead ends a retention too early.
func (r *record) stateAt(now time.Time, skew time.Duration) State {
	switch {
	case r == nil || !now.Before(r.KeepUntil.Add(skew)):
		return StateNotFound
	case r.Run != nil:
		return r.runStateAt(now)
	case r.State == stateReleased:
		return StateExpired
	case r.State != StateInProgress:
		return r.State
	case now.Before(r.Deadline):
		return StateInProgress
	case r.AtMostOnce:
		return StateFailed
	default:
		return StateExpired
	}
}

// step is the state machine: what command c makes of record r, nil for none, at now. It changes
// nothing: if the outcome writes, the returned record is a new one, to be written. Otherwise it is
// r as it stands, or what is left of a lease that c ended before.
func step(r *record, c *command, now time.Time) (*record, outcome, error) {
	switch c.verb {
	case verbAcquire:
		return stepAcquire(r, c, now)
	case verbLock:
		return stepLock(r, c, now)
	}
	state := r.stateAt(now, c.skew)
	switch {
	case state == StateNotFound:
		return nil, 0, ErrNotFound
	case c.verb == verbClaim:
		return stepClaim(r, c, now)
	case r.Run != nil:
		return stepRun(r, c, now, state)
	}
	return stepHeld(r, c, now, state)
}

// stepHeld is what the holder of a lease id does.
func stepHeld(r *record, c *command, now time.Time, state State) (*record, outcome, error) {
	switch c.verb {
	case verbExtend:
		return stepExtend(r, c, now, state)
	case verbRelease:
		return stepRelease(r, c, now)
	default:
		return stepEnd(r, c, now)
	}
}

func stepAcquire(r *record, c *command, now time.Time) (*record, outcome, error) {
	next, out, err := stepTake(r, c, now)
	switch {
	case err != nil || !out.writes():
	case c.start != nil:
		next.queue(r, c, now)
	case r.stops(now, c.skew):
		return r, outPolling, nil
	}
	return next, out, err
}

// stepTake is stepAcquire for a lease by hand.
func stepTake(r *record, c *command, now time.Time) (*record, outcome, error) {
	if r.stateAt(now, c.skew) == StateNotFound {
		return newRecord(r, c, now), outAcquired, nil
	}
	if c.nonce != "" && slices.Contains(r.Replaced, c.nonce) {
		return r, 0, fmt.Errorf("%w: replaced by other input, version %d", ErrLost, r.Version)
	}
	if c.inputHash != "" && r.InputHash != "" && c.inputHash != r.InputHash {
		switch {
		case !c.replace || r.AtMostOnce:
			return r, 0, fmt.Errorf("%w: the key stands for input hash %q, not %q", ErrInputMismatch, r.InputHash, c.inputHash)
		case c.start == nil && r.Run != nil && r.unfinished():
			return r, outPolling, nil
		}
		return r.replacement(c, now), outReplaced, nil
	}
	if r.Run != nil && r.unfinished() {
		return stepOverRun(r, c, now)
	}
	again := c.nonce != "" && c.nonce == r.Nonce // the same call once more
	switch r.State {
	case StateCompleted:
		return r, outEnded, nil
	case StateFailed:
		switch {
		case again:
			return r, outEnded, nil
		case r.opensTo(c):
			return r.successor(c, now), outAcquired, nil
		case c.retryFailed:
			return r.successor(c, now).withoutFailures(), outAcquired, nil
		}
		return r, outEnded, nil
	case stateReleased:
		switch {
		case again:
			return r, outPolling, nil
		case c.atMostOnce && !r.AtMostOnce && !c.retryFailed:
			return r, outEnded, nil // half of that work may be done
		}
		return r.successor(c, now), outTookOver, nil
	}
	held := now.Before(r.Deadline.Add(c.skew)) // also past the deadline, but perhaps not by its holder's clock
	switch {
	case r.AtMostOnce && !now.Before(r.Deadline) && !c.retryFailed:
		return r, outEnded, nil
	case held && again:
		return r, outAcquiredAgain, nil
	case held:
		return r, outPolling, nil
	case r.AtMostOnce: // asked to try again
		return r.successor(c, now).withoutFailures(), outAcquired, nil
	case c.atMostOnce && !c.retryFailed:
		return r, outEnded, nil // half of that work may be done
	default:
		return r.successor(c, now), outTookOver, nil
	}
}

// opensTo tells whether the failure r does not stand in the way of the acquire c.
func (r *record) opensTo(c *command) bool {
	return r.Retryable && (c.limit == 0 || r.Failures < c.limit) && (r.AtMostOnce || !c.atMostOnce)
}

func stepExtend(r *record, c *command, now time.Time, state State) (*record, outcome, error) {
	switch {
	case state == StateCompleted || state == StateFailed:
		return r, 0, errFinished(r)
	case r.LeaseID != c.leaseID:
		return r, 0, errOther(r)
	case r.State == stateReleased:
		return r, 0, errReleased(r)
	case c.checkpointSeq != 0 && c.checkpointSeq <= r.CheckpointSeq:
		return r, outRepeated, nil // a newer checkpoint was acknowledged before
	}
	return r.extended(c, now), outChanged, nil
}

func stepRelease(r *record, c *command, now time.Time) (*record, outcome, error) {
	switch {
	case r.Prev.endedAs(c):
		return r.Prev.record(r, c), outRepeated, nil
	case r.State == StateCompleted || r.State == StateFailed:
		return r, 0, errFinished(r)
	case r.LeaseID != c.leaseID:
		return r, 0, errOther(r)
	case r.State == stateReleased:
		return r, outRepeated, nil
	}
	return r.released(c, now), outChanged, nil
}

// stepEnd completes or fails.
func stepEnd(r *record, c *command, now time.Time) (*record, outcome, error) {
	switch {
	case r.Prev.endedAs(c):
		return r.Prev.record(r, c), outRepeated, nil
	case r.LeaseID != c.leaseID:
		return r, 0, errOther(r)
	case r.State == StateInProgress: // also past the deadline: nobody took over
		return r.ended(c, now), outChanged, nil
	case r.State == stateReleased:
		return r, 0, errReleased(r)
	case r.outcome() == c.outcome():
		return r, outRepeated, nil
	default:
		return r, 0, errFinished(r)
	}
}

// stepLock locks what is not locked, or not any more. The clock skew delays that like any
// forgetting: no clock that is ahead unlocks too early.
func stepLock(r *record, c *command, now time.Time) (*record, outcome, error) {
	switch {
	case r.stateAt(now, c.skew) == StateNotFound:
	case c.nonce != "" && c.nonce == r.Nonce:
		return r, outAcquiredAgain, nil
	default:
		return r, outDuplicate, nil
	}
	n := newRecord(r, c, now)
	n.State = stateLocked
	n.KeepUntil = n.Deadline // nothing is to be remembered of a lock that is over
	return n, outAcquired, nil
}

// newRecord is the first lease of a key that is not known, or not any more. r is the forgotten
// record that still lies in the store, nil if there is none.
func newRecord(r *record, c *command, now time.Time) *record {
	n := &record{
		Format:      recordFormat,
		State:       StateInProgress,
		LeaseID:     c.leaseID,
		Version:     1,
		Attempt:     1,
		TTL:         c.ttl,
		Retention:   c.leaseRetention,
		Deadline:    now.Add(c.ttl),
		FirstSeenAt: now,
		AcquiredAt:  now,
		KeepUntil:   now.Add(c.ttl + c.retention),
		Metadata:    c.metadata,
		Nonce:       c.nonce,
		InputHash:   c.inputHash,
		AtMostOnce:  c.atMostOnce,
		Op:          c.op,
	}
	if r != nil {
		n.PrevOp, n.Prev = r.Op, r.asPrev()
	}
	return n
}

// successor is the lease that takes over r, expired, released or failed.
func (r *record) successor(c *command, now time.Time) *record {
	n := newRecord(r, c, now)
	n.Version, n.Attempt = r.Version+1, r.Attempt+1
	n.FirstSeenAt = r.FirstSeenAt
	n.Failures, n.Checkpoint = r.Failures, r.Checkpoint
	n.Replaced = r.Replaced
	if n.InputHash == "" {
		n.InputHash = r.InputHash // the key still stands for the same input
	}
	return n
}

// withoutFailures is for a new record, which nobody else has yet.
func (r *record) withoutFailures() *record {
	r.Failures = 0
	return r
}

// call names the acquire that made r, or the start.
func (r *record) call() string { return cmp.Or(r.Nonce, r.ticket(), r.LeaseID) }

// mostReplaced bounds how many replaced acquires a record remembers.
const mostReplaced = 8

// replacement is the lease of other input that takes the place of r, in whatever state. It keeps
// which acquires were replaced: an older input whose answer was lost does not come back.
func (r *record) replacement(c *command, now time.Time) *record {
	n := newRecord(r, c, now)
	n.Version, n.Attempt = r.Version+1, r.Attempt+1
	n.FirstSeenAt = r.FirstSeenAt
	n.Replaced = append(slices.Clone(r.Replaced), r.call())
	n.Replaced = n.Replaced[max(0, len(n.Replaced)-mostReplaced):]
	return n
}

// next is r with what every change by its holder brings.
func (r *record) next(c *command) *record {
	n := new(*r)
	n.Version++
	n.PrevOp, n.Op = r.Op, c.op
	if c.progress != nil {
		n.Progress = c.progress
	}
	return n
}

// extended is r with the time left set to the TTL of c, or else to its own.
func (r *record) extended(c *command, now time.Time) *record {
	n := r.next(c)
	if c.ttl != 0 {
		n.TTL = c.ttl
	}
	n.Deadline = now.Add(n.TTL)
	n.KeepUntil = n.Deadline.Add(c.retention)
	if c.metadata != nil {
		n.Metadata = c.metadata
	}
	if c.checkpoint != nil {
		n.Checkpoint = c.checkpoint
		n.CheckpointSeq = cmp.Or(c.checkpointSeq, r.CheckpointSeq)
	}
	n.keepRun(c)
	return n
}

// released is r given back by its holder: open to the next caller at once.
func (r *record) released(c *command, now time.Time) *record {
	n := r.next(c)
	n.State, n.Deadline = stateReleased, now
	n.KeepUntil = now.Add(c.retention)
	n.queueAgain(c, now, 0)
	return n
}

// ended is r completed or failed.
func (r *record) ended(c *command, now time.Time) *record {
	n := r.next(c)
	n.DoneAt = now
	n.KeepUntil = now.Add(r.retained(c.retention))
	if c.verb == verbComplete {
		n.State, n.Result, n.ResultHash = StateCompleted, c.result, c.resultHash
		n.Checkpoint, n.CheckpointSeq = nil, 0
		n.dropInput()
		return n
	}
	n.State, n.Retryable = StateFailed, c.retryable
	n.ErrorCode, n.ErrorHash, n.ErrorText = c.errorCode, c.errorHash, c.errorText
	n.Failures++
	n.afterFailure(c, now)
	return n
}
