package lease

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// watchAfter is how long a function runs before the store is asked to tell of what others do to
// its lease: most of what is quicker never needs to know.
const watchAfter = 50 * time.Millisecond

// noteEvery is how often a progress note may cause a write of its own.
const noteEvery = time.Second

// hold is a lease under which Do runs a function. One goroutine extends it and follows what others
// do to it; the rules are those of term.
type hold struct {
	*doing
	around  context.Context // the caller's
	ctx     context.Context // the function's
	endWork context.CancelCauseFunc
	life    context.Context // of what is under way to keep the lease
	endLife context.CancelFunc
	writing chan struct{} // holds one token; who has it writes the lease
	run     string        // the ticket, if the lease is the claim of a run
	begin   func() bool   // stops the timer that starts the goroutine

	mu       sync.Mutex
	lease    Lease // as last acknowledged
	term     term
	wrote    time.Time       // when lease was
	pending  json.RawMessage // a progress note to be written; nil for none
	sent     json.RawMessage // the one that is being written; nil for none
	giveUp   func() bool     // stops the timer that gives the lease up
	armed    int             // counts these timers
	fires    time.Time       // when the last of them is due
	changed  chan struct{}   // of capacity 1: what the goroutine waits for may have changed
	done     chan struct{}   // closed when the goroutine has ended; nil, as changed is, until it is started
	returned bool            // the function has: nobody may extend the lease any more

	// Of the goroutine of Do alone:
	ending  bool   // an end was sent
	refused bool   // the end was refused: somebody has ended the lease, or taken it over
	failed  *Lease // as the function's failure was recorded; nil if it was not
}

// hold keeps the lease l, which was asked for at that time, from now on. It returns nil if there
// is no time left.
func (d *doing) hold(ctx context.Context, l Lease, asked time.Time) *hold {
	now := d.m.clock.Now()
	t := newTerm(&l, asked, now, d.Grace)
	if t.left(now) <= 0 {
		return nil
	}
	h := &hold{
		doing: d, around: ctx, lease: l, term: t, wrote: now, writing: make(chan struct{}, 1),
	}
	h.writing <- struct{}{}
	parent := ctx
	if d.Finish {
		parent = context.WithoutCancel(ctx)
	}
	h.ctx, h.endWork = context.WithCancelCause(context.WithValue(parent, holderKey{}, h))
	h.life, h.endLife = context.WithCancel(context.WithoutCancel(ctx))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arm(now)
	h.begin = d.m.clock.AfterFunc(min(watchAfter, t.due(now)), h.start)
	return h
}

func (h *hold) within() context.Context { return h.around }
func (h *hold) ticket() string          { return h.run }

func (h *hold) snapshot() Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lease
	switch {
	case h.pending != nil:
		l.Progress = h.pending
	case h.sent != nil:
		l.Progress = h.sent
	}
	return l
}

// ended says why the function does not hold the lease any more.
func (h *hold) ended() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over()
}

// over is ended for a caller that holds h.mu.
func (h *hold) over() error {
	switch {
	case h.term.lost != nil:
		return h.term.lost
	case h.returned:
		return fmt.Errorf("%w: the function that held it has returned", ErrFinished)
	}
	return nil
}

// arm sets when the lease is given up. The timer is trusted, and no clock looked at when it fires:
// a wall clock may have been set. If its time has come, and none is left, it is not set anew, or it
// would be late twice. The caller holds h.mu.
func (h *hold) arm(now time.Time) {
	if h.over() != nil {
		return
	}
	left := max(0, h.term.left(now))
	if h.giveUp != nil {
		if left == 0 && !now.Before(h.fires) {
			h.wake()
			return
		}
		h.giveUp()
	}
	h.armed++
	n := h.armed
	h.fires = now.Add(left)
	h.giveUp = h.m.clock.AfterFunc(left, func() { h.timeUp(n) })
	h.wake()
}

// wake has the goroutine look at what it waits for.
func (h *hold) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// timeUp gives the lease up, unless the timer that calls it was replaced.
func (h *hold) timeUp(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n == h.armed {
		h.lose(nil)
	}
}

// lose ends the function's context, because of why; nil if there is no time left. It returns why
// the lease is lost, which may have been known before. The caller holds h.mu.
func (h *hold) lose(why error) error {
	if h.returned && h.term.lost == nil { // nobody has to be told, but nothing is waited for any more
		h.endLife()
		return why
	}
	if h.term.lost == nil {
		if why == nil {
			why = h.term.giveUp()
		}
		why = h.term.lose(why)
		h.endWork(&Error{Op: "hold", Key: h.key, Err: why})
		h.giveUp()
		h.endLife()
		l := h.lease
		h.tellLost(h.around, &l, why)
	}
	return h.term.lost
}

// start is called when the function has run for a while.
func (h *hold) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() == nil {
		h.changed, h.done = make(chan struct{}, 1), make(chan struct{})
		go h.keep()
	}
}

// keep extends the lease, and follows what others do to it.
func (h *hold) keep() {
	defer close(h.done)
	s := h.m.subscribe(h.m.storeKey(h.key), h.concerns)
	defer s.leave()
	due := newTimer(h.m.clock)
	defer func() { due.stop() }()
	// A watch that tells of an absence may be older than the lease, and need not tell of the same a
	// second time. So the store is asked, by an extension: at once, and then less and less often
	// while nothing else is heard.
	pauses, quiet := whileAbsent, h.m.clock.Now()
	for {
		next, now := h.untilNext(), h.m.clock.Now()
		n := s.last()
		absent := n.number > 0 && n.revision == 0
		if !absent {
			pauses = whileAbsent
		} else if left := quiet.Sub(now); left > 0 {
			next = min(next, left)
		}
		due.set(next)
		select {
		case <-h.life.Done():
			return
		case <-h.changed:
			continue
		case <-due.C:
		case <-s.C:
			if n = s.last(); !h.heed(n) || n.final != nil || n.revision == 0 && h.m.clock.Now().Before(quiet) {
				continue
			}
			absent = n.revision == 0
		}
		_ = h.write(h.life, nil)
		if absent {
			quiet = h.m.clock.Now().Add(pauses.next())
		}
	}
}

// untilNext is the time until the lease is to be written.
func (h *hold) untilNext() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.m.clock.Now()
	next := h.term.due(now)
	if h.term.trouble != nil {
		return spread(next)
	}
	if h.pending != nil {
		next = min(next, max(0, h.wrote.Add(noteEvery).Sub(now)))
	}
	return next
}

// concerns tells whether n is about the end of this lease, or may be.
func (h *hold) concerns(n news) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.isAbout(n)
}

// isAbout is concerns for a caller that holds h.mu.
func (h *hold) isAbout(n news) bool {
	switch {
	case n.final != nil, n.revision == 0:
		return true // absent, or it was before the lease was acquired: absence has no revision
	case n.revision <= h.lease.Token:
		return false
	case n.err != nil || n.rec.LeaseID != h.lease.LeaseID || n.rec.State != StateInProgress:
		return true
	}
	// Somebody who has the lease id may have shortened it, or what an extension under way has set.
	end := n.rec.Deadline
	return n.rec.Version > h.lease.Version && (end.Before(h.lease.ExpiresAt) || end.Before(h.term.asked.end))
}

// heed deals with the last news, and reports whether the lease is to be extended at once: that
// tells whether it is forgotten, and undoes that it was shortened.
func (h *hold) heed(n news) (extend bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.isAbout(n) {
		return false
	}
	switch {
	case n.final != nil:
		h.lose(n.final)
	case n.revision == 0:
		return true
	case n.err != nil:
		h.lose(n.err)
	case n.rec.Run != nil && !n.rec.unfinished():
		h.lose(errFinished(n.rec))
	case n.rec.LeaseID != h.lease.LeaseID:
		h.lose(errOther(n.rec))
	case n.rec.State == stateReleased:
		h.lose(errReleased(n.rec))
	case n.rec.State != StateInProgress:
		h.lose(errFinished(n.rec))
	default:
		now := h.m.clock.Now()
		if h.term.shortened(now, n.rec.Deadline, n.rec.TTL, n.rec.Version) {
			h.arm(now)
		}
		return true
	}
	return false
}

// stop is called when the function has returned. When it returns, nothing is under way any more;
// its error says why the lease is lost, if it is. A write is waited for as long as the lease holds
// and the caller wants to, since its outcome would have to be found out otherwise.
func (h *hold) stop(caller context.Context) error {
	h.mu.Lock()
	h.returned = true
	running := h.done
	h.mu.Unlock()
	h.begin()
	quiet := true
	select {
	case <-h.writing:
	default:
		select {
		case <-h.writing:
		case <-h.life.Done():
			quiet = false
		case <-caller.Done():
			quiet = false
		}
	}
	h.endLife()
	if !quiet {
		<-h.writing // the write that is under way is done soon, since the life has ended
	}
	h.writing <- struct{}{}
	if running != nil {
		<-running
	}
	h.mu.Lock()
	h.giveUp()
	lost := h.term.lost
	h.mu.Unlock()
	h.endWork(nil)
	return lost
}
