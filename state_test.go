package lease

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// The table of DESIGN.md, section 3, one case for each cell. The holder of lease id "own" acquired
// the lease at t0, for one minute. The Manager's retention is an hour.

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	ttl       = time.Minute
	retention = time.Hour

	endedAt = 10 * time.Second // when a lease of finished or onceEnded ended, since t0
)

// cmd is a command of the holder of "own", or of somebody who asks for a lease with the id "new".
func cmd(v verb, change ...func(*command)) *command {
	c := &command{verb: v, leaseID: "own", op: "op_2", retention: retention}
	switch v {
	case verbAcquire:
		c.leaseID, c.ttl = "new", ttl
	case verbComplete:
		c.result, c.resultHash = []byte(`{"n":1}`), "h1"
	case verbFail:
		c.errorCode, c.errorHash, c.errorText = "boom", "e1", "it went boom"
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func other(c *command)           { c.leaseID = "other" }
func otherwise(c *command)       { c.result, c.errorCode = []byte(`{"n":2}`), "bang" }
func retrying(c *command)        { c.retryable = true }
func retryFailed(c *command)     { c.retryFailed = true }
func atMostOnce(c *command)      { c.atMostOnce = true }
func skewed(c *command)          { c.skew = 10 * time.Second }
func replace(c *command)         { c.replace = true }
func by(id string) change        { return func(c *command) { c.leaseID = id } }
func op(id string) change        { return func(c *command) { c.op = id } }
func nonce(n string) change      { return func(c *command) { c.nonce = n } }
func input(h string) change      { return func(c *command) { c.inputHash = h } }
func limit(n int) change         { return func(c *command) { c.limit = n } }
func checkpoint(s string) change { return func(c *command) { c.checkpoint = []byte(s) } }
func seq(n uint64) change        { return func(c *command) { c.checkpointSeq = n } }

type change = func(*command)

// inProgress is the record of the lease "own" as its holder acquired it, with the nonce "mine".
func inProgress(change ...func(*command)) *record {
	c := cmd(verbAcquire, by("own"), op("op_1"), nonce("mine"), func(c *command) { c.metadata = []byte(`{"m":1}`) })
	for _, f := range change {
		f(c)
	}
	r := newRecord(nil, c, t0)
	r.Token = 7
	return r
}

// then is r after the command c, which must change it, so long after t0.
func then(r *record, at time.Duration, c *command) *record {
	n, out, err := step(r, c, t0.Add(at))
	if err != nil || !out.writes() {
		panic(fmt.Sprintf("%+v of %+v: outcome %d, error %v", c, r, out, err))
	}
	if n.Token == 0 {
		n.Token = 7
		if r != nil {
			n.Token = r.Token + 1
		}
	}
	return n
}

// finished is the lease after its holder ended or released it, ten seconds later.
func finished(v verb, change ...func(*command)) *record {
	return then(inProgress(), endedAt, cmd(v, change...))
}

// onceEnded is finished for a lease that is at most once.
func onceEnded(v verb, change ...func(*command)) *record {
	return then(inProgress(atMostOnce), endedAt, cmd(v, change...))
}

// about is the lease of input "i1"; ended is how it ended, nil if it has not.
func about(ended *command, change ...func(*command)) *record {
	r := inProgress(append(change, input("i1"))...)
	if ended != nil {
		r = then(r, endedAt, ended)
	}
	return r
}

func TestStateTable(t *testing.T) {
	const (
		inTime    = 30 * time.Second     // the lease is held
		expired   = ttl                  // the first instant at which it is not
		late      = ttl + 5*time.Second  // and a while later
		forgotten = ttl + retention      // an unfinished lease reads as absent
		ended     = endedAt + 5*ttl      // a finished or released lease is retained
		overAt    = endedAt + retention  // and from here on it is not
		skewOver  = ttl + 10*time.Second // the clock skew of skewed has passed
	)
	type want struct {
		out      outcome
		err      error
		state    State // stored
		leaseID  string
		version  uint64
		attempt  int
		failures int
	}
	acquiredNew := want{outAcquired, nil, StateInProgress, "new", 1, 1, 0}
	takenOver := want{outTookOver, nil, StateInProgress, "new", 2, 2, 0}   // after expiry
	wentOn := want{outTookOver, nil, StateInProgress, "new", 3, 2, 0}      // after a release
	anew := want{outAcquired, nil, StateInProgress, "new", 3, 2, 0}        // after a failure, which counts no more
	triedAgain := want{outAcquired, nil, StateInProgress, "new", 3, 2, 1}  // after a failure, which counts
	replacedIt := want{outReplaced, nil, StateInProgress, "new", 2, 2, 0}  // in progress or expired
	replacedEnd := want{outReplaced, nil, StateInProgress, "new", 3, 2, 0} // ended or released
	asItStands := func(out outcome) want { return want{out, nil, StateInProgress, "own", 1, 1, 0} }
	stands := func(s State, failures int) want { return want{outEnded, nil, s, "own", 2, 1, failures} }
	changedTo := func(s State) want {
		w := want{outChanged, nil, s, "own", 2, 1, 0}
		if s == StateFailed {
			w.failures = 1
		}
		return w
	}
	repeated := func(s State) want { w := changedTo(s); w.out = outRepeated; return w }
	refused := func(err error) want { return want{err: err} }

	cases := []struct {
		name string
		r    *record
		c    *command
		at   time.Duration // since t0
		want want
	}{
		// acquire
		{"acquire, no record: a new lease", nil, cmd(verbAcquire), 0, acquiredNew},
		{"acquire, in progress: polling", inProgress(), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, another nonce: polling", inProgress(), cmd(verbAcquire, nonce("other")), inTime, asItStands(outPolling)},
		{"acquire, in progress, no nonce on either side: polling", inProgress(nonce("")), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, with RetryFailed: polling", inProgress(), cmd(verbAcquire, retryFailed), inTime, asItStands(outPolling)},
		{"acquire, in progress, same nonce: acquired again", inProgress(), cmd(verbAcquire, nonce("mine")), inTime, asItStands(outAcquiredAgain)},
		{"acquire, expired: takeover", inProgress(), cmd(verbAcquire), expired, takenOver},
		{"acquire, expired, same nonce: takeover, for the lease is over", inProgress(), cmd(verbAcquire, nonce("mine")), late, takenOver},
		{"acquire, expired within the clock skew: polling", inProgress(), cmd(verbAcquire, skewed), late, asItStands(outPolling)},
		{"acquire, expired within the clock skew, same nonce: acquired again", inProgress(), cmd(verbAcquire, skewed, nonce("mine")), late, asItStands(outAcquiredAgain)},
		{"acquire, expired beyond the clock skew: takeover", inProgress(), cmd(verbAcquire, skewed), skewOver, takenOver},
		{"acquire, expired beyond retention: a new lease", inProgress(), cmd(verbAcquire), forgotten, acquiredNew},
		{"acquire, expired beyond retention but within the clock skew: takeover", inProgress(), cmd(verbAcquire, skewed), forgotten, takenOver},
		{"acquire, released: takeover at once", finished(verbRelease), cmd(verbAcquire), endedAt, wentOn},
		{"acquire, released, whatever the clock skew: takeover at once", finished(verbRelease), cmd(verbAcquire, skewed), endedAt, wentOn},
		{"acquire, released, same nonce: polling, for that call's lease is over", finished(verbRelease), cmd(verbAcquire, nonce("mine")), ended, want{outPolling, nil, stateReleased, "own", 2, 1, 0}},
		{"acquire, released beyond retention: a new lease", finished(verbRelease), cmd(verbAcquire), overAt, acquiredNew},
		{"acquire, completed: as it stands", finished(verbComplete), cmd(verbAcquire), ended, stands(StateCompleted, 0)},
		{"acquire, completed, same nonce: as it stands", finished(verbComplete), cmd(verbAcquire, nonce("mine")), ended, stands(StateCompleted, 0)},
		{"acquire, completed, with RetryFailed: as it stands", finished(verbComplete), cmd(verbAcquire, retryFailed), ended, stands(StateCompleted, 0)},
		{"acquire, completed beyond retention: a new lease", finished(verbComplete), cmd(verbAcquire), overAt, acquiredNew},
		{"acquire, failed retryably: anew", finished(verbFail, retrying), cmd(verbAcquire), ended, triedAgain},
		{"acquire, failed retryably, fewer times than the limit: anew", finished(verbFail, retrying), cmd(verbAcquire, limit(2)), ended, triedAgain},
		{"acquire, failed retryably, as often as the limit: as it stands", finished(verbFail, retrying), cmd(verbAcquire, limit(1)), ended, stands(StateFailed, 1)},
		{"acquire, failed retryably, as often as the limit, with RetryFailed: anew, failures 0", finished(verbFail, retrying), cmd(verbAcquire, limit(1), retryFailed), ended, anew},
		{"acquire, failed retryably, with RetryFailed: anew", finished(verbFail, retrying), cmd(verbAcquire, retryFailed), ended, triedAgain},
		{"acquire, failed retryably, same nonce: as it stands", finished(verbFail, retrying), cmd(verbAcquire, nonce("mine")), ended, stands(StateFailed, 1)},
		{"acquire, failed retryably, same nonce, with RetryFailed: as it stands", finished(verbFail, retrying), cmd(verbAcquire, nonce("mine"), retryFailed), ended, stands(StateFailed, 1)},
		{"acquire, failed for good: as it stands", finished(verbFail), cmd(verbAcquire), ended, stands(StateFailed, 1)},
		{"acquire, failed for good, fewer times than the limit: as it stands", finished(verbFail), cmd(verbAcquire, limit(9)), ended, stands(StateFailed, 1)},
		{"acquire, failed for good, with RetryFailed: anew, failures 0", finished(verbFail), cmd(verbAcquire, retryFailed), ended, anew},
		{"acquire, failed for good, beyond retention: a new lease", finished(verbFail), cmd(verbAcquire), overAt, acquiredNew},

		// input
		{"acquire, in progress, same input: polling", about(nil), cmd(verbAcquire, input("i1")), inTime, asItStands(outPolling)},
		{"acquire, in progress, another input", about(nil), cmd(verbAcquire, input("i2")), inTime, refused(ErrInputMismatch)},
		{"acquire, in progress, input not stated: polling", about(nil), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, input not known: polling", inProgress(), cmd(verbAcquire, input("i2")), inTime, asItStands(outPolling)},
		{"acquire, expired, another input", about(nil), cmd(verbAcquire, input("i2")), late, refused(ErrInputMismatch)},
		{"acquire, released, another input", about(cmd(verbRelease)), cmd(verbAcquire, input("i2")), ended, refused(ErrInputMismatch)},
		{"acquire, completed, another input", about(cmd(verbComplete)), cmd(verbAcquire, input("i2")), ended, refused(ErrInputMismatch)},
		{"acquire, failed, another input, with RetryFailed", about(cmd(verbFail)), cmd(verbAcquire, input("i2"), retryFailed), ended, refused(ErrInputMismatch)},
		{"acquire, beyond retention, another input: a new lease", about(nil), cmd(verbAcquire, input("i2")), forgotten, acquiredNew},

		// the same with Replace
		{"replace, no record: a new lease", nil, cmd(verbAcquire, replace, input("i2")), 0, acquiredNew},
		{"replace, in progress, another input: replaced", about(nil), cmd(verbAcquire, replace, input("i2")), inTime, replacedIt},
		{"replace, in progress, another input, same nonce: replaced", about(nil), cmd(verbAcquire, replace, input("i2"), nonce("mine")), inTime, replacedIt},
		{"replace, in progress, same input: polling", about(nil), cmd(verbAcquire, replace, input("i1")), inTime, asItStands(outPolling)},
		{"replace, in progress, same input and nonce: acquired again", about(nil), cmd(verbAcquire, replace, input("i1"), nonce("mine")), inTime, asItStands(outAcquiredAgain)},
		{"replace, in progress, input not known: polling", inProgress(), cmd(verbAcquire, replace, input("i2")), inTime, asItStands(outPolling)},
		{"replace, expired, another input: replaced", about(nil), cmd(verbAcquire, replace, input("i2")), late, replacedIt},
		{"replace, expired within the clock skew, another input: replaced", about(nil), cmd(verbAcquire, replace, input("i2"), skewed), late, replacedIt},
		{"replace, expired, same input: takeover", about(nil), cmd(verbAcquire, replace, input("i1")), late, takenOver},
		{"replace, released, another input: replaced", about(cmd(verbRelease)), cmd(verbAcquire, replace, input("i2")), ended, replacedEnd},
		{"replace, completed, another input: anew", about(cmd(verbComplete)), cmd(verbAcquire, replace, input("i2")), ended, replacedEnd},
		{"replace, completed, same input: as it stands", about(cmd(verbComplete)), cmd(verbAcquire, replace, input("i1")), ended, stands(StateCompleted, 0)},
		{"replace, failed for good, another input: anew, failures 0", about(cmd(verbFail)), cmd(verbAcquire, replace, input("i2")), ended, replacedEnd},
		{"replace, failed retryably as often as the limit, another input: anew, failures 0", about(cmd(verbFail, retrying)), cmd(verbAcquire, replace, input("i2"), limit(1)), ended, replacedEnd},
		{"replace, failed for good, same input: as it stands", about(cmd(verbFail)), cmd(verbAcquire, replace, input("i1")), ended, stands(StateFailed, 1)},
		{"replace, at most once, in progress, another input", about(nil, atMostOnce), cmd(verbAcquire, replace, input("i2")), inTime, refused(ErrInputMismatch)},
		{"replace, at most once, expired, another input", about(nil, atMostOnce), cmd(verbAcquire, replace, input("i2")), late, refused(ErrInputMismatch)},
		{"replace, at most once, released, another input", about(cmd(verbRelease), atMostOnce), cmd(verbAcquire, replace, input("i2")), ended, refused(ErrInputMismatch)},
		{"replace, at most once, completed, another input", about(cmd(verbComplete), atMostOnce), cmd(verbAcquire, replace, input("i2")), ended, refused(ErrInputMismatch)},
		{"replace, at most once, failed retryably, another input", about(cmd(verbFail, retrying), atMostOnce), cmd(verbAcquire, replace, input("i2")), ended, refused(ErrInputMismatch)},
		{"replace, at most once, beyond retention: a new lease", about(nil, atMostOnce), cmd(verbAcquire, replace, input("i2")), forgotten, acquiredNew},

		// at most once: past its deadline the lease reads as failed, and is not taken over
		{"acquire, at most once, in progress: polling", inProgress(atMostOnce), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, at most once, in progress, same nonce: acquired again", inProgress(atMostOnce), cmd(verbAcquire, nonce("mine")), inTime, asItStands(outAcquiredAgain)},
		{"acquire, at most once, expired: failed, as it stands", inProgress(atMostOnce), cmd(verbAcquire), late, asItStands(outEnded)},
		{"acquire, at most once, expired within the clock skew: failed, as it stands", inProgress(atMostOnce), cmd(verbAcquire, skewed), late, asItStands(outEnded)},
		{"acquire, at most once, expired, same nonce: failed", inProgress(atMostOnce), cmd(verbAcquire, nonce("mine")), late, asItStands(outEnded)},
		{"acquire, at most once, expired, for at most once: failed", inProgress(atMostOnce), cmd(verbAcquire, atMostOnce), late, asItStands(outEnded)},
		{"acquire, at most once, expired, with RetryFailed: anew", inProgress(atMostOnce), cmd(verbAcquire, retryFailed), late, want{outAcquired, nil, StateInProgress, "new", 2, 2, 0}},
		{"acquire, at most once, expired within the clock skew, with RetryFailed: polling", inProgress(atMostOnce), cmd(verbAcquire, retryFailed, skewed), late, asItStands(outPolling)},
		{"acquire, at most once, expired beyond retention: a new lease", inProgress(atMostOnce), cmd(verbAcquire), forgotten, acquiredNew},
		{"acquire, at most once, released: takeover", onceEnded(verbRelease), cmd(verbAcquire), ended, wentOn},
		{"acquire, at most once, released, for at most once: takeover", onceEnded(verbRelease), cmd(verbAcquire, atMostOnce), ended, wentOn},
		{"acquire, at most once, failed retryably: anew", onceEnded(verbFail, retrying), cmd(verbAcquire), ended, triedAgain},
		{"acquire, at most once, failed retryably, for at most once: anew", onceEnded(verbFail, retrying), cmd(verbAcquire, atMostOnce), ended, triedAgain},
		{"acquire, at most once, failed for good, for at most once: as it stands", onceEnded(verbFail), cmd(verbAcquire, atMostOnce), ended, stands(StateFailed, 1)},
		{"extend, at most once, expired, own: it reads as failed", inProgress(atMostOnce), cmd(verbExtend), late, refused(ErrFinished)},
		{"extend, at most once, expired within the clock skew, own: it reads as failed", inProgress(atMostOnce), cmd(verbExtend, skewed), late, refused(ErrFinished)},
		{"extend, at most once, expired, other's: it reads as failed", inProgress(atMostOnce), cmd(verbExtend, other), late, refused(ErrFinished)},
		{"release, at most once, expired, own: accepted", inProgress(atMostOnce), cmd(verbRelease), late, changedTo(stateReleased)},
		{"complete, at most once, expired, own: accepted", inProgress(atMostOnce), cmd(verbComplete), late, changedTo(StateCompleted)},
		{"complete, at most once, expired, other's", inProgress(atMostOnce), cmd(verbComplete, other), late, refused(ErrLost)},
		{"fail, at most once, expired, own: accepted", inProgress(atMostOnce), cmd(verbFail), late, changedTo(StateFailed)},

		// an acquire for at most once, over plain work
		{"acquire for at most once, in progress: polling", inProgress(), cmd(verbAcquire, atMostOnce), inTime, asItStands(outPolling)},
		{"acquire for at most once, expired: failed", inProgress(), cmd(verbAcquire, atMostOnce), late, asItStands(outEnded)},
		{"acquire for at most once, expired within the clock skew: polling", inProgress(), cmd(verbAcquire, atMostOnce, skewed), late, asItStands(outPolling)},
		{"acquire for at most once, expired, with RetryFailed: takeover", inProgress(), cmd(verbAcquire, atMostOnce, retryFailed), late, takenOver},
		{"acquire for at most once, expired beyond retention: a new lease", inProgress(), cmd(verbAcquire, atMostOnce), forgotten, acquiredNew},
		{"acquire for at most once, released: failed", finished(verbRelease), cmd(verbAcquire, atMostOnce), ended, want{outEnded, nil, stateReleased, "own", 2, 1, 0}},
		{"acquire for at most once, released, with RetryFailed: takeover", finished(verbRelease), cmd(verbAcquire, atMostOnce, retryFailed), ended, wentOn},
		{"acquire for at most once, completed: as it stands", finished(verbComplete), cmd(verbAcquire, atMostOnce), ended, stands(StateCompleted, 0)},
		{"acquire for at most once, failed retryably: as it stands", finished(verbFail, retrying), cmd(verbAcquire, atMostOnce), ended, stands(StateFailed, 1)},
		{"acquire for at most once, failed retryably, with RetryFailed: anew, failures 0", finished(verbFail, retrying), cmd(verbAcquire, atMostOnce, retryFailed), ended, anew},
		{"acquire for at most once, failed for good: as it stands", finished(verbFail), cmd(verbAcquire, atMostOnce), ended, stands(StateFailed, 1)},

		// extend
		{"extend, no record", nil, cmd(verbExtend), 0, refused(ErrNotFound)},
		{"extend, in progress, other's", inProgress(), cmd(verbExtend, other), inTime, refused(ErrLost)},
		{"extend, in progress, own", inProgress(), cmd(verbExtend), inTime, changedTo(StateInProgress)},
		{"extend, expired, own: as if in time", inProgress(), cmd(verbExtend), late, changedTo(StateInProgress)},
		{"extend, expired, other's", inProgress(), cmd(verbExtend, other), late, refused(ErrLost)},
		{"extend, expired beyond retention", inProgress(), cmd(verbExtend), forgotten, refused(ErrNotFound)},
		{"extend, released, own", finished(verbRelease), cmd(verbExtend), ended, refused(ErrLost)},
		{"extend, released, other's", finished(verbRelease), cmd(verbExtend, other), ended, refused(ErrLost)},
		{"extend, completed, own", finished(verbComplete), cmd(verbExtend), ended, refused(ErrFinished)},
		{"extend, completed, other's", finished(verbComplete), cmd(verbExtend, other), ended, refused(ErrFinished)},
		{"extend, failed, own", finished(verbFail), cmd(verbExtend), ended, refused(ErrFinished)},
		{"extend, failed, other's", finished(verbFail), cmd(verbExtend, other), ended, refused(ErrFinished)},

		// release
		{"release, no record", nil, cmd(verbRelease), 0, refused(ErrNotFound)},
		{"release, in progress, other's", inProgress(), cmd(verbRelease, other), inTime, refused(ErrLost)},
		{"release, in progress, own: open to the next at once", inProgress(), cmd(verbRelease), inTime, changedTo(stateReleased)},
		{"release, expired, own: released", inProgress(), cmd(verbRelease), late, changedTo(stateReleased)},
		{"release, expired, other's", inProgress(), cmd(verbRelease, other), late, refused(ErrLost)},
		{"release, expired beyond retention", inProgress(), cmd(verbRelease), forgotten, refused(ErrNotFound)},
		{"release, released, own: success, unchanged", finished(verbRelease), cmd(verbRelease), ended, repeated(stateReleased)},
		{"release, released, other's", finished(verbRelease), cmd(verbRelease, other), ended, refused(ErrLost)},
		{"release, released beyond retention", finished(verbRelease), cmd(verbRelease), overAt, refused(ErrNotFound)},
		{"release, completed, own", finished(verbComplete), cmd(verbRelease), ended, refused(ErrFinished)},
		{"release, completed, other's", finished(verbComplete), cmd(verbRelease, other), ended, refused(ErrFinished)},
		{"release, failed, own", finished(verbFail), cmd(verbRelease), ended, refused(ErrFinished)},
		{"release, failed, other's", finished(verbFail), cmd(verbRelease, other), ended, refused(ErrFinished)},

		// complete
		{"complete, no record", nil, cmd(verbComplete), 0, refused(ErrNotFound)},
		{"complete, in progress, other's", inProgress(), cmd(verbComplete, other), inTime, refused(ErrLost)},
		{"complete, in progress, own", inProgress(), cmd(verbComplete), inTime, changedTo(StateCompleted)},
		{"complete, expired, own: accepted, since nobody took over", inProgress(), cmd(verbComplete), late, changedTo(StateCompleted)},
		{"complete, expired, other's", inProgress(), cmd(verbComplete, other), late, refused(ErrLost)},
		{"complete, expired beyond retention", inProgress(), cmd(verbComplete), forgotten, refused(ErrNotFound)},
		{"complete, released, own", finished(verbRelease), cmd(verbComplete), ended, refused(ErrLost)},
		{"complete, released, other's", finished(verbRelease), cmd(verbComplete, other), ended, refused(ErrLost)},
		{"complete, completed, own, same outcome: success, unchanged", finished(verbComplete), cmd(verbComplete), ended, repeated(StateCompleted)},
		{"complete, completed, own, another result", finished(verbComplete), cmd(verbComplete, otherwise), ended, refused(ErrFinished)},
		{"complete, completed, own, another hash", finished(verbComplete), cmd(verbComplete, func(c *command) { c.resultHash = "h2" }), ended, refused(ErrFinished)},
		{"complete, completed, other's", finished(verbComplete), cmd(verbComplete, other), ended, refused(ErrLost)},
		{"complete, completed beyond retention", finished(verbComplete), cmd(verbComplete), overAt, refused(ErrNotFound)},
		{"complete, failed, own", finished(verbFail), cmd(verbComplete), ended, refused(ErrFinished)},
		{"complete, failed, other's", finished(verbFail), cmd(verbComplete, other), ended, refused(ErrLost)},

		// fail, and cancel, which is a failure with a code of its own
		{"fail, no record", nil, cmd(verbFail), 0, refused(ErrNotFound)},
		{"fail, in progress, other's", inProgress(), cmd(verbFail, other), inTime, refused(ErrLost)},
		{"fail, in progress, own", inProgress(), cmd(verbFail), inTime, changedTo(StateFailed)},
		{"fail, in progress, own, retryably", inProgress(), cmd(verbFail, retrying), inTime, changedTo(StateFailed)},
		{"fail, expired, own: accepted", inProgress(), cmd(verbFail), late, changedTo(StateFailed)},
		{"fail, expired, other's", inProgress(), cmd(verbFail, other), late, refused(ErrLost)},
		{"fail, expired beyond retention", inProgress(), cmd(verbFail), forgotten, refused(ErrNotFound)},
		{"fail, released, own", finished(verbRelease), cmd(verbFail), ended, refused(ErrLost)},
		{"fail, released, other's", finished(verbRelease), cmd(verbFail, other), ended, refused(ErrLost)},
		{"fail, completed, own", finished(verbComplete), cmd(verbFail), ended, refused(ErrFinished)},
		{"fail, completed, other's", finished(verbComplete), cmd(verbFail, other), ended, refused(ErrLost)},
		{"fail, failed, own, same outcome: success, unchanged", finished(verbFail), cmd(verbFail), ended, repeated(StateFailed)},
		{"fail, failed, own, another code", finished(verbFail), cmd(verbFail, otherwise), ended, refused(ErrFinished)},
		{"fail, failed, own, another hash", finished(verbFail), cmd(verbFail, func(c *command) { c.errorHash = "e2" }), ended, refused(ErrFinished)},
		{"fail, failed, own, another text", finished(verbFail), cmd(verbFail, func(c *command) { c.errorText = "no" }), ended, refused(ErrFinished)},
		{"fail, failed for good, own, now retryably", finished(verbFail), cmd(verbFail, retrying), ended, refused(ErrFinished)},
		{"fail, failed retryably, own, now for good", finished(verbFail, retrying), cmd(verbFail), ended, refused(ErrFinished)},
		{"fail, failed, other's", finished(verbFail), cmd(verbFail, other), ended, refused(ErrLost)},
		{"fail, failed beyond retention", finished(verbFail), cmd(verbFail), overAt, refused(ErrNotFound)},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			before := written(tt.r)
			got, out, err := step(tt.r, tt.c, t0.Add(tt.at))
			if after := written(tt.r); after != before {
				t.Errorf("the record was changed\nfrom %s\n  to %s", before, after)
			}
			if !errors.Is(err, tt.want.err) || (err == nil) != (tt.want.err == nil) {
				t.Fatalf("error is %v, want %v", err, tt.want.err)
			}
			if err != nil {
				return
			}
			if g := (want{out, nil, got.State, got.LeaseID, got.Version, got.Attempt, got.Failures}); g != tt.want {
				t.Fatalf("\n got %+v\nwant %+v", g, tt.want)
			}
			if !out.writes() && got != tt.r {
				t.Error("the outcome writes nothing, and the record is another")
			}
		})
	}
}

// written is how r is stored, "" if there is none.
func written(r *record) string {
	if r == nil {
		return ""
	}
	return string(r.appendJSON(nil))
}

// same compares records by what they are written as.
func same(t *testing.T, got, want *record) {
	t.Helper()
	if g, w := written(got), written(want); g != w {
		t.Errorf("\n got %s\nwant %s", g, w)
	}
}

// TestWhatEachStepKeepsAndDrops compares whole records, whose fields are all in use.
func TestWhatEachStepKeepsAndDrops(t *testing.T) {
	const at = ttl + 5*time.Second // the lease has expired
	now := t0.Add(at)
	full := func() *record {
		return &record{
			Format: 1, State: StateInProgress, LeaseID: "own", Version: 4, Token: 9, Attempt: 3, Failures: 2,
			TTL: ttl, Retention: 2 * time.Hour, Deadline: t0.Add(ttl), FirstSeenAt: t0.Add(-time.Hour), AcquiredAt: t0, KeepUntil: t0.Add(ttl + retention),
			Metadata: []byte(`{"m":1}`), Progress: []byte(`"half"`), Checkpoint: []byte(`{"page":7}`), CheckpointSeq: 5,
			Nonce: "mine", Replaced: []string{"n1"}, InputHash: "i1", Op: "op_1", PrevOp: "op_0",
			Prev: &prev{"before", 2, 8, 1, t0.Add(-time.Minute), StateFailed, "end"},
		}
	}
	// fresh is the lease that "new" acquires, without what it keeps.
	fresh := func(change func(*record)) *record {
		r := &record{
			Format: 1, State: StateInProgress, LeaseID: "new", Version: 5, Attempt: 4, TTL: ttl, Retention: 3 * time.Hour,
			Deadline: now.Add(ttl), FirstSeenAt: t0.Add(-time.Hour), AcquiredAt: now, KeepUntil: now.Add(ttl + retention),
			Metadata: []byte(`{"m":2}`), Nonce: "theirs", Op: "op_2", PrevOp: "op_1",
			Prev: &prev{"own", 4, 9, 2, t0, StateInProgress, ""},
		}
		change(r)
		return r
	}
	asks := func(change ...func(*command)) *command {
		c := cmd(verbAcquire, nonce("theirs"))
		c.metadata, c.leaseRetention = []byte(`{"m":2}`), 3*time.Hour
		for _, f := range change {
			f(c)
		}
		return c
	}
	// own is full after a change by its holder.
	own := func(change func(*record)) *record {
		r := full()
		r.Version, r.Op, r.PrevOp = 5, "op_2", "op_1"
		change(r)
		return r
	}
	failed := func(retryable bool) *record {
		r := full()
		r.State, r.DoneAt, r.KeepUntil = StateFailed, t0.Add(ttl), t0.Add(3*time.Hour)
		r.ErrorCode, r.ErrorHash, r.ErrorText, r.Retryable = "boom", "e1", "it went boom", retryable
		return r
	}
	released := func() *record { r := full(); r.State = stateReleased; return r }

	for _, tt := range []struct {
		name string
		r    *record
		c    *command
		want *record
	}{
		{"a takeover keeps the first sight, the input, the failures, the checkpoint and what was replaced", full(), asks(), fresh(func(r *record) {
			r.InputHash, r.Failures, r.Checkpoint, r.Replaced = "i1", 2, []byte(`{"page":7}`), []string{"n1"}
		})},
		{"so does a takeover after a release", released(), asks(), fresh(func(r *record) {
			r.InputHash, r.Failures, r.Checkpoint, r.Replaced = "i1", 2, []byte(`{"page":7}`), []string{"n1"}
			r.Prev.State, r.Prev.End = stateReleased, "released"
		})},
		{"so does a retry, and nothing of the failure", failed(true), asks(), fresh(func(r *record) {
			r.InputHash, r.Failures, r.Checkpoint, r.Replaced = "i1", 2, []byte(`{"page":7}`), []string{"n1"}
			r.Prev.State, r.Prev.End = StateFailed, failureDigest("boom", "e1", "it went boom", true)
		})},
		{"so does RetryFailed, but for the failures", failed(false), asks(retryFailed), fresh(func(r *record) {
			r.InputHash, r.Checkpoint, r.Replaced = "i1", []byte(`{"page":7}`), []string{"n1"}
			r.Prev.State, r.Prev.End = StateFailed, failureDigest("boom", "e1", "it went boom", false)
		})},
		{"a takeover is at most once if the caller says so, whatever the lease before was", full(), asks(atMostOnce, retryFailed), fresh(func(r *record) {
			r.InputHash, r.Failures, r.Checkpoint, r.Replaced, r.AtMostOnce = "i1", 2, []byte(`{"page":7}`), []string{"n1"}, true
		})},
		{"a replacement keeps the first sight alone, and which calls were replaced", full(), asks(replace, input("i2")), fresh(func(r *record) {
			r.InputHash, r.Replaced = "i2", []string{"n1", "mine"}
		})},
		{"a replacement of an ended lease likewise", failed(false), asks(replace, input("i2")), fresh(func(r *record) {
			r.InputHash, r.Replaced = "i2", []string{"n1", "mine"}
			r.Prev.State, r.Prev.End = StateFailed, failureDigest("boom", "e1", "it went boom", false)
		})},
		{"a new lease over a forgotten one keeps how that ended, and nothing else", func() *record { r := full(); r.KeepUntil = now; return r }(), asks(), fresh(func(r *record) {
			r.Version, r.Attempt, r.FirstSeenAt = 1, 1, now
		})},
		{"extend sets the time left from now, to the lease's own TTL", full(), cmd(verbExtend), own(func(r *record) {
			r.Deadline, r.KeepUntil = now.Add(ttl), now.Add(ttl+retention)
		})},
		{"extend sets the time left to what is asked for, also to less", full(), cmd(verbExtend, func(c *command) { c.ttl = time.Second }), own(func(r *record) {
			r.TTL, r.Deadline, r.KeepUntil = time.Second, now.Add(time.Second), now.Add(time.Second+retention)
		})},
		{"extend carries metadata, progress and a checkpoint", full(), cmd(verbExtend, checkpoint(`{"page":8}`), seq(6), func(c *command) {
			c.metadata, c.progress = []byte(`{"m":3}`), []byte(`"most"`)
		}), own(func(r *record) {
			r.Deadline, r.KeepUntil = now.Add(ttl), now.Add(ttl+retention)
			r.Metadata, r.Progress, r.Checkpoint, r.CheckpointSeq = []byte(`{"m":3}`), []byte(`"most"`), []byte(`{"page":8}`), 6
		})},
		{"release keeps all, and is remembered for the Manager's retention", full(), cmd(verbRelease), own(func(r *record) {
			r.State, r.Deadline, r.KeepUntil = stateReleased, now, now.Add(retention)
		})},
		{"complete drops the checkpoint, and is remembered for the lease's own retention", full(), cmd(verbComplete), own(func(r *record) {
			r.State, r.DoneAt, r.KeepUntil = StateCompleted, now, now.Add(2*time.Hour)
			r.Checkpoint, r.CheckpointSeq, r.Result, r.ResultHash = nil, 0, []byte(`{"n":1}`), "h1"
		})},
		{"complete is remembered for the Manager's retention if the lease has none of its own", func() *record { r := full(); r.Retention = 0; return r }(), cmd(verbComplete), own(func(r *record) {
			r.State, r.DoneAt, r.KeepUntil, r.Retention = StateCompleted, now, now.Add(retention), 0
			r.Checkpoint, r.CheckpointSeq, r.Result, r.ResultHash = nil, 0, []byte(`{"n":1}`), "h1"
		})},
		{"fail keeps the checkpoint, and counts", full(), cmd(verbFail), own(func(r *record) {
			r.State, r.DoneAt, r.KeepUntil, r.Failures = StateFailed, now, now.Add(2*time.Hour), 3
			r.ErrorCode, r.ErrorHash, r.ErrorText = "boom", "e1", "it went boom"
		})},
		{"fail retryably says so", full(), cmd(verbFail, retrying, func(c *command) { c.progress = []byte(`"most"`) }), own(func(r *record) {
			r.State, r.DoneAt, r.KeepUntil, r.Failures = StateFailed, now, now.Add(2*time.Hour), 3
			r.ErrorCode, r.ErrorHash, r.ErrorText, r.Retryable, r.Progress = "boom", "e1", "it went boom", true, []byte(`"most"`)
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := written(tt.r)
			got, out, err := step(tt.r, tt.c, now)
			if err != nil || !out.writes() {
				t.Fatalf("outcome %d, error %v", out, err)
			}
			same(t, got, tt.want)
			if after := written(tt.r); after != before {
				t.Errorf("the record was changed\nfrom %s\n  to %s", before, after)
			}
		})
	}
}

func TestReplacedNoncesDoNotComeBack(t *testing.T) {
	// Ten inputs replace each other; the first was acquired without a nonce.
	r := inProgress(nonce(""), input("i0"))
	at := time.Duration(0)
	for i := 1; i <= 10; i++ {
		at += time.Second
		id := fmt.Sprint(i)
		r = then(r, at, cmd(verbAcquire, by("lease "+id), nonce("nonce "+id), input("i"+id), replace))
	}
	if r.Version != 11 || r.Attempt != 11 || len(r.Replaced) != mostReplaced {
		t.Fatalf("after ten replacements: %s", written(r))
	}
	// What stands, and what may yet become of it: each is as deep as the last eight.
	taken := then(r, at+ttl, cmd(verbAcquire, by("successor")))
	for name, r := range map[string]*record{
		"in progress": r,
		"taken over":  taken,
		"released":    then(r, at, cmd(verbRelease, by("lease 10"))),
		"completed":   then(r, at, cmd(verbComplete, by("lease 10"))),
		"failed":      then(r, at, cmd(verbFail, by("lease 10"))),
	} {
		for i := 2; i <= 9; i++ {
			id := fmt.Sprint(i)
			for _, how := range [][]func(*command){{}, {replace}, {retryFailed}} {
				c := cmd(verbAcquire, append(how, by("again"), nonce("nonce "+id), input("i"+id))...)
				if _, _, err := step(r, c, t0.Add(at)); !errors.Is(err, ErrLost) {
					t.Errorf("%s, the nonce of input %s: error is %v, want ErrLost", name, id, err)
				}
			}
		}
		c := cmd(verbAcquire, nonce("fresh"), input("i3"), replace)
		if _, out, err := step(r, c, t0.Add(at)); err != nil || out != outReplaced {
			t.Errorf("%s, a new call with an older input: outcome %d, error %v, want that it replaces", name, out, err)
		}
	}
	// A call without a nonce is remembered by its lease id, which judge looks for.
	first := then(inProgress(nonce(""), input("i0")), time.Second, cmd(verbAcquire, input("i1"), replace))
	if !slices.Equal(first.Replaced, []string{"own"}) {
		t.Errorf("replaced are %q", first.Replaced)
	}
	if gone, out, err := step(r, cmd(verbAcquire, nonce("nonce 5"), input("i5")), r.KeepUntil); err != nil || out != outAcquired || gone.Replaced != nil {
		t.Errorf("beyond retention: outcome %d, error %v, replaced %q", out, err, gone.Replaced)
	}
}

func TestFailuresCountUntilTheyAreForgiven(t *testing.T) {
	r := inProgress()
	at := time.Duration(0)
	for i := 1; i <= 3; i++ {
		at += time.Second
		r = then(r, at, cmd(verbFail, by(r.LeaseID), retrying))
		if r.Failures != i || r.Attempt != i {
			t.Fatalf("after %d failures: %s", i, written(r))
		}
		if _, out, err := step(r, cmd(verbAcquire, limit(i)), t0.Add(at)); err != nil || out != outEnded {
			t.Errorf("%d failures with that limit: outcome %d, error %v", i, out, err)
		}
		r = then(r, at, cmd(verbAcquire, by(fmt.Sprint(i)), limit(i+1)))
	}
	// Releases and expiry are no failures; they keep the count.
	r = then(r, at, cmd(verbRelease, by("3")))
	r = then(r, at, cmd(verbAcquire, by("4"), limit(1)))
	r = then(r, at+ttl, cmd(verbAcquire, by("5"), limit(1)))
	if r.Failures != 3 || r.Attempt != 6 {
		t.Errorf("after a release and an expiry: %s", written(r))
	}
	r = then(r, at+ttl, cmd(verbFail, by("5")))
	r = then(r, at+ttl, cmd(verbAcquire, by("6"), retryFailed))
	if r.Failures != 0 || r.Attempt != 7 {
		t.Errorf("after RetryFailed: %s", written(r))
	}
}

func TestCheckpoints(t *testing.T) {
	saved := func(r *record, at time.Duration, c *command) (string, uint64, outcome) {
		n, out, err := step(r, c, t0.Add(at))
		if err != nil {
			t.Fatal(err)
		}
		return string(n.Checkpoint), n.CheckpointSeq, out
	}
	first := then(inProgress(), time.Second, cmd(verbExtend, checkpoint("1")))
	third := then(first, 2*time.Second, cmd(verbExtend, checkpoint("3"), seq(3)))
	for _, tt := range []struct {
		name string
		r    *record
		c    *command
		at   time.Duration
		want string
		seq  uint64
		out  outcome
	}{
		{"an extension without one leaves it as it is", first, cmd(verbExtend), 3 * time.Second, "1", 0, outChanged},
		{"one without a sequence replaces another", first, cmd(verbExtend, checkpoint("2")), 3 * time.Second, "2", 0, outChanged},
		{"the first with a sequence replaces one without", first, cmd(verbExtend, checkpoint("2"), seq(1)), 3 * time.Second, "2", 1, outChanged},
		{"a later one replaces an earlier one", third, cmd(verbExtend, checkpoint("9"), seq(9)), 3 * time.Second, "9", 9, outChanged},
		{"the same once more is success, unchanged", third, cmd(verbExtend, checkpoint("3"), seq(3)), 3 * time.Second, "3", 3, outRepeated},
		{"an earlier one that comes late is success, unchanged", third, cmd(verbExtend, checkpoint("2"), seq(2)), 3 * time.Second, "3", 3, outRepeated},
		{"an extension without one keeps the sequence", third, cmd(verbExtend), 3 * time.Second, "3", 3, outChanged},
		{"one without a sequence keeps the sequence", third, cmd(verbExtend, checkpoint("x")), 3 * time.Second, "x", 3, outChanged},
		{"a takeover keeps it, and begins to count anew", third, cmd(verbAcquire), 2 * ttl, "3", 0, outTookOver},
		{"a release keeps it", third, cmd(verbRelease), 3 * time.Second, "3", 3, outChanged},
		{"a failure keeps it", third, cmd(verbFail), 3 * time.Second, "3", 3, outChanged},
		{"completion drops it", third, cmd(verbComplete), 3 * time.Second, "", 0, outChanged},
		{"a retry keeps it", then(third, 3*time.Second, cmd(verbFail, retrying)), cmd(verbAcquire), 4 * time.Second, "3", 0, outAcquired},
		{"whoever comes after a release gets it", then(third, 3*time.Second, cmd(verbRelease)), cmd(verbAcquire), 4 * time.Second, "3", 0, outTookOver},
		{"a new lease of a forgotten key has none", third, cmd(verbAcquire), 3 * retention, "", 0, outAcquired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, seq, out := saved(tt.r, tt.at, tt.c); got != tt.want || seq != tt.seq || out != tt.out {
				t.Errorf("the checkpoint is %q, sequence %d, outcome %d; want %q, %d, %d", got, seq, out, tt.want, tt.seq, tt.out)
			}
		})
	}
	t.Run("a holder who was fenced off does not overwrite its successor's, whatever the sequence", func(t *testing.T) {
		theirs := then(third, 2*ttl, cmd(verbAcquire))
		if _, _, err := step(theirs, cmd(verbExtend, checkpoint("9"), seq(9)), t0.Add(2*ttl)); !errors.Is(err, ErrLost) {
			t.Errorf("error is %v, want ErrLost", err)
		}
	})
	t.Run("Replace drops it", func(t *testing.T) {
		r := then(inProgress(input("i1")), time.Second, cmd(verbExtend, checkpoint("1")))
		if got, _, out := saved(r, 2*time.Second, cmd(verbAcquire, replace, input("i2"))); got != "" || out != outReplaced {
			t.Errorf("the checkpoint is %q, outcome %d", got, out)
		}
	})
}

func TestRetentionOfALease(t *testing.T) {
	keeping := func(d time.Duration) func(*command) { return func(c *command) { c.leaseRetention = d } }
	short, long := inProgress(keeping(time.Minute)), inProgress(keeping(5*time.Hour))
	for _, tt := range []struct {
		name string
		r    *record
		last time.Duration // since t0: from then on the key reads as absent
	}{
		{"a shorter one begins when the lease completes", then(short, endedAt, cmd(verbComplete)), endedAt + time.Minute},
		{"and when it fails", then(short, endedAt, cmd(verbFail)), endedAt + time.Minute},
		{"and when it fails retryably", then(short, endedAt, cmd(verbFail, retrying)), endedAt + time.Minute},
		{"a longer one likewise", then(long, endedAt, cmd(verbComplete)), endedAt + 5*time.Hour},
		{"an unfinished lease is remembered for the Manager's, past its deadline", short, ttl + retention},
		{"also after it was extended", then(long, endedAt, cmd(verbExtend)), endedAt + ttl + retention},
		{"a released lease is remembered for the Manager's", then(short, endedAt, cmd(verbRelease)), endedAt + retention},
		{"it is not inherited by a takeover", then(then(long, ttl, cmd(verbAcquire)), ttl, cmd(verbComplete, by("new"))), ttl + retention},
	} {
		t.Run(tt.name, func(t *testing.T) {
			last := t0.Add(tt.last)
			if tt.r.stateAt(last.Add(-1), 0) == StateNotFound || tt.r.stateAt(last, 0) != StateNotFound {
				t.Errorf("the key is known until %v, want %v", tt.r.KeepUntil.Sub(t0), tt.last)
			}
			if tt.r.stateAt(last.Add(time.Second-1), time.Second) == StateNotFound {
				t.Error("the clock skew does not delay the forgetting")
			}
		})
	}
}

// TestAnEndIsRememberedWhileTheNextLeaseStands repeats the end of a lease that has been taken over,
// retried or replaced since.
func TestAnEndIsRememberedWhileTheNextLeaseStands(t *testing.T) {
	ends := []struct {
		name  string
		c     *command
		other *command // the same verb with another outcome; nil if it has but one
		state State
	}{
		{"release", cmd(verbRelease), nil, stateReleased},
		{"complete", cmd(verbComplete), cmd(verbComplete, otherwise), StateCompleted},
		{"fail", cmd(verbFail), cmd(verbFail, otherwise), StateFailed},
		{"fail retryably", cmd(verbFail, retrying), cmd(verbFail), StateFailed},
	}
	for _, end := range ends {
		t.Run(end.name, func(t *testing.T) {
			ended := then(inProgress(input("i1")), endedAt, end.c)
			next := then(ended, endedAt, cmd(verbAcquire, op("op_3"), input("i2"), replace)) // takes over every state
			later := []struct {
				name string
				r    *record
			}{{"acquired by another", next}}
			at := endedAt
			for i := range 3 {
				at += time.Second
				next = then(next, at, cmd(verbExtend, by("new"), op(fmt.Sprint("heartbeat ", i))))
				later = append(later, struct {
					name string
					r    *record
				}{fmt.Sprintf("extended by another %d times", i+1), next})
			}
			for _, its := range ends {
				c := *its.c
				c.leaseID, c.op = "new", "op_4"
				later = append(later, struct {
					name string
					r    *record
				}{"ended by another: " + its.name, then(next, at, &c)})
			}
			for _, l := range later {
				before := written(l.r)
				got, out, err := step(l.r, end.c, t0.Add(at))
				if err != nil || out != outRepeated {
					t.Errorf("%s: outcome %d, error %v; want success, unchanged", l.name, out, err)
					continue
				}
				if got.State != end.state || got.LeaseID != "own" || got.Version != 2 || got.Token != 7 || got.Attempt != 1 || got.Retryable != end.c.retryable ||
					!got.AcquiredAt.Equal(t0) || !bytes.Equal(got.Result, end.c.result) || got.ErrorCode != end.c.errorCode {
					t.Errorf("%s: told of %s", l.name, written(got))
				}
				if after := written(l.r); after != before {
					t.Errorf("%s: the record was changed\nfrom %s\n  to %s", l.name, before, after)
				}
				for _, c := range []*command{end.other, cmd(verbExtend)} {
					if c == nil {
						continue
					}
					if _, _, err := step(l.r, c, t0.Add(at)); !errors.Is(err, ErrLost) && !errors.Is(err, ErrFinished) {
						t.Errorf("%s, then %+v: error is %v", l.name, c, err)
					}
				}
				stranger := *end.c
				stranger.leaseID = "nobody"
				if _, _, err := step(l.r, &stranger, t0.Add(at)); !errors.Is(err, ErrLost) && !errors.Is(err, ErrFinished) {
					t.Errorf("%s, by a stranger: error is %v", l.name, err)
				}
				for _, its := range ends {
					if its.state == end.state && its.c.retryable == end.c.retryable {
						continue
					}
					if _, _, err := step(l.r, its.c, t0.Add(at)); err == nil {
						t.Errorf("%s: it accepts that the lease ended by %s too", l.name, its.name)
					}
				}
			}
			// Two leases later nothing is known of the first.
			two := then(next, at+ttl, cmd(verbAcquire, by("third"), op("op_5")))
			if _, _, err := step(two, end.c, t0.Add(at+ttl)); !errors.Is(err, ErrLost) {
				t.Errorf("two leases later: error is %v, want ErrLost", err)
			}
		})
	}
	t.Run("a lease that expired did not end", func(t *testing.T) {
		next := then(inProgress(), ttl, cmd(verbAcquire))
		for _, end := range ends {
			if _, _, err := step(next, end.c, t0.Add(ttl)); !errors.Is(err, ErrLost) {
				t.Errorf("%s: error is %v, want ErrLost", end.name, err)
			}
		}
	})
	t.Run("a forgotten lease is remembered too, by the lease that was acquired in its place", func(t *testing.T) {
		anew := then(finished(verbComplete), endedAt+retention, cmd(verbAcquire))
		got, out, err := step(anew, cmd(verbComplete), t0.Add(endedAt+retention))
		if err != nil || out != outRepeated || got.Version != 2 || got.Attempt < 1 {
			t.Errorf("outcome %d, error %v, record %s", out, err, written(got))
		}
	})
}

// locked is the record of a lock, for one minute from t0.
func locked() *record {
	return then(nil, 0, &command{verb: verbLock, op: "op_1", ttl: ttl, metadata: []byte(`{"m":1}`), nonce: "mine"})
}

// TestLockTable is the table's like for locks, which know one verb.
func TestLockTable(t *testing.T) {
	const long = 2 * ttl // of the lock that is asked for
	for _, tt := range []struct {
		name string
		r    *record
		skew time.Duration
		at   time.Duration // since t0
		by   string        // the nonce
		want outcome
	}{
		{"no record: locked", nil, 0, 0, "", outAcquired},
		{"locked: duplicate", locked(), 0, 0, "", outDuplicate},
		{"locked, another nonce: duplicate", locked(), 0, 0, "other", outDuplicate},
		{"locked, same nonce: locked again", locked(), 0, ttl - 1, "mine", outAcquiredAgain},
		{"locked to the last nanosecond: duplicate", locked(), 0, ttl - 1, "", outDuplicate},
		{"over: locked anew", locked(), 0, ttl, "", outAcquired},
		{"over, same nonce: locked anew, for the lock is over", locked(), 0, ttl, "mine", outAcquired},
		{"over within the clock skew: duplicate", locked(), 10 * time.Second, ttl + 10*time.Second - 1, "", outDuplicate},
		{"over within the clock skew, same nonce: locked again", locked(), 10 * time.Second, ttl + 10*time.Second - 1, "mine", outAcquiredAgain},
		{"over beyond the clock skew: locked anew", locked(), 10 * time.Second, ttl + 10*time.Second, "", outAcquired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := t0.Add(tt.at)
			got, out, err := step(tt.r, &command{verb: verbLock, op: "op_2", ttl: long, skew: tt.skew, nonce: tt.by}, at)
			if err != nil || out != tt.want {
				t.Fatalf("outcome is %v, %v; want %v", out, err, tt.want)
			}
			if !out.writes() {
				same(t, got, locked())
				return
			}
			want := &record{
				Format: 1, State: stateLocked, Version: 1, Attempt: 1, TTL: long,
				Deadline: at.Add(long), FirstSeenAt: at, AcquiredAt: at, KeepUntil: at.Add(long), Nonce: tt.by, Op: "op_2",
			}
			if tt.r != nil {
				want.PrevOp = "op_1"
			}
			same(t, got, want)
		})
	}
}

func TestStateAt(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		r    *record
		at   time.Duration
		want State
	}{
		{"no record", nil, 0, StateNotFound},
		{"in progress to the last nanosecond", inProgress(), ttl - 1, StateInProgress},
		{"expired at the deadline", inProgress(), ttl, StateExpired},
		{"expired until retention ends", inProgress(), ttl + retention - 1, StateExpired},
		{"then not found", inProgress(), ttl + retention, StateNotFound},
		{"released reads as expired at once", finished(verbRelease), endedAt, StateExpired},
		{"released reads as expired until retention ends", finished(verbRelease), endedAt + retention - 1, StateExpired},
		{"released, then not found", finished(verbRelease), endedAt + retention, StateNotFound},
		{"at most once, in progress to the last nanosecond", inProgress(atMostOnce), ttl - 1, StateInProgress},
		{"at most once, failed at the deadline", inProgress(atMostOnce), ttl, StateFailed},
		{"at most once, failed until retention ends", inProgress(atMostOnce), ttl + retention - 1, StateFailed},
		{"at most once, then not found", inProgress(atMostOnce), ttl + retention, StateNotFound},
		{"at most once, released reads as expired", onceEnded(verbRelease), 2 * ttl, StateExpired},
		{"completed until retention ends", finished(verbComplete), endedAt + retention - 1, StateCompleted},
		{"completed, then not found", finished(verbComplete), endedAt + retention, StateNotFound},
		{"failed", finished(verbFail), endedAt, StateFailed},
		{"failed retryably", finished(verbFail, retrying), endedAt, StateFailed},
		{"locked to the last nanosecond", locked(), ttl - 1, stateLocked},
		{"locked, then not found", locked(), ttl, StateNotFound},
		{"long ago", finished(verbFail), 365 * day, StateNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.r.stateAt(t0.Add(tt.at), 0); got != tt.want {
				t.Errorf("state is %q, want %q", got, tt.want)
			}
		})
	}
}
