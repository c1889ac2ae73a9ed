package lease

import (
	"bytes"
	"fmt"
	"time"
)

// State is how a lease stands.
type State string

// The states of a lease. In progress, completed and failed are stored; the others follow from the record and the time.
const (
	StateNotFound   State = "not_found"   // no record, or one past its retention
	StateInProgress State = "in_progress" // held, and its deadline lies ahead
	StateExpired    State = "expired"     // held past its deadline: open to takeover, but not ended
	StateCompleted  State = "completed"
	StateFailed     State = "failed"
)

// stateLocked is what a one-shot lock is stored as, for as long as it lasts. No [Lease] has it: locks lie under keys of their own.
const stateLocked State = "locked"

// codeExpired is the error code under which an at-most-once lease past its deadline reads as failed.
const codeExpired = "expired"

// stateAt is how r reads at now; a nil r is the absence of a record. skew delays only the forgetting,
// so that no clock that is ahead ends a retention, and with it the memory that the work was done, too early.
func (r *record) stateAt(now time.Time, skew time.Duration) State {
	switch {
	case r == nil || !now.Before(r.KeepUntil.Add(skew)):
		return StateNotFound
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

type verb uint8

const (
	verbAcquire verb = iota
	verbExtend
	verbComplete
	verbFail // and cancel, which is a failure with a code of its own
	verbLock // a one-shot lock, which no other verb meets
)

// command is one operation on one key, with everything that is not in the record: the machine makes up no id and reads no clock.
type command struct {
	verb      verb
	leaseID   string // acquire: the id that a new lease gets; else the id under which the caller holds the lease
	op        string // unique to this operation, stored with what it writes
	ttl       time.Duration
	retention time.Duration
	skew      time.Duration

	metadata    []byte // acquire, down to atMostOnce; lock, the first two
	requestID   string
	inputHash   string
	retryFailed bool
	atMostOnce  bool

	progress bool // extend: metadata replaces what there was
	byDo     bool // Do tells itself that it has lost the lease

	result     []byte // complete
	resultHash string

	errorCode string // fail
	errorHash string
	errorText string
}

// outcome is what a command comes to when it is not an error.
type outcome uint8

const (
	outAcquired      outcome = iota // write: a new lease, a failed one anew, or a lock
	outTookOver                     // write: an expired lease under a new id
	outAcquiredAgain                // the same request asked before: its lease or lock, unchanged
	outPolling                      // another's lease is in progress
	outEnded                        // completed or failed, as it stands
	outChanged                      // write: extended, completed or failed
	outRepeated                     // ended in the same way before: success, unchanged
	outDuplicate                    // locked already
)

// writes tells whether the record that came with the outcome is to be written.
func (o outcome) writes() bool { return o == outAcquired || o == outTookOver || o == outChanged }

// step is the state machine: what command c makes of record r, nil for none, at now. The returned record is to be
// written if the outcome says so, and is otherwise r as it stands.
func step(r *record, c *command, now time.Time) (record, outcome, error) {
	switch c.verb {
	case verbAcquire:
		return stepAcquire(r, c, now)
	case verbLock:
		return stepLock(r, c, now)
	}
	state := r.stateAt(now, c.skew)
	switch {
	case state == StateNotFound:
		return record{}, 0, ErrNotFound
	case c.verb == verbExtend && (state == StateCompleted || state == StateFailed):
		return *r, 0, errFinished(r)
	case r.LeaseID != c.leaseID:
		return *r, 0, fmt.Errorf("%w: held under another lease id, version %d", ErrLost, r.Version)
	case r.State == StateInProgress:
		return r.next(c, now), outChanged, nil
	case r.endedAs(c):
		return *r, outRepeated, nil
	default:
		return *r, 0, errFinished(r)
	}
}

func stepAcquire(r *record, c *command, now time.Time) (record, outcome, error) {
	state := r.stateAt(now, c.skew)
	if state == StateNotFound {
		return newRecord(r, c, now), outAcquired, nil
	}
	if c.inputHash != "" && r.InputHash != "" && c.inputHash != r.InputHash {
		return *r, 0, fmt.Errorf("%w: the key stands for input hash %q, not %q", ErrInputMismatch, r.InputHash, c.inputHash)
	}
	switch {
	case state == StateCompleted, state == StateFailed && !c.retryFailed:
		return *r, outEnded, nil
	case r.State == StateInProgress && now.Before(r.Deadline.Add(c.skew)): // also expired, but perhaps not by its holder's clock
		if c.requestID != "" && c.requestID == r.RequestID {
			return *r, outAcquiredAgain, nil
		}
		return *r, outPolling, nil
	case state == StateFailed: // asked to try again
		return r.successor(c, now), outAcquired, nil
	default:
		return r.successor(c, now), outTookOver, nil
	}
}

// stepLock locks what is not locked, or not any more. The clock skew delays that like any forgetting, so that no clock that is ahead
// unlocks too early.
func stepLock(r *record, c *command, now time.Time) (record, outcome, error) {
	switch {
	case r.stateAt(now, c.skew) == StateNotFound:
	case c.requestID != "" && c.requestID == r.RequestID:
		return *r, outAcquiredAgain, nil
	default:
		return *r, outDuplicate, nil
	}
	n := newRecord(r, c, now)
	n.State = stateLocked
	n.KeepUntil = n.Deadline // nothing is to be remembered of a lock that is over
	return n, outAcquired, nil
}

// newRecord is the first lease of a key that is not known, or not any more. r is the forgotten
// record that still lies in the store, if any: it leaves no trace but its operation id.
func newRecord(r *record, c *command, now time.Time) record {
	n := record{
		Format:      recordFormat,
		State:       StateInProgress,
		LeaseID:     c.leaseID,
		Version:     1,
		Attempt:     1,
		TTL:         c.ttl,
		Deadline:    now.Add(c.ttl),
		FirstSeenAt: now,
		AcquiredAt:  now,
		KeepUntil:   now.Add(c.ttl + c.retention),
		Metadata:    c.metadata,
		RequestID:   c.requestID,
		InputHash:   c.inputHash,
		AtMostOnce:  c.atMostOnce,
		Op:          c.op,
	}
	if r != nil {
		n.PrevOp = r.Op
	}
	return n
}

// successor is the lease that takes over r, expired or failed.
func (r *record) successor(c *command, now time.Time) record {
	n := newRecord(r, c, now)
	n.Version = r.Version + 1
	n.Attempt = r.Attempt + 1
	n.FirstSeenAt = r.FirstSeenAt
	if n.InputHash == "" {
		n.InputHash = r.InputHash // the key still stands for the same input
	}
	return n
}

// next is r after its holder extended or ended it.
func (r *record) next(c *command, now time.Time) record {
	n := *r
	n.Version++
	n.PrevOp, n.Op = r.Op, c.op
	if c.verb == verbExtend {
		n.TTL = c.ttl
		n.Deadline = now.Add(c.ttl)
		n.KeepUntil = n.Deadline.Add(c.retention)
		if c.progress {
			n.Metadata = c.metadata
		}
		return n
	}
	n.DoneAt = now
	n.KeepUntil = now.Add(c.retention)
	if c.verb == verbComplete {
		n.State, n.Result, n.ResultHash = StateCompleted, c.result, c.resultHash
	} else {
		n.State, n.ErrorCode, n.ErrorHash, n.ErrorText = StateFailed, c.errorCode, c.errorHash, c.errorText
	}
	return n
}

// endedAs tells whether r ended just as c asks, so that c is the repetition of a call whose answer was lost.
func (r *record) endedAs(c *command) bool {
	if c.verb == verbComplete {
		return r.State == StateCompleted && r.ResultHash == c.resultHash && bytes.Equal(r.Result, c.result)
	}
	return r.State == StateFailed && r.ErrorCode == c.errorCode && r.ErrorHash == c.errorHash && r.ErrorText == c.errorText
}

func errFinished(r *record) error {
	if r.State == StateCompleted {
		return fmt.Errorf("%w: completed at version %d", ErrFinished, r.Version)
	}
	code := r.ErrorCode
	if r.State == StateInProgress {
		code = codeExpired
	}
	return fmt.Errorf("%w: failed with code %q at version %d", ErrFinished, code, r.Version)
}
