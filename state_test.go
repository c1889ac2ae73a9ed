package lease

import (
	"errors"
	"testing"
	"time"
)

// The table of DESIGN.md, section 3, one case for each cell. The holder of lease id "own" acquired
// the lease at t0, for one minute. The Manager's retention is an hour.

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
