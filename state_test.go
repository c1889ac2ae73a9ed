package lease

import (
	"errors"
	"testing"
	"time"
)

// The table of DESIGN.md, section 3, one case for each cell. t0 is when the lease under test was acquired, for one minute
// and with a retention of an hour, by the holder of lease id "own".

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	ttl       = time.Minute
	retention = time.Hour
)

// cmd is a command of the holder of "own", or of somebody who asks for a lease with the id "new".
func cmd(v verb, change ...func(*command)) *command {
	c := &command{verb: v, leaseID: "own", op: "op_2", ttl: ttl, retention: retention, errorCode: "boom", result: []byte(`{"n":1}`), resultHash: "h1", errorHash: "e1"}
	if v == verbAcquire {
		c.leaseID = "new"
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func other(c *command)       { c.leaseID = "other" }
func otherwise(c *command)   { c.result, c.errorCode = []byte(`{"n":2}`), "bang" }
func sameRequest(c *command) { c.requestID = "request" }
func otherRequest(c *command) {
	c.requestID = "other request"
}
func retryFailed(c *command)        { c.retryFailed = true }
func atMostOnce(c *command)         { c.atMostOnce = true }
func skewed(c *command)             { c.skew = 10 * time.Second }
func input(h string) func(*command) { return func(c *command) { c.inputHash = h } }

// inProgress is the record of the lease "own" as its holder acquired it.
func inProgress(change ...func(*command)) *record {
	c := cmd(verbAcquire, append([]func(*command){sameRequest, func(c *command) { c.leaseID, c.op, c.metadata = "own", "op_1", []byte(`{"m":1}`) }}, change...)...)
	r := newRecord(nil, c, t0)
	r.Token = 7
	return &r
}

// finished is the same after its holder ended it, ten seconds later.
func finished(v verb) *record {
	r, _, _ := step(inProgress(), cmd(v), t0.Add(10*time.Second))
	return &r
}

func TestStateTable(t *testing.T) {
	const (
		inTime    = 30 * time.Second           // the lease is held
		expired   = ttl                        // the first instant at which it is not
		late      = ttl + 5*time.Second        // and a while later
		forgotten = ttl + retention            // an unfinished lease reads as absent
		ended     = 10*time.Second + ttl*5     // a finished lease is retained
		overAt    = 10*time.Second + retention // and from here on it is not
	)
	type want struct {
		out     outcome
		err     error
		state   State // stored
		leaseID string
		version uint64
		attempt int
	}
	acquiredNew := want{outAcquired, nil, StateInProgress, "new", 1, 1}
	takenOver := want{outTookOver, nil, StateInProgress, "new", 2, 2}
	asItStands := func(out outcome) want { return want{out, nil, StateInProgress, "own", 1, 1} }
	changedTo := func(s State) want { return want{outChanged, nil, s, "own", 2, 1} }
	refused := func(err error) want { return want{err: err} }

	for _, tt := range []struct {
		name string
		r    *record
		c    *command
		at   time.Duration // since t0
		want want
	}{
		// acquire
		{"acquire, no record: a new lease", nil, cmd(verbAcquire), 0, acquiredNew},
		{"acquire, in progress: polling", inProgress(), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, another request id: polling", inProgress(), cmd(verbAcquire, otherRequest), inTime, asItStands(outPolling)},
		{"acquire, in progress, no request id on either side: polling", inProgress(func(c *command) { c.requestID = "" }), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, same request id: acquired again", inProgress(), cmd(verbAcquire, sameRequest), inTime, asItStands(outAcquiredAgain)},
		{"acquire, expired: takeover", inProgress(), cmd(verbAcquire), expired, takenOver},
		{"acquire, expired, same request id: takeover, for the lease is over", inProgress(), cmd(verbAcquire, sameRequest), late, takenOver},
		{"acquire, expired within the clock skew: polling", inProgress(), cmd(verbAcquire, skewed), late, asItStands(outPolling)},
		{"acquire, expired within the clock skew, same request id: acquired again", inProgress(), cmd(verbAcquire, skewed, sameRequest), late, asItStands(outAcquiredAgain)},
		{"acquire, expired beyond the clock skew: takeover", inProgress(), cmd(verbAcquire, skewed), ttl + 10*time.Second, takenOver},
		{"acquire, expired beyond retention: a new lease", inProgress(), cmd(verbAcquire), forgotten, acquiredNew},
		{"acquire, expired beyond retention but within the clock skew: takeover", inProgress(), cmd(verbAcquire, skewed), forgotten, takenOver},
		{"acquire, completed: as it stands", finished(verbComplete), cmd(verbAcquire), ended, want{outEnded, nil, StateCompleted, "own", 2, 1}},
		{"acquire, completed, same request id: as it stands", finished(verbComplete), cmd(verbAcquire, sameRequest), ended, want{outEnded, nil, StateCompleted, "own", 2, 1}},
		{"acquire, completed, with RetryFailed: as it stands", finished(verbComplete), cmd(verbAcquire, retryFailed), ended, want{outEnded, nil, StateCompleted, "own", 2, 1}},
		{"acquire, failed: as it stands", finished(verbFail), cmd(verbAcquire), ended, want{outEnded, nil, StateFailed, "own", 2, 1}},
		{"acquire, failed, with RetryFailed: anew", finished(verbFail), cmd(verbAcquire, retryFailed), ended, want{outAcquired, nil, StateInProgress, "new", 3, 2}},
		{"acquire, finished beyond retention: a new lease", finished(verbComplete), cmd(verbAcquire), overAt, acquiredNew},

		// extend
		{"extend, no record", nil, cmd(verbExtend), 0, refused(ErrNotFound)},
		{"extend, in progress, other's", inProgress(), cmd(verbExtend, other), inTime, refused(ErrLost)},
		{"extend, in progress, own", inProgress(), cmd(verbExtend), inTime, changedTo(StateInProgress)},
		{"extend, expired, own: as if in time", inProgress(), cmd(verbExtend), late, changedTo(StateInProgress)},
		{"extend, expired, other's", inProgress(), cmd(verbExtend, other), late, refused(ErrLost)},
		{"extend, expired beyond retention", inProgress(), cmd(verbExtend), forgotten, refused(ErrNotFound)},
		{"extend, finished, own", finished(verbComplete), cmd(verbExtend), ended, refused(ErrFinished)},
		{"extend, finished, other's", finished(verbFail), cmd(verbExtend, other), ended, refused(ErrFinished)},

		// complete
		{"complete, no record", nil, cmd(verbComplete), 0, refused(ErrNotFound)},
		{"complete, in progress, other's", inProgress(), cmd(verbComplete, other), inTime, refused(ErrLost)},
		{"complete, in progress, own", inProgress(), cmd(verbComplete), inTime, changedTo(StateCompleted)},
		{"complete, expired, own: accepted, since nobody took over", inProgress(), cmd(verbComplete), late, changedTo(StateCompleted)},
		{"complete, expired, other's", inProgress(), cmd(verbComplete, other), late, refused(ErrLost)},
		{"complete, expired beyond retention", inProgress(), cmd(verbComplete), forgotten, refused(ErrNotFound)},
		{"complete, completed, own, same outcome: success, unchanged", finished(verbComplete), cmd(verbComplete), ended, want{outRepeated, nil, StateCompleted, "own", 2, 1}},
		{"complete, completed, own, another result", finished(verbComplete), cmd(verbComplete, otherwise), ended, refused(ErrFinished)},
		{"complete, completed, own, another hash", finished(verbComplete), cmd(verbComplete, func(c *command) { c.resultHash = "h2" }), ended, refused(ErrFinished)},
		{"complete, failed, own", finished(verbFail), cmd(verbComplete), ended, refused(ErrFinished)},
		{"complete, completed, other's", finished(verbComplete), cmd(verbComplete, other), ended, refused(ErrLost)},
		{"complete, finished beyond retention", finished(verbComplete), cmd(verbComplete), overAt, refused(ErrNotFound)},

		// fail, and cancel, which is a failure with a code of its own
		{"fail, no record", nil, cmd(verbFail), 0, refused(ErrNotFound)},
		{"fail, in progress, other's", inProgress(), cmd(verbFail, other), inTime, refused(ErrLost)},
		{"fail, in progress, own", inProgress(), cmd(verbFail), inTime, changedTo(StateFailed)},
		{"fail, expired, own: accepted", inProgress(), cmd(verbFail), late, changedTo(StateFailed)},
		{"fail, expired, other's", inProgress(), cmd(verbFail, other), late, refused(ErrLost)},
		{"fail, expired beyond retention", inProgress(), cmd(verbFail), forgotten, refused(ErrNotFound)},
		{"fail, failed, own, same outcome: success, unchanged", finished(verbFail), cmd(verbFail), ended, want{outRepeated, nil, StateFailed, "own", 2, 1}},
		{"fail, failed, own, another code", finished(verbFail), cmd(verbFail, otherwise), ended, refused(ErrFinished)},
		{"fail, failed, own, another hash", finished(verbFail), cmd(verbFail, func(c *command) { c.errorHash = "e2" }), ended, refused(ErrFinished)},
		{"fail, completed, own", finished(verbComplete), cmd(verbFail), ended, refused(ErrFinished)},
		{"fail, failed, other's", finished(verbFail), cmd(verbFail, other), ended, refused(ErrLost)},

		// at most once: past its deadline the lease reads as failed, and is not taken over
		{"acquire, at most once, in progress: polling", inProgress(atMostOnce), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, at most once, expired: failed, as it stands", inProgress(atMostOnce), cmd(verbAcquire), late, asItStands(outEnded)},
		{"acquire, at most once, expired, same request id: failed", inProgress(atMostOnce), cmd(verbAcquire, sameRequest), late, asItStands(outEnded)},
		{"acquire, at most once, expired, with RetryFailed: anew", inProgress(atMostOnce), cmd(verbAcquire, retryFailed), late, want{outAcquired, nil, StateInProgress, "new", 2, 2}},
		{"acquire, at most once, expired within the clock skew, with RetryFailed: polling", inProgress(atMostOnce), cmd(verbAcquire, retryFailed, skewed), late, asItStands(outPolling)},
		{"acquire, at most once, expired beyond retention: a new lease", inProgress(atMostOnce), cmd(verbAcquire), forgotten, acquiredNew},
		{"extend, at most once, expired, own: it reads as failed", inProgress(atMostOnce), cmd(verbExtend), late, refused(ErrFinished)},
		{"complete, at most once, expired, own: accepted", inProgress(atMostOnce), cmd(verbComplete), late, changedTo(StateCompleted)},
		{"complete, at most once, expired, other's", inProgress(atMostOnce), cmd(verbComplete, other), late, refused(ErrLost)},
		{"fail, at most once, expired, own: accepted", inProgress(atMostOnce), cmd(verbFail), late, changedTo(StateFailed)},

		// input hash
		{"acquire, in progress, same input: polling", inProgress(input("i1")), cmd(verbAcquire, input("i1")), inTime, asItStands(outPolling)},
		{"acquire, in progress, another input", inProgress(input("i1")), cmd(verbAcquire, input("i2")), inTime, refused(ErrInputMismatch)},
		{"acquire, in progress, input not stated: polling", inProgress(input("i1")), cmd(verbAcquire), inTime, asItStands(outPolling)},
		{"acquire, in progress, input not known: polling", inProgress(), cmd(verbAcquire, input("i2")), inTime, asItStands(outPolling)},
		{"acquire, expired, another input", inProgress(input("i1")), cmd(verbAcquire, input("i2")), late, refused(ErrInputMismatch)},
		{"acquire, beyond retention, another input: a new lease", inProgress(input("i1")), cmd(verbAcquire, input("i2")), forgotten, acquiredNew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, out, err := step(tt.r, tt.c, t0.Add(tt.at))
			if !errors.Is(err, tt.want.err) || (err == nil) != (tt.want.err == nil) {
				t.Fatalf("error is %v, want %v", err, tt.want.err)
			}
			if err != nil {
				return
			}
			if g := (want{out, nil, got.State, got.LeaseID, got.Version, got.Attempt}); g != tt.want {
				t.Fatalf("\n got %+v\nwant %+v", g, tt.want)
			}
		})
	}
}

// locked is the record of a lock, for one minute from t0.
func locked() *record {
	r, _, _ := step(nil, &command{verb: verbLock, op: "op_1", ttl: ttl, metadata: []byte(`{"m":1}`), requestID: "rq"}, t0)
	r.Token = 7
	return &r
}

// TestLockTable is the table's like for locks, which know one verb.
func TestLockTable(t *testing.T) {
	const long = 2 * ttl // of the lock that is asked for
	for _, tt := range []struct {
		name string
		r    *record
		skew time.Duration
		at   time.Duration // since t0
		by   string        // the request id
		want outcome
	}{
		{"no record: locked", nil, 0, 0, "", outAcquired},
		{"locked: duplicate", locked(), 0, 0, "", outDuplicate},
		{"locked, another request id: duplicate", locked(), 0, 0, "other", outDuplicate},
		{"locked, same request id: locked again", locked(), 0, ttl - 1, "rq", outAcquiredAgain},
		{"locked to the last nanosecond: duplicate", locked(), 0, ttl - 1, "", outDuplicate},
		{"over: locked anew", locked(), 0, ttl, "", outAcquired},
		{"over, same request id: locked anew, for the lock is over", locked(), 0, ttl, "rq", outAcquired},
		{"over within the clock skew: duplicate", locked(), 10 * time.Second, ttl + 10*time.Second - 1, "", outDuplicate},
		{"over beyond the clock skew: locked anew", locked(), 10 * time.Second, ttl + 10*time.Second, "", outAcquired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := t0.Add(tt.at)
			got, out, err := step(tt.r, &command{verb: verbLock, op: "op_2", ttl: long, skew: tt.skew, retention: retention, requestID: tt.by}, at)
			if err != nil || out != tt.want {
				t.Fatalf("outcome is %v, %v; want %v", out, err, tt.want)
			}
			if !out.writes() {
				same(t, got, *locked())
				return
			}
			want := record{
				Format: 1, State: stateLocked, Version: 1, Attempt: 1, TTL: long,
				Deadline: at.Add(long), FirstSeenAt: at, AcquiredAt: at, KeepUntil: at.Add(long), RequestID: tt.by, Op: "op_2",
			}
			if tt.r != nil {
				want.PrevOp = "op_1"
			}
			same(t, got, want)
		})
	}
}

func TestStepSetsTheRestOfTheRecord(t *testing.T) {
	at := t0.Add(ttl + 5*time.Second)
	t.Run("a takeover keeps the first sight and the input, and nothing of the holder", func(t *testing.T) {
		got, _, err := step(inProgress(input("i1"), atMostOnce), cmd(verbAcquire, retryFailed, otherRequest), at)
		if err != nil {
			t.Fatal(err)
		}
		want := record{
			Format: 1, State: StateInProgress, LeaseID: "new", Version: 2, Attempt: 2, TTL: ttl,
			Deadline: at.Add(ttl), FirstSeenAt: t0, AcquiredAt: at, KeepUntil: at.Add(ttl + retention),
			RequestID: "other request", InputHash: "i1", Op: "op_2", PrevOp: "op_1",
		}
		same(t, got, want)
	})
	t.Run("extend sets the time left from now, also to less", func(t *testing.T) {
		got, _, err := step(inProgress(), cmd(verbExtend, func(c *command) { c.ttl = time.Second }), t0.Add(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		want := *inProgress()
		want.Version, want.TTL, want.Deadline, want.KeepUntil = 2, time.Second, t0.Add(2*time.Second), t0.Add(2*time.Second+retention)
		want.Op, want.PrevOp = "op_2", "op_1"
		same(t, got, want)
	})
	t.Run("complete keeps what the acquisition said, and fills in the token", func(t *testing.T) {
		got, _, err := step(inProgress(), cmd(verbComplete), at)
		if err != nil {
			t.Fatal(err)
		}
		want := *inProgress()
		want.State, want.Version, want.Token, want.DoneAt, want.KeepUntil = StateCompleted, 2, 7, at, at.Add(retention)
		want.Result, want.ResultHash, want.Op, want.PrevOp = []byte(`{"n":1}`), "h1", "op_2", "op_1"
		same(t, got, want)
	})
	t.Run("fail likewise", func(t *testing.T) {
		got, _, err := step(inProgress(), cmd(verbFail), at)
		if err != nil {
			t.Fatal(err)
		}
		want := *inProgress()
		want.State, want.Version, want.Token, want.DoneAt, want.KeepUntil = StateFailed, 2, 7, at, at.Add(retention)
		want.ErrorCode, want.ErrorHash, want.Op, want.PrevOp = "boom", "e1", "op_2", "op_1"
		same(t, got, want)
	})
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
		{"at most once, in progress to the last nanosecond", inProgress(atMostOnce), ttl - 1, StateInProgress},
		{"at most once, failed at the deadline", inProgress(atMostOnce), ttl, StateFailed},
		{"at most once, failed until retention ends", inProgress(atMostOnce), ttl + retention - 1, StateFailed},
		{"at most once, then not found", inProgress(atMostOnce), ttl + retention, StateNotFound},
		{"completed until retention ends", finished(verbComplete), 10*time.Second + retention - 1, StateCompleted},
		{"completed, then not found", finished(verbComplete), 10*time.Second + retention, StateNotFound},
		{"failed", finished(verbFail), 10 * time.Second, StateFailed},
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

// same compares records by what they are written as, and their tokens.
func same(t *testing.T, got, want record) {
	t.Helper()
	if g, w := string(got.appendJSON(nil)), string(want.appendJSON(nil)); g != w {
		t.Errorf("\n got %s\nwant %s", g, w)
	}
}
