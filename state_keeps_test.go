package lease

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

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
