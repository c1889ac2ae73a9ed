package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

type verb uint8

const (
	verbAcquire verb = iota
	verbExtend
	verbRelease
	verbComplete
	verbFail  // and cancel, which is a failure with a code of its own
	verbLock  // a one-shot lock, which no other verb meets
	verbClaim // a worker's acquire, of a run
)

// command is one operation on one key, with everything that is not in the record: the machine
// makes up no id and reads no clock.
type command struct {
	verb      verb
	leaseID   string // acquire, claim: the id that a new lease gets; else the id of the caller's lease
	op        string // unique to this operation, stored with what it writes
	ttl       time.Duration
	retention time.Duration // the Manager's
	skew      time.Duration

	metadata json.RawMessage // acquire, lock, extend; with extend nil leaves it as it is
	nonce    string          // acquire and lock

	// acquire
	inputHash      string
	leaseRetention time.Duration // 0: the Manager's
	limit          int           // a failure stands if there were so many; 0: no limit
	retryFailed    bool
	atMostOnce     bool
	replace        bool
	start          *start // for a run: leaseID is its ticket, and a worker does the work; else nil

	// extend
	checkpoint    json.RawMessage // nil leaves it as it is
	checkpointSeq uint64

	progress json.RawMessage // all that a holder does; nil leaves it as it is
	byDo     bool            // Do reports by itself that it has lost the lease

	// complete
	result     json.RawMessage
	resultHash string

	// fail
	errorCode string
	errorHash string
	errorText string
	retryable bool
	stop      bool    // a release that only says that the work of a run has stopped
	cancel    bool    // a failure that whoever has the ticket of a run may ask for too
	jitter    float64 // from 0 to 1, drawn by chance: spreads the next attempts of runs
}

// ends tells whether c ends or releases a lease.
func (c *command) ends() bool {
	return c.verb == verbRelease || c.verb == verbComplete || c.verb == verbFail
}

// outcome is what a command comes to when it is not an error.
type outcome uint8

const (
	outAcquired      outcome = iota // write: a new lease, a failed one anew, or a lock
	outTookOver                     // write: an expired or released lease under a new id
	outReplaced                     // write: a lease of other input under a new id
	outAcquiredAgain                // the same call asked before: its lease or lock, unchanged
	outPolling                      // another's lease is in progress
	outEnded                        // completed or failed, as it stands
	outChanged                      // write: extended, released, completed or failed
	outRanOut                       // write: a run that nobody may try any more, ended as failed
	outRepeated                     // done before: success, unchanged
	outDuplicate                    // locked already
)

// writes tells whether the record that came with the outcome is to be written.
func (o outcome) writes() bool {
	return o == outAcquired || o == outTookOver || o == outReplaced || o == outChanged || o == outRanOut
}

// How a lease ended is compared by digests: a successor's record keeps that of its predecessor.
// The digest of a lease that is in progress is "".

func (r *record) outcome() string {
	switch r.State {
	case stateReleased:
		return string(stateReleased)
	case StateCompleted:
		return digest("completed", string(r.Result), r.ResultHash)
	case StateFailed:
		if r.exhausted() { // as its worker has asked
			return failureDigest(r.Run.LastCode, r.ErrorHash, r.ErrorText, true)
		}
		return failureDigest(r.ErrorCode, r.ErrorHash, r.ErrorText, r.Retryable)
	default:
		return ""
	}
}

// outcome is that of a lease which c has ended.
func (c *command) outcome() string {
	switch c.verb {
	case verbRelease:
		return string(stateReleased)
	case verbComplete:
		return digest("completed", string(c.result), c.resultHash)
	default:
		return failureDigest(c.errorCode, c.errorHash, c.errorText, c.retryable)
	}
}

func failureDigest(code, hash, text string, retryable bool) string {
	kind := "failed"
	if retryable {
		kind = "failed, retryable"
	}
	return digest(kind, code, hash, text)
}

// digest tells lists of strings apart.
func digest(parts ...string) string {
	b, _ := json.Marshal(parts) // strings always marshal
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// How refusals read.

func errOther(r *record) error {
	return fmt.Errorf("%w: held under another lease id, version %d", ErrLost, r.Version)
}

func errReleased(r *record) error {
	return fmt.Errorf("%w: released at version %d", ErrLost, r.Version)
}

func errFinished(r *record) error {
	if r.State == StateCompleted {
		return fmt.Errorf("%w: completed at version %d", ErrFinished, r.Version)
	}
	code := r.ErrorCode
	if r.State != StateFailed {
		code = r.overCode()
	}
	return fmt.Errorf("%w: failed with code %q at version %d", ErrFinished, code, r.Version)
}
