package lease

import (
	"errors"
	"testing"
	"time"
)

// A run with the ticket "ticket" and the nonce "mine" was started at t0: within ten minutes, at
// most three failures, the first pause 8 s. Worker "one" claimed it at t0, for a minute.

const whole = 10 * time.Minute

func startIt(change ...change) *command {
	c := cmd(verbAcquire, by("ticket"), nonce("mine"), input("i1"))
	c.start = &start{task: "sum", input: []byte(`{"in":1}`), within: whole, attempts: 3, pauseFirst: 8 * time.Second, pauseMost: time.Minute}
	for _, f := range change {
		f(c)
	}
	return c
}

func again(id string, change ...change) *command {
	return startIt(append([]func(*command){by(id), nonce("n " + id)}, change...)...)
}

func claimBy(id string, change ...change) *command {
	c := cmd(verbClaim, by(id))
	c.ttl = ttl
	for _, f := range change {
		f(c)
	}
	return c
}

func as(v verb, id string, change ...change) *command {
	return cmd(v, append([]func(*command){by(id)}, change...)...)
}

func canceling(c *command)            { c.cancel, c.errorCode = true, "canceled" }
func delayed(c *command)              { c.start.delay = 30 * time.Second }
func attempts(n int) change           { return func(c *command) { c.start.attempts = n } }
func withinIt(d time.Duration) change { return func(c *command) { c.start.within = d } }

func asked(change ...change) *record   { return then(nil, 0, startIt(change...)) }
func claimed(change ...change) *record { return then(asked(change...), 0, claimBy("one")) }

// after is the claimed run after what its worker, or whoever has the ticket, did ten seconds later.
func after(c *command, change ...change) *record { return then(claimed(change...), endedAt, c) }

func TestRunTable(t *testing.T) {
	const (
		soon   = endedAt          // right after what was done
		later  = 30 * time.Second // the claim still stands
		ranOut = ttl              // the first instant at which it does not
		paused = endedAt + 8*time.Second
		end    = whole
	)
	type want struct {
		out      outcome
		err      error
		reads    State // to who looks
		leaseID  string
		version  uint64
		attempt  int
		failures int
		code     string
	}
	refused := func(err error) want { return want{err: err} }
	gone := func() *record { return after(as(verbFail, "ticket", canceling)) } // canceled over the claim
	begunAnew := func() *record { return then(gone(), endedAt, again("ticket2", retryFailed)) }
	failedOnce := func() *record { return after(as(verbFail, "one", retrying)) }
	released := func() *record { return after(as(verbRelease, "one")) }

	cases := []struct {
		name string
		r    *record
		c    *command
		at   time.Duration
		want want
	}{
		// by hand: acquire, Do and Replace are polling, whatever the time
		{"acquire, waits: polling", asked(), cmd(verbAcquire), soon, want{outPolling, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"acquire, claimed: polling", claimed(), cmd(verbAcquire), later, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"acquire, the claim ran out: polling", claimed(), cmd(verbAcquire), ranOut, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"acquire, the claim ran out, the ticket's nonce: polling", claimed(), cmd(verbAcquire, nonce("mine")), ranOut, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"acquire, between attempts: polling", failedOnce(), cmd(verbAcquire), paused, want{outPolling, nil, StateInProgress, "one", 3, 1, 1, "boom"}},
		{"acquire, released: polling", released(), cmd(verbAcquire), later, want{outPolling, nil, StateInProgress, "one", 3, 1, 0, ""}},
		{"acquire, other input", claimed(), cmd(verbAcquire, input("i2")), later, refused(ErrInputMismatch)},
		{"replace by hand, other input: polling", claimed(), cmd(verbAcquire, input("i2"), replace), later, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"replace by hand, the claim ran out: polling", claimed(), cmd(verbAcquire, input("i2"), replace), ranOut, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"acquire, past the deadline of the whole: as it reads", asked(), cmd(verbAcquire), end, want{outEnded, nil, StateFailed, "ticket", 1, 1, 0, ""}},
		{"acquire with RetryFailed, past the deadline of the whole: polling", asked(), cmd(verbAcquire, retryFailed), end, want{outPolling, nil, StateFailed, "ticket", 1, 1, 0, ""}},
		{"acquire, completed: as it stands", after(as(verbComplete, "one")), cmd(verbAcquire), later, want{outEnded, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"acquire with RetryFailed, canceled over a claim: polling, its worker may not know", gone(), cmd(verbAcquire, retryFailed), later, want{outPolling, nil, StateFailed, "ticket", 3, 1, 1, "canceled"}},
		{"acquire with RetryFailed, canceled over a claim that ran out: a lease", gone(), cmd(verbAcquire, retryFailed), ranOut, want{outAcquired, nil, StateInProgress, "new", 4, 2, 0, ""}},

		// start
		{"start, no record", nil, startIt(), 0, want{outAcquired, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"start, waits: polling", asked(), again("ticket2"), soon, want{outPolling, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"start, waits, same nonce: acquired again", asked(), again("ticket2", nonce("mine")), soon, want{outAcquiredAgain, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"start, claimed, same nonce: acquired again", claimed(), again("ticket2", nonce("mine")), later, want{outAcquiredAgain, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"start, claimed: polling", claimed(), again("ticket2"), later, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"start, other input", claimed(), again("ticket2", input("i2")), later, refused(ErrInputMismatch)},
		{"start, other input, with Replace: a new run", claimed(), again("ticket2", input("i2"), replace), later, want{outReplaced, nil, StateInProgress, "ticket2", 3, 2, 0, ""}},
		{"start, completed: as it stands", after(as(verbComplete, "one")), again("ticket2"), later, want{outEnded, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"start, failed for good: as it stands", after(as(verbFail, "one")), again("ticket2"), later, want{outEnded, nil, StateFailed, "one", 3, 1, 1, "boom"}},
		{"start, failed for good, with RetryFailed: a new run, failures 0", after(as(verbFail, "one")), again("ticket2", retryFailed), later, want{outAcquired, nil, StateInProgress, "ticket2", 4, 2, 0, ""}},
		{"start, leased by hand: polling", inProgress(), again("ticket2"), later, want{outPolling, nil, StateInProgress, "own", 1, 1, 0, ""}},
		{"start, expired by hand: a run", inProgress(), again("ticket2"), ranOut, want{outTookOver, nil, StateInProgress, "ticket2", 2, 2, 0, ""}},
		{"start, released by hand: a run", finished(verbRelease), again("ticket2"), later, want{outTookOver, nil, StateInProgress, "ticket2", 3, 2, 0, ""}},
		{"start, past the deadline of the whole: as it reads", asked(), again("ticket2"), end, want{outEnded, nil, StateFailed, "ticket", 1, 1, 0, ""}},
		{"start with RetryFailed, past the deadline of the whole: a new run", asked(), again("ticket2", retryFailed), end, want{outAcquired, nil, StateInProgress, "ticket2", 2, 2, 0, ""}},

		// claim
		{"claim, no record", nil, claimBy("one"), 0, refused(ErrNotFound)},
		{"claim, by hand: polling", inProgress(), claimBy("one"), ranOut, want{outPolling, nil, StateExpired, "own", 1, 1, 0, ""}},
		{"claim, due", asked(), claimBy("one"), 0, want{outAcquired, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, not due: wait", asked(delayed), claimBy("one"), later - 1, want{outPolling, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"claim, delayed and due", asked(delayed), claimBy("one"), later, want{outAcquired, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, claimed: polling", claimed(), claimBy("two"), ranOut - 1, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, its own: again", claimed(), claimBy("one"), later, want{outAcquiredAgain, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, ran out: a failure, taken over", claimed(), claimBy("two"), ranOut, want{outTookOver, nil, StateInProgress, "two", 3, 2, 1, ""}},
		{"claim, ran out within the clock skew: polling", claimed(), claimBy("two", skewed), ranOut, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, ran out once too often: the run ends", claimed(attempts(1)), claimBy("two"), ranOut, want{outRanOut, nil, StateFailed, "two", 3, 1, 1, "attempts_exhausted"}},
		{"claim, released: at once, no failure", released(), claimBy("two"), soon, want{outTookOver, nil, StateInProgress, "two", 4, 2, 0, ""}},
		{"claim, failed, during the pause: wait", failedOnce(), claimBy("two"), soon, want{outPolling, nil, StateInProgress, "one", 3, 1, 1, "boom"}},
		{"claim, failed, after the pause", failedOnce(), claimBy("two"), paused, want{outAcquired, nil, StateInProgress, "two", 4, 2, 1, ""}},
		{"claim, completed: as it stands", after(as(verbComplete, "one")), claimBy("two"), later, want{outEnded, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"claim, past the deadline of the whole: the run ends", asked(), claimBy("one"), end, want{outRanOut, nil, StateFailed, "one", 2, 1, 0, "deadline_exceeded"}},
		{"claim, past the deadline of the whole within the clock skew: wait", asked(), claimBy("one", skewed), end, want{outPolling, nil, StateFailed, "ticket", 1, 1, 0, ""}},
		{"claim, past the deadline of the whole, claimed: polling", claimed(withinIt(later)), claimBy("two"), later, want{outPolling, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"claim, past the deadline of the whole, ran out: the run ends", claimed(withinIt(later)), claimBy("two"), ranOut, want{outRanOut, nil, StateFailed, "two", 3, 1, 1, "deadline_exceeded"}},
		{"claim, begun anew over a claim: wait, its worker may not know", begunAnew(), claimBy("two"), ranOut - 1, want{outPolling, nil, StateInProgress, "ticket2", 4, 2, 0, ""}},
		{"claim, begun anew over a claim, within the clock skew of it: wait", begunAnew(), claimBy("two", skewed), ranOut, want{outPolling, nil, StateInProgress, "ticket2", 4, 2, 0, ""}},
		{"claim, begun anew over a claim that ran out", begunAnew(), claimBy("two"), ranOut, want{outAcquired, nil, StateInProgress, "two", 5, 2, 0, ""}},
		{"claim, begun anew over a claim that has stopped", then(begunAnew(), endedAt, as(verbRelease, "one")), claimBy("two"), soon, want{outAcquired, nil, StateInProgress, "two", 6, 2, 0, ""}},
		{"claim, canceled before it was begun anew, stopped in between", then(then(gone(), endedAt, as(verbRelease, "one")), endedAt, again("ticket2", retryFailed)), claimBy("two"), soon, want{outAcquired, nil, StateInProgress, "two", 6, 2, 0, ""}},
		{"claim, replaced over a claim: wait", then(claimed(), endedAt, again("ticket2", input("i2"), replace)), claimBy("two"), later, want{outPolling, nil, StateInProgress, "ticket2", 3, 2, 0, ""}},

		// at most once
		{"claim, at most once, ran out: wait, its worker may say how it ended", claimed(atMostOnce), claimBy("two"), 2*ttl - 1, want{outPolling, nil, StateFailed, "one", 2, 1, 0, ""}},
		{"claim, at most once, one TTL later: failed", claimed(atMostOnce), claimBy("two"), 2 * ttl, want{outRanOut, nil, StateFailed, "two", 3, 1, 1, "expired"}},
		{"complete, at most once, ran out: accepted", claimed(atMostOnce), as(verbComplete, "one"), 2 * ttl, want{outChanged, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"complete, at most once, written as failed", then(claimed(atMostOnce), 2*ttl, claimBy("two")), as(verbComplete, "one"), 2 * ttl, refused(ErrLost)},
		{"extend, at most once, ran out", claimed(atMostOnce), as(verbExtend, "one"), ranOut, refused(ErrFinished)},
		{"acquire, at most once, ran out: as it reads", claimed(atMostOnce), cmd(verbAcquire), ranOut, want{outEnded, nil, StateFailed, "one", 2, 1, 0, ""}},
		{"cancel, at most once, ran out: it reads as failed", claimed(atMostOnce), as(verbFail, "ticket", canceling), ranOut, refused(ErrFinished)},
		{"start with RetryFailed, at most once, ran out: a new run", claimed(atMostOnce), again("ticket2", retryFailed), ranOut, want{outAcquired, nil, StateInProgress, "ticket2", 3, 2, 0, ""}},
		{"claim, at most once, released: claimed", after(as(verbRelease, "one"), atMostOnce), claimBy("two"), later, want{outTookOver, nil, StateInProgress, "two", 4, 2, 0, ""}},

		// by the ticket
		{"extend, ticket, waits: unchanged", asked(), as(verbExtend, "ticket"), later, want{outRepeated, nil, StateInProgress, "ticket", 1, 1, 0, ""}},
		{"extend, ticket, claimed: unchanged", claimed(), as(verbExtend, "ticket"), later, want{outRepeated, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"extend, ticket, the claim ran out: unchanged", claimed(), as(verbExtend, "ticket"), ranOut, want{outRepeated, nil, StateInProgress, "one", 2, 1, 0, ""}},
		{"extend, ticket, between attempts: unchanged", failedOnce(), as(verbExtend, "ticket"), later, want{outRepeated, nil, StateInProgress, "one", 3, 1, 1, "boom"}},
		{"extend, ticket, ended", gone(), as(verbExtend, "ticket"), later, refused(ErrFinished)},
		{"extend, ticket, past the deadline of the whole", asked(), as(verbExtend, "ticket"), end, refused(ErrFinished)},
		{"extend, an earlier ticket", begunAnew(), as(verbExtend, "ticket"), later, refused(ErrLost)},
		{"complete, ticket", asked(), as(verbComplete, "ticket"), later, refused(ErrLost)},
		{"fail, ticket", claimed(), as(verbFail, "ticket"), later, refused(ErrLost)},
		{"release, ticket", claimed(), as(verbRelease, "ticket"), later, refused(ErrLost)},
		{"release, ticket, ended", gone(), as(verbRelease, "ticket"), later, refused(ErrLost)},
		{"cancel, ticket, waits", asked(), as(verbFail, "ticket", canceling), later, want{outChanged, nil, StateFailed, "ticket", 2, 1, 1, "canceled"}},
		{"cancel, ticket, claimed", claimed(), as(verbFail, "ticket", canceling), later, want{outChanged, nil, StateFailed, "ticket", 3, 1, 1, "canceled"}},
		{"cancel, ticket, the claim ran out", claimed(), as(verbFail, "ticket", canceling), ranOut, want{outChanged, nil, StateFailed, "ticket", 3, 1, 1, "canceled"}},
		{"cancel, ticket, between attempts", failedOnce(), as(verbFail, "ticket", canceling), later, want{outChanged, nil, StateFailed, "ticket", 4, 1, 2, "canceled"}},
		{"cancel, ticket, canceled: success, unchanged", gone(), as(verbFail, "ticket", canceling), later, want{outRepeated, nil, StateFailed, "ticket", 3, 1, 1, "canceled"}},
		{"cancel, ticket, canceled and begun anew: success", begunAnew(), as(verbFail, "ticket", canceling), later, want{outRepeated, nil, StateFailed, "ticket", 3, 1, 1, "canceled"}},
		{"cancel, ticket, completed", after(as(verbComplete, "one")), as(verbFail, "ticket", canceling), later, refused(ErrFinished)},
		{"cancel, another id", claimed(), as(verbFail, "other", canceling), later, refused(ErrLost)},

		// by a claim
		{"extend, claim", claimed(), as(verbExtend, "one"), later, want{outChanged, nil, StateInProgress, "one", 3, 1, 0, ""}},
		{"extend, claim that ran out: as if in time", claimed(), as(verbExtend, "one"), ranOut, want{outChanged, nil, StateInProgress, "one", 3, 1, 0, ""}},
		{"extend, claim, past the deadline of the whole", claimed(withinIt(later)), as(verbExtend, "one"), later, refused(ErrFinished)},
		{"extend, claim that failed", failedOnce(), as(verbExtend, "one"), later, refused(ErrLost)},
		{"extend, claim that was taken over", then(claimed(), ranOut, claimBy("two")), as(verbExtend, "one"), ranOut, refused(ErrLost)},
		{"extend, claim over which the run was canceled", gone(), as(verbExtend, "one"), later, refused(ErrFinished)},
		{"release, claim: due at once, no failure", claimed(), as(verbRelease, "one"), later, want{outChanged, nil, StateInProgress, "one", 3, 1, 0, ""}},
		{"release, claim, again: success, unchanged", released(), as(verbRelease, "one"), later, want{outRepeated, nil, StateInProgress, "one", 3, 1, 0, ""}},
		{"release, claim over which the run was canceled: it has stopped", gone(), as(verbRelease, "one"), later, want{outChanged, nil, StateFailed, "ticket", 4, 1, 1, "canceled"}},
		{"release, claim over which the run was begun anew: it has stopped", begunAnew(), as(verbRelease, "one"), later, want{outChanged, nil, StateInProgress, "ticket2", 5, 2, 0, ""}},
		{"complete, claim", claimed(), as(verbComplete, "one"), later, want{outChanged, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"complete, claim that ran out: accepted, since nobody took over", claimed(), as(verbComplete, "one"), ranOut, want{outChanged, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"complete, claim, again: success, unchanged", after(as(verbComplete, "one")), as(verbComplete, "one"), later, want{outRepeated, nil, StateCompleted, "one", 3, 1, 0, ""}},
		{"complete, claim, of a run that was begun anew since: lost", then(after(as(verbFail, "one")), endedAt, again("ticket2", retryFailed)), as(verbComplete, "one"), later, refused(ErrLost)},
		{"complete, claim that was taken over", then(claimed(), ranOut, claimBy("two")), as(verbComplete, "one"), ranOut, refused(ErrLost)},
		{"complete, claim over which the run was canceled", gone(), as(verbComplete, "one"), later, refused(ErrLost)},
		{"fail for good, claim", claimed(), as(verbFail, "one"), later, want{outChanged, nil, StateFailed, "one", 3, 1, 1, "boom"}},
		{"fail retryably, claim: between attempts", claimed(), as(verbFail, "one", retrying), later, want{outChanged, nil, StateInProgress, "one", 3, 1, 1, "boom"}},
		{"fail retryably, claim, again: success, unchanged", failedOnce(), as(verbFail, "one", retrying), later, want{outRepeated, nil, StateInProgress, "one", 3, 1, 1, "boom"}},
		{"fail retryably, claim, again, after the next claim: success", then(failedOnce(), paused, claimBy("two")), as(verbFail, "one", retrying), later, want{outRepeated, nil, StateFailed, "one", 3, 1, 1, "boom"}},
		{"fail retryably, claim, once too often: the run ends", claimed(attempts(1)), as(verbFail, "one", retrying), later, want{outChanged, nil, StateFailed, "one", 3, 1, 1, "attempts_exhausted"}},
		{"fail retryably, claim, once too often, again: success, unchanged", after(as(verbFail, "one", retrying), attempts(1)), as(verbFail, "one", retrying), later, want{outRepeated, nil, StateFailed, "one", 3, 1, 1, "attempts_exhausted"}},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			before, now := written(tt.r), t0.Add(tt.at)
			got, out, err := step(tt.r, tt.c, now)
			if after := written(tt.r); after != before {
				t.Errorf("the record was changed\nfrom %s\n  to %s", before, after)
			}
			if !errors.Is(err, tt.want.err) || (err == nil) != (tt.want.err == nil) {
				t.Fatalf("error is %v, want %v", err, tt.want.err)
			}
			if err != nil {
				return
			}
			if g := (want{out, nil, got.stateAt(now, 0), got.LeaseID, got.Version, got.Attempt, got.Failures, got.ErrorCode}); g != tt.want {
				t.Fatalf("\n got %+v\nwant %+v", g, tt.want)
			}
			if !out.writes() && out != outRepeated && got != tt.r {
				t.Error("the outcome writes nothing, and the record is another")
			}
		})
	}
}

func TestWhatARunKeeps(t *testing.T) {
	const in = `{"in":1}`
	r := claimed(func(c *command) { c.metadata = []byte(`{"m":1}`) })
	r = then(r, time.Second, as(verbExtend, "one", checkpoint(`"half"`)))
	r = then(r, 2*ttl, claimBy("two"))
	if string(r.Run.Input) != in || r.Run.Task != "sum" || string(r.Checkpoint) != `"half"` || string(r.Metadata) != `{"m":1}` || r.Nonce != "mine" || r.InputHash != "i1" {
		t.Errorf("the next claim does not find all of the run: %s", written(r))
	}
	if want := t0.Add(whole + retention); !r.KeepUntil.Equal(want) {
		t.Errorf("kept until %v, want %v: the deadline of the whole and the retention", r.KeepUntil, want)
	}
	if f := then(r, 2*ttl, as(verbFail, "two")); string(f.Run.Input) != in || string(f.Checkpoint) != `"half"` {
		t.Errorf("a failed run has lost its input or checkpoint: %s", written(f))
	}
	if c := then(r, 2*ttl, as(verbComplete, "two")); c.Run.Input != nil || c.Checkpoint != nil {
		t.Errorf("a completed run keeps what nobody needs: %s", written(c))
	}
	long := then(claimed(), endedAt, as(verbFail, "ticket", canceling, func(c *command) { c.retention = time.Second }))
	if want := t0.Add(ttl + time.Second); !long.KeepUntil.Equal(want) {
		t.Errorf("canceled over a claim, kept until %v, want %v: nobody may forget the claim", long.KeepUntil, want)
	}
}

func TestPausesBetweenAttempts(t *testing.T) {
	n := run{PauseFirst: 8 * time.Second, PauseMost: time.Minute}
	for i, want := range []time.Duration{8, 16, 32, 60, 60} {
		want *= time.Second
		low, middle := n.pause(i+1, 0), n.pause(i+1, 0.5)
		if low != want-want/4 || middle != want {
			t.Errorf("after %d failures from %v, in the middle %v, want %v", i+1, low, middle, want)
		}
	}
	if d := new(run).pause(3, 0.5); d != 0 {
		t.Errorf("without a pause: %v", d)
	}
}

// A run whose due time would lie beyond its deadline is looked at then: that ends it.
func TestAPauseEndsWithTheRun(t *testing.T) {
	r := after(as(verbFail, "one", retrying), withinIt(endedAt+time.Second))
	if want := t0.Add(endedAt + time.Second); !r.Run.Due.Equal(want) {
		t.Errorf("due at %v, want %v", r.Run.Due, want)
	}
}
