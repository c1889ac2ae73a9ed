package proof

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
)

// job is one call of Do, and what its function will do; or what somebody does without Do.
type job struct {
	who, key  string
	after     time.Duration
	opt       lease.DoOptions
	takes     time.Duration
	heedless  bool // it does not stop when its context ends
	end       string
	cancelled time.Duration // when the caller gives up; 0: never
	saves     bool          // checkpoints
	progress  bool
	nested    *job   // called by the function, for another key
	itself    *job   // called by the function, for its own key
	outer     *stint // of the function that calls it
	vanish    bool   // it acquires, and is never heard of again
	hand      string // what an operator does to the lease that he finds; "" for none
}

// Ends of functions. Each but the first two is an error.
var ends = []string{"result", "result", "error", "error", "permanent", "retryable", "coded", "panic"}

// Deeds of operators.
var deeds = []string{"extend", "shorten", "release", "release", "cancel", "fail", "forget"}

func (h *host) job(who, key string) *job {
	j := &job{who: who, key: key, after: h.upTo(4 * time.Second)}
	j.opt.TTL = time.Second + h.upTo(5*time.Second)
	j.heedless = h.chance(3)
	j.end = ends[h.random.IntN(len(ends))]
	if h.chance(4) {
		j.cancelled = h.upTo(j.opt.TTL) + 1
	}
	j.takes = h.upTo(2 * j.opt.TTL)
	if h.chance(3) {
		j.takes = h.upTo(100 * time.Millisecond)
	}
	if h.chance(4) {
		j.opt.Grace = lateBy + time.Millisecond + h.upTo(j.opt.TTL/4) // less would not do here
	}
	j.saves, j.progress = h.chance(2), h.chance(5)
	j.opt.Attempts = h.random.IntN(4)
	j.opt.RetryFailed, j.opt.AtMostOnce = h.chance(5), h.chance(8) || key == onceKey
	j.opt.NoWait, j.opt.Finish = h.chance(8), h.chance(4)
	if key == "k1" && h.chance(2) {
		j.opt.Input = fmt.Sprint("input", h.random.IntN(2))
		j.opt.Replace = h.chance(2) && !j.opt.AtMostOnce
	}
	switch {
	case key == innerKey:
	case h.chance(8):
		j.nested = h.job(who+"'", innerKey)
	case h.chance(16):
		j.itself = h.job(who+"'", key)
		j.itself.opt.Input, j.itself.opt.Replace, j.itself.opt.NoWait = nil, false, false
		j.itself.vanish, j.itself.hand, j.itself.nested, j.itself.itself = false, "", nil, nil
	}
	switch {
	case h.chance(8):
		j.vanish = true
	case h.chance(6):
		j.hand = deeds[h.random.IntN(len(deeds))]
	}
	return j
}

// call is a call of Do and what it returned.
type call struct {
	*job
	caller context.Context
	span   span
	gone   bool // the caller was, when Do returned
	result string
	err    error
}

// stint is one run of a function under a lease, and how long its context was live meanwhile.
type stint struct {
	*call
	ctx     context.Context // the function's
	leaseID string
	attempt int
	token   uint64
	live    span
	until   time.Duration // it returned
	lost    bool          // its context ended before it returned, because of the lease
	over    bool
	gone    bool // the caller was, when the function returned
	failed  bool // the function returned an error
	loaded  string
	saved   []save
}

// save is a checkpoint that a function has sent.
type save struct {
	name         string
	acknowledged bool
}

// do does the job in a goroutine of h. ctx is that of a function that does it, if there is one.
func (j *job) do(ctx context.Context, h *host) {
	// A caller that waits for ever would end the simulation late.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if j.cancelled > 0 {
		defer time.AfterFunc(j.cancelled, cancel).Stop()
	}
	ctx = asking(ctx, Asked{Who: j.who, Retry: j.opt.RetryFailed, Replace: j.opt.Replace, ByHand: j.hand != ""})
	switch {
	case j.hand != "":
		j.byHand(ctx, h)
		return
	case j.vanish:
		ctx = asking(ctx, Asked{Who: j.who})
		l, acquired, err := h.m.Acquire(ctx, j.key, &lease.AcquireOptions{TTL: j.opt.TTL, AtMostOnce: j.opt.AtMostOnce})
		h.note("%s %s: acquires without Do: %t, attempt %d, %v", j.who, j.key, acquired, l.Attempt, err)
		return
	}
	h.note("%s %s: Do with %+v, takes %v, heedless %t, %s, cancelled %v", j.who, j.key, j.opt, j.takes, j.heedless, j.end, j.cancelled)
	c := &call{job: j, caller: ctx, span: span{from: h.since()}}
	c.result, c.err = c.guarded(h)
	c.span.to, c.gone = h.since(), ctx.Err() != nil
	h.note("%s %s: Do returned %q, %v", j.who, j.key, c.result, c.err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, c)
}

// byHand does something to the lease that is in progress, without holding it.
func (j *job) byHand(ctx context.Context, h *host) {
	l, err := h.m.Status(ctx, j.key)
	if err == nil && (l.State == lease.StateInProgress || j.hand == "forget") {
		switch j.hand {
		case "extend":
			_, err = h.m.Extend(ctx, j.key, l.LeaseID, &lease.ExtendOptions{TTL: 10 * time.Second})
		case "shorten":
			_, err = h.m.Extend(ctx, j.key, l.LeaseID, &lease.ExtendOptions{TTL: time.Second})
		case "release":
			_, err = h.m.Release(ctx, j.key, l.LeaseID)
		case "cancel":
			_, err = h.m.Cancel(ctx, j.key, l.LeaseID, "by hand")
		case "fail":
			_, err = h.m.Fail(ctx, j.key, l.LeaseID, lease.Failure{Code: "by hand", Retryable: true})
		case "forget":
			err = h.m.Forget(ctx, j.key)
		}
	}
	h.note("%s %s: %s by hand of attempt %d, which is %s: %v", j.who, j.key, j.hand, l.Attempt, l.State, err)
}

var errSimulated = errors.New("simulated")

// coded is an error that names its code.
type coded struct{}

func (coded) Error() string     { return "coded" }
func (coded) ErrorCode() string { return "code_of_its_own" }

func (c *call) guarded(h *host) (result string, err error) {
	defer func() {
		if p := recover(); p == errSimulated {
			err = errSimulated
		} else if p != nil {
			panic(p)
		}
	}()
	return lease.Do(c.caller, h.m, c.key, &c.opt, func(ctx context.Context) (string, error) { return c.work(ctx, h) })
}

// work is the function.
func (c *call) work(ctx context.Context, h *host) (result string, err error) {
	l, _ := lease.FromContext(ctx)
	st := &stint{call: c, ctx: ctx, leaseID: l.LeaseID, attempt: l.Attempt, token: l.Token, live: span{from: h.since()}}
	if _, err := lease.Load(ctx, &st.loaded); err != nil {
		h.breaks("%s: loading the checkpoint: %v", c.who, err)
	}
	h.mu.Lock()
	h.stints = append(h.stints, st)
	h.mu.Unlock()
	h.note("%s %s: begins attempt %d with token %d, checkpoint %q", c.who, c.key, st.attempt, st.token, st.loaded)
	ended := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !st.over {
			st.over, st.live.to, st.lost = true, h.since(), errors.Is(context.Cause(ctx), lease.ErrLost)
		}
	}
	stop := context.AfterFunc(ctx, ended)
	defer ended()
	defer stop()
	defer func() {
		st.until, st.gone = h.since(), c.caller.Err() != nil
		st.failed = st.failed || err != nil
	}()

	for i, pause := range []time.Duration{c.takes / 2, c.takes - c.takes/2} {
		if !c.sleep(ctx, pause) {
			if c.end == "retryable" {
				return "", lease.Retryable(ctx.Err())
			}
			return "", ctx.Err()
		}
		c.between(ctx, h, st, i)
	}
	h.note("%s %s: ends with %s, %v", c.who, c.key, c.end, context.Cause(ctx))
	switch c.end {
	case "error":
		return "", errSimulated
	case "permanent":
		return "", lease.Permanent(errSimulated)
	case "retryable":
		return "", lease.Retryable(errSimulated)
	case "coded":
		return "", coded{}
	case "panic":
		st.failed = true
		panic(errSimulated)
	}
	return fmt.Sprint(c.who, " attempt ", st.attempt), nil
}

// between is what the function does half-way and at its end.
func (c *call) between(ctx context.Context, h *host, st *stint, i int) {
	if c.progress {
		lease.Progress(ctx, h.since())
	}
	if c.saves {
		s := save{name: fmt.Sprintf("%s.%d.%d", c.who, st.token, i)}
		err := lease.Save(ctx, s.name)
		s.acknowledged = err == nil
		st.saved = append(st.saved, s)
		h.note("%s %s: saves %s: %v", c.who, c.key, s.name, err)
		var loaded string
		if _, err := lease.Load(ctx, &loaded); s.acknowledged && (err != nil || loaded != s.name) {
			h.breaks("%s: saved %q and loaded %q, %v", c.who, s.name, loaded, err)
		}
	}
	if c.nested != nil && i == 0 {
		c.nested.within(st).do(ctx, h)
	}
	if c.itself != nil && i == 0 {
		c.itself.within(st).do(ctx, h)
	}
	for ; st != nil; st = st.outer {
		token, err := lease.Token(ctx, st.key)
		// It is greater if the lease was forgotten, and its acquisition delivered once more.
		if err == nil && token < st.token || err != nil && st.ctx.Err() == nil {
			h.breaks("%s: the token of %s is %d, %v, want %d", c.who, st.key, token, err, st.token)
		}
	}
}

// within is j as done by the function of st, which may run several times.
func (j job) within(st *stint) *job {
	j.who += fmt.Sprint(st.token)
	if j.key != st.key {
		j.outer = st
	}
	return &j
}

func (s *Simulation) breaks(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken.add(format, args...)
}

func (c *call) sleep(ctx context.Context, d time.Duration) bool {
	if c.heedless {
		time.Sleep(d)
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
