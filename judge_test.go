package lease

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// wrote is a pendingWrite of the command c over cur, so long after t0. Its operation is "mine".
func wrote(cur *record, at time.Duration, c *command) *pendingWrite {
	c.op = "mine"
	w := &pendingWrite{cmd: *c, cur: stored{rec: cur}, at: t0.Add(at)}
	next, out, err := step(cur, c, w.at)
	if err != nil || !out.writes() {
		panic(fmt.Sprintf("%+v of %+v: outcome %d, error %v", c, cur, out, err))
	}
	if next.Token == 0 {
		next.Token = 20
	}
	w.next = next
	return w
}

// TestJudge has one case for each sentence of pendingWrite.judge, for each verb that it is about.
// The write is made at noon, a minute and 5 seconds after t0; others write before and after.
func TestJudge(t *testing.T) {
	const noon = ttl + 5*time.Second
	const skew = 10 * time.Second
	at := func(d time.Duration) time.Duration { return noon + d }

	// What others write. Each of their operations has an id of its own.
	ops := 0
	theirs := func(r *record, when time.Duration, c *command) *record {
		ops++
		c.op = fmt.Sprint("theirs ", ops)
		return then(r, when, c)
	}
	heartbeats := func(r *record, from time.Duration, n int) *record {
		for i := range n {
			r = theirs(r, from+time.Duration(i)*time.Second, cmd(verbExtend, by(r.LeaseID)))
		}
		return r
	}
	takeover := func(r *record, when time.Duration, id string) *record {
		return theirs(r, when, cmd(verbAcquire, by(id), nonce("of "+id), input("of "+id), replace))
	}
	forget := func(when time.Duration, id string) *record { // and acquire anew
		return theirs(nil, when, cmd(verbAcquire, by(id)))
	}

	// The write under test, over what it found.
	held := heartbeats(inProgress(input("i1")), time.Second, 1) // by "own", version 2
	expired := inProgress(input("i1"))
	first := wrote(nil, noon, cmd(verbAcquire, nonce("n"), input("i1")))
	over := wrote(expired, noon, cmd(verbAcquire, nonce("n"), input("i1")))
	recent := theirs(takeover(inProgress(), at(-2*time.Second), "own"), at(-time.Second), cmd(verbRelease))
	overRecent := wrote(recent, noon, cmd(verbAcquire, nonce("n")))
	replacing := wrote(held, noon, cmd(verbAcquire, nonce("n"), input("i2"), replace))
	extend := wrote(held, noon, cmd(verbExtend))
	release := wrote(held, noon, cmd(verbRelease))
	complete := wrote(held, noon, cmd(verbComplete))
	fail := wrote(held, noon, cmd(verbFail))
	failRetryably := wrote(held, noon, cmd(verbFail, retrying))
	lock := wrote(nil, noon, &command{verb: verbLock, ttl: time.Second})
	lockOver := wrote(locked(), noon, &command{verb: verbLock, ttl: time.Second})

	takeovers := []*pendingWrite{over, overRecent, replacing}
	acquires := append([]*pendingWrite{first}, takeovers...)
	ends := []*pendingWrite{release, complete, fail, failRetryably}
	holders := append([]*pendingWrite{extend}, ends...)
	locks := []*pendingWrite{lock, lockOver}
	all := slices.Concat(acquires, holders, locks)
	name := map[*pendingWrite]string{
		first: "acquire", over: "takeover", overRecent: "takeover of what was just released", replacing: "replace", extend: "extend", release: "release", complete: "complete",
		fail: "fail", failRetryably: "fail retryably", lock: "lock", lockOver: "lock over one that is over",
	}
	relock := func(r *record, when time.Duration) *record {
		return theirs(r, when, &command{verb: verbLock, ttl: time.Second})
	}

	for _, tt := range []struct {
		name   string
		writes []*pendingWrite
		stands func(w *pendingWrite) *record
		lost   verdict       // if the answer was lost
		refuse verdict       // if it was refused as a conflict
		late   time.Duration // how long after it was made the judge looks
	}{
		{"its own operation stands", all, func(w *pendingWrite) *record { return w.next }, wasApplied, wasApplied, 0},
		{"nothing stands", all, func(*pendingWrite) *record { return nil }, isUndecided, wasNotApplied, 0},
		{"nothing stands, and what it wrote may have been forgotten", slices.Concat(acquires, holders),
			func(*pendingWrite) *record { return nil }, isUndecided, isUndecided, minRetention},
		{"nothing stands, and the lock may be over", locks, func(*pendingWrite) *record { return nil }, isUndecided, isUndecided, time.Second},

		// Its own lease stands.
		{"its lease stands, extended once since", slices.Concat(acquires, []*pendingWrite{extend}),
			func(w *pendingWrite) *record { return heartbeats(w.next, at(time.Second), 1) }, wasApplied, wasApplied, 0},
		{"the lease that it acquired stands, extended often since", acquires,
			func(w *pendingWrite) *record { return heartbeats(w.next, at(time.Second), 3) }, wasApplied, wasApplied, 0},
		{"the lease that it acquired has completed", acquires,
			func(w *pendingWrite) *record { return theirs(w.next, at(time.Second), cmd(verbComplete, by("new"))) }, wasApplied, wasApplied, 0},
		{"the lease that it extended has completed since", []*pendingWrite{extend},
			func(w *pendingWrite) *record { return theirs(w.next, at(time.Second), cmd(verbComplete)) }, wasApplied, wasApplied, 0},
		{"another extension came first", holders,
			func(w *pendingWrite) *record { return heartbeats(held, at(0), 1) }, wasNotApplied, wasNotApplied, 0},
		{"two others came first", holders,
			func(w *pendingWrite) *record { return heartbeats(held, at(0), 2) }, wasNotApplied, wasNotApplied, 0},
		{"an extension that was overwritten more than once cannot be told from one that never was", []*pendingWrite{extend},
			func(w *pendingWrite) *record { return heartbeats(held, at(0), 3) }, isUndecided, wasNotApplied, 0},
		{"an extension is not older than what was written before it was made", []*pendingWrite{extend},
			func(w *pendingWrite) *record { return heartbeats(held, at(-skew-4*time.Second), 3) }, wasNotApplied, wasNotApplied, 0},
		{"an extension did not come before others that came first, whatever became of the lease", []*pendingWrite{extend}, func(w *pendingWrite) *record {
			return theirs(heartbeats(held, at(-skew-4*time.Second), 3), at(-skew-1), cmd(verbComplete))
		}, wasNotApplied, wasNotApplied, 0},
		{"nor before its lease was released", []*pendingWrite{extend}, func(w *pendingWrite) *record {
			return theirs(heartbeats(held, at(-skew-4*time.Second), 3), at(-skew-1), cmd(verbRelease))
		}, wasNotApplied, wasNotApplied, 0},
		{"an extension may have been overwritten, and the lease released since", []*pendingWrite{extend}, func(w *pendingWrite) *record {
			return theirs(heartbeats(held, at(0), 3), at(4*time.Second), cmd(verbRelease))
		}, isUndecided, wasNotApplied, 0},
		{"its lease has ended by another call: a lease ends but once", ends,
			func(w *pendingWrite) *record { return theirs(held, at(0), cmd(verbFail, otherwise)) }, wasNotApplied, wasNotApplied, 0},
		{"its lease is in progress, extended often since: it has not ended", ends,
			func(w *pendingWrite) *record { return heartbeats(held, at(0), 5) }, wasNotApplied, wasNotApplied, 0},

		// The lease after its own stands.
		{"the lease that it acquired was taken over", acquires,
			func(w *pendingWrite) *record { return takeover(w.next, at(ttl), "third") }, wasOvertaken, wasOvertaken, 0},
		{"the lease that it acquired was taken over, and its successor extended", acquires,
			func(w *pendingWrite) *record { return heartbeats(takeover(w.next, at(ttl), "third"), at(ttl), 3) }, wasOvertaken, wasOvertaken, 0},
		{"the lease that it acquired ended, and was retried", acquires, func(w *pendingWrite) *record {
			return takeover(theirs(w.next, at(0), cmd(verbFail, by("new"), retrying)), at(ttl), "third")
		}, wasOvertaken, wasOvertaken, 0},
		{"the lease that it extended was taken over", []*pendingWrite{extend},
			func(w *pendingWrite) *record { return takeover(w.next, at(ttl), "third") }, wasOvertaken, wasOvertaken, 0},
		{"its lease was taken over before it came", holders,
			func(w *pendingWrite) *record { return takeover(held, at(ttl), "third") }, wasNotApplied, wasNotApplied, 0},
		{"its lease was extended and then taken over before it came", ends,
			func(w *pendingWrite) *record { return takeover(heartbeats(held, at(0), 1), at(2*ttl), "third") }, wasNotApplied, wasNotApplied, 0},
		{"its lease was extended, by it or another, and then taken over: it is lost either way", []*pendingWrite{extend},
			func(w *pendingWrite) *record { return takeover(heartbeats(held, at(0), 1), at(2*ttl), "third") }, wasOvertaken, wasOvertaken, 0},
		{"its lease ended as it asked, and another was acquired since", ends,
			func(w *pendingWrite) *record { return takeover(w.next, at(0), "third") }, wasApplied, wasApplied, 0},
		{"its lease ended as it asked, and another was acquired since, extended often and ended", ends, func(w *pendingWrite) *record {
			return theirs(heartbeats(takeover(w.next, at(0), "third"), at(0), 3), at(5*time.Second), cmd(verbFail, by("third")))
		}, wasApplied, wasApplied, 0},
		{"its lease ended otherwise, and another was acquired since", ends, func(w *pendingWrite) *record {
			return takeover(theirs(held, at(0), cmd(verbFail, otherwise)), at(0), "third")
		}, wasNotApplied, wasNotApplied, 0},
		{"the lease that it acquired was replaced, and that again, seven times", acquires, func(w *pendingWrite) *record {
			r := w.next
			for i := range mostReplaced {
				r = takeover(r, at(0), fmt.Sprint(i))
			}
			return r
		}, wasOvertaken, wasOvertaken, 0},

		// The lease that an acquire found stands, or the next one after that.
		{"what it was to take over still stands", takeovers,
			func(w *pendingWrite) *record { return w.cur.rec }, wasNotApplied, wasNotApplied, 0},
		{"the lease that it was to take over was extended", []*pendingWrite{over, replacing},
			func(w *pendingWrite) *record { return heartbeats(w.cur.rec, at(0), 3) }, wasNotApplied, wasNotApplied, 0},
		{"the lease that it was to take over has completed", []*pendingWrite{over, replacing},
			func(w *pendingWrite) *record { return theirs(w.cur.rec, at(0), cmd(verbComplete)) }, wasNotApplied, wasNotApplied, 0},
		{"another took that lease over", takeovers,
			func(w *pendingWrite) *record { return heartbeats(takeover(w.cur.rec, at(0), "third"), at(0), 3) }, wasNotApplied, wasNotApplied, 0},
		{"another lease stands, the first of the key", []*pendingWrite{first},
			func(w *pendingWrite) *record { return forget(at(0), "third") }, wasNotApplied, wasNotApplied, 0},
		{"another lease stands, the first of the key, extended often since", []*pendingWrite{first},
			func(w *pendingWrite) *record { return heartbeats(forget(at(0), "third"), at(0), 3) }, wasNotApplied, wasNotApplied, 0},
		{"another lease stands, the first of the key, and has ended", []*pendingWrite{first}, func(w *pendingWrite) *record {
			return theirs(forget(at(0), "third"), at(0), cmd(verbComplete, by("third")))
		}, wasNotApplied, wasNotApplied, 0},
		{"the key was known before the acquire was made", []*pendingWrite{first}, func(w *pendingWrite) *record {
			return takeover(takeover(inProgress(), at(-time.Second), "third"), at(0), "fourth")
		}, wasNotApplied, wasNotApplied, 0},

		// Two leases later.
		{"two leases later an acquire is not known, if its lease may have expired before", acquires, func(w *pendingWrite) *record {
			r := takeover(takeover(takeover(w.next, at(ttl), "third"), at(2*ttl), "fourth"), at(3*ttl), "fifth")
			r.Replaced = nil // as after takeovers
			return r
		}, isUndecided, isUndecided, 0},
		{"an acquire was not applied if its lease could not have expired before another was acquired", acquires, func(w *pendingWrite) *record {
			return takeover(takeover(takeover(held, at(0), "third"), at(ttl-skew), "fourth"), at(3*ttl), "fifth")
		}, wasNotApplied, wasNotApplied, 0},
		{"two leases later an extension or an end is not known", holders,
			func(w *pendingWrite) *record {
				return takeover(takeover(w.next, at(ttl), "third"), at(2*ttl), "fourth")
			}, isUndecided, isUndecided, 0},
		{"but neither came after the lease before the one that stands, if that was acquired before", holders, func(w *pendingWrite) *record {
			return takeover(takeover(held, at(-skew-time.Second), "third"), at(0), "fourth")
		}, wasNotApplied, wasNotApplied, 0},
		{"nor after the lease that stands, if that was acquired before", holders, func(w *pendingWrite) *record {
			return takeover(takeover(held, at(-skew-2*time.Second), "third"), at(-skew-time.Second), "fourth")
		}, wasNotApplied, wasNotApplied, 0},
		{"within the clock skew the times do not tell", holders, func(w *pendingWrite) *record {
			return takeover(takeover(held, at(-skew), "third"), at(-skew), "fourth")
		}, isUndecided, isUndecided, 0},

		// Erased, and acquired anew.
		{"the key was forgotten, and acquired anew", holders,
			func(w *pendingWrite) *record { return forget(at(0), "third") }, isUndecided, wasNotApplied, 0},
		{"the key was forgotten, and acquired anew, before it was made", holders,
			func(w *pendingWrite) *record { return forget(at(-skew-1), "third") }, wasNotApplied, wasNotApplied, 0},
		{"what it wrote may have been forgotten by the time that another began", []*pendingWrite{first}, func(w *pendingWrite) *record {
			return heartbeats(forget(at(ttl+retention), "third"), at(ttl+retention), 2)
		}, isUndecided, isUndecided, ttl + retention},
		{"what it wrote was replaced, completed and forgotten, and another has acquired and completed since", acquires, func(w *pendingWrite) *record {
			r := theirs(takeover(w.next, at(0), "third"), at(time.Second), cmd(verbComplete, by("third")))
			later := at(2*time.Second + retention + skew)
			return theirs(theirs(r, later, cmd(verbAcquire, by("fourth"))), later, cmd(verbComplete, by("fourth")))
		}, isUndecided, isUndecided, 2*time.Second + retention + skew},

		// Locks have no ids but those of operations.
		{"the lock is over, and another locked the key", locks,
			func(w *pendingWrite) *record { return relock(w.next, at(time.Second)) }, wasApplied, wasApplied, 0},
		{"another locked the key first", []*pendingWrite{lock},
			func(w *pendingWrite) *record { return relock(nil, at(0)) }, wasNotApplied, wasNotApplied, 0},
		{"another locked the key first, and that lock is over too", []*pendingWrite{lock},
			func(w *pendingWrite) *record { return relock(relock(nil, at(-2*time.Second)), at(0)) }, wasNotApplied, wasNotApplied, 0},
		{"another locked over what it was to lock over", []*pendingWrite{lockOver},
			func(w *pendingWrite) *record { return relock(w.cur.rec, at(0)) }, wasNotApplied, wasNotApplied, 0},
		{"another did so when the lock would have been over", []*pendingWrite{lockOver},
			func(w *pendingWrite) *record { return relock(w.cur.rec, at(time.Minute)) }, wasNotApplied, wasNotApplied, 0},
		{"the key was locked before it was made", locks,
			func(w *pendingWrite) *record { return relock(nil, at(-skew-1)) }, wasNotApplied, wasNotApplied, 0},
		{"the lock may be over and dropped by the time that another locked the key", locks,
			func(w *pendingWrite) *record { return relock(nil, at(time.Second)) }, isUndecided, isUndecided, time.Second},
		{"the lock is over, and two others locked the key", locks,
			func(w *pendingWrite) *record { return relock(relock(w.next, at(time.Second)), at(2*time.Second)) }, isUndecided, isUndecided, 2 * time.Second},
	} {
		for _, w := range tt.writes {
			t.Run(tt.name+", "+name[w], func(t *testing.T) {
				r := tt.stands(w)
				if got := w.judge(r, t0.Add(at(tt.late)), skew, false); got != tt.lost {
					t.Errorf("after a lost answer the verdict is %d, want %d", got, tt.lost)
				}
				if got := w.judge(r, t0.Add(at(tt.late)), skew, true); got != tt.refuse {
					t.Errorf("after a refusal the verdict is %d, want %d", got, tt.refuse)
				}
			})
		}
	}
}
