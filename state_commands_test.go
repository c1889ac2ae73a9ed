package lease

import (
	"fmt"
	"time"
)

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
