package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// watchAfter is how long a function runs before the store is asked to tell of what others do to its lease: most of what is quicker never needs to know.
const watchAfter = 50 * time.Millisecond

// keeper is the part of a Held that keeps the lease while the function runs, and knows when it cannot any more.
type keeper struct {
	doSettings
	ctx      context.Context // the function's
	endWork  context.CancelCauseFunc
	life     context.Context // of what is under way to keep the lease
	endLife  context.CancelFunc
	changing chan struct{}  // holds one token; who has it changes the lease
	begin    func() bool    // stops the timer that starts run
	armedNew chan struct{}  // of capacity 1: the term has changed
	done     chan struct{}  // closed when run has ended
	telling  sync.WaitGroup // that the lease is lost

	mu       sync.Mutex
	lease    Lease       // as last acknowledged
	term     term        // the earliest that the store may hold
	giveUp   func() bool // stops the timer that gives the lease up, shortly before the term ends
	armed    int         // counts these timers
	heard    uint64      // the version of a record that another has shortened
	trouble  error       // why the last extension failed; nil if it did not
	lost     error       // why the lease is lost; nil if it is not
	running  bool        // run was started
	returned bool        // the function has returned: nobody may extend the lease any more
	stopped  bool        // and nobody keeps it
}

// term is until when nobody else can acquire the lease, by the monotonic clock, and the TTL that leads there.
type term struct {
	end time.Time
	ttl time.Duration
}

// hold keeps the lease l, which was asked for at that time, from now on. It returns nil if there is no time left.
func (d *doing) hold(ctx context.Context, l Lease, asked time.Time) *Held {
	now := d.m.clock.Now()
	h := &Held{m: d.m, key: d.key, id: l.LeaseID, token: l.Token, keeper: keeper{
		doSettings: d.doSettings, lease: l, changing: make(chan struct{}, 1), armedNew: make(chan struct{}, 1), done: make(chan struct{}),
		term: term{asked.Add(l.TTL), l.TTL},
	}}
	// The request may also have got the lease before, when an answer was lost; then it ends sooner than the TTL says.
	if end := now.Add(l.ExpiresAt.Sub(now)); end.Before(h.term.end) {
		h.term.end = end
	}
	if h.left(now) <= 0 {
		return nil
	}
	h.changing <- struct{}{}
	h.ctx, h.endWork = context.WithCancelCause(ctx)
	h.life, h.endLife = context.WithCancel(context.WithoutCancel(ctx))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arm(now)
	h.begin = d.m.clock.AfterFunc(min(watchAfter, h.untilDue(now)), h.start)
	return h
}

// left is the time until the lease is given up unless it is extended. The caller holds h.mu, as of the next two.
func (h *Held) left(now time.Time) time.Duration {
	return h.term.end.Sub(now) - h.graceOf(h.term.ttl)
}

// untilDue is the time until the lease is to be extended, when a third of the TTL has passed.
func (h *Held) untilDue(now time.Time) time.Duration {
	return max(0, h.term.end.Sub(now)-h.term.ttl+h.term.ttl/3)
}

// arm sets when the lease is given up. The timer is trusted, and no clock looked at when it fires: a wall clock may have been set.
func (h *Held) arm(now time.Time) {
	if h.lost != nil || h.stopped {
		return
	}
	if h.giveUp != nil {
		h.giveUp()
	}
	h.armed++
	n := h.armed
	h.giveUp = h.m.clock.AfterFunc(max(0, h.left(now)), func() { h.doubt(n) })
	select {
	case h.armedNew <- struct{}{}:
	default:
	}
}

// foresee is to be called before the lease is extended by ttl, 0 for its own, which it returns. From the moment that the store may have applied it, the earlier of the
// terms is the one to fear; before is the one that stands if it was not.
func (h *Held) foresee(ttl time.Duration, asked time.Time) (granted time.Duration, before term, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.over(); err != nil {
		return 0, term{}, err
	}
	if ttl == 0 {
		ttl = h.lease.TTL
	}
	before = h.term
	h.shorten(term{asked.Add(ttl), ttl}, asked)
	return ttl, before, nil
}

// over says why the function may not extend the lease any more, if so. The caller holds h.mu.
func (h *Held) over() error {
	switch {
	case h.lost != nil:
		return h.lost
	case h.returned:
		return fmt.Errorf("%w: the function that held it has returned", ErrFinished)
	}
	return nil
}

// shorten makes t the term if it ends earlier. The caller holds h.mu.
func (h *Held) shorten(t term, now time.Time) {
	if t.end.Before(h.term.end) {
		h.term = t
		h.arm(now)
	}
}

func (h *Held) extended(l Lease, asked time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease, h.trouble = l, nil
	if l.Version < h.heard {
		return // another has shortened it since
	}
	h.term = term{asked.Add(l.TTL), l.TTL}
	h.arm(h.m.clock.Now())
}

// notExtended notes why, if it is known. What was foreseen stands if the outcome is unknown; else nothing was written, and the term is what it was before, unless another
// has shortened it meanwhile.
func (h *Held) notExtended(why error, before, foreseen term) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if why != nil {
		h.trouble = why
	}
	if !errors.Is(why, ErrUnknownOutcome) && h.term == foreseen && foreseen != before {
		h.term = before
		h.arm(h.m.clock.Now())
	}
}

// doubt gives the lease up, unless the timer that calls it was replaced.
func (h *Held) doubt(n int) {
	h.mu.Lock()
	current, why := n == h.armed, h.trouble
	h.mu.Unlock()
	if !current {
		return
	}
	if why == nil {
		why = errors.New("the store has not answered")
	}
	h.lose(fmt.Errorf("it could not be extended in time: %w", why))
}

// lose ends the function's context, and returns why the lease is lost, which may have been known before.
func (h *Held) lose(why error) error {
	if !errors.Is(why, ErrLost) {
		why = fmt.Errorf("%w: %w", ErrLost, why)
	}
	h.mu.Lock()
	if h.lost != nil || h.stopped {
		defer h.mu.Unlock()
		if h.lost != nil {
			return h.lost
		}
		return why
	}
	h.lost = why
	h.endWork(&Error{Op: "hold", Key: h.key, Err: why})
	l := h.lease
	h.giveUp()
	h.endLife()
	h.telling.Add(1)
	h.mu.Unlock()
	defer h.telling.Done()
	h.m.tellLost(h.ctx, h.m.storeKey(h.key), &l, why)
	return why
}

// start is called when the function has run for a while.
func (h *Held) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost == nil && !h.returned {
		h.running = true
		go h.run()
	}
}

// run extends the lease, and listens for what others do to it.
func (h *Held) run() {
	defer close(h.done)
	l := h.m.listen(h.m.storeKey(h.key), h.concerns)
	defer l.leave()
	due := newTimer(h.m.clock)
	defer func() { due.stop() }()
	// A watch that tells of an absence may be older than the lease, and need not tell of the same a second time. So the store is asked, by an extension: at once, and
	// then less and less often while nothing else is heard.
	pause, quiet := askAgain, h.m.clock.Now()
	for {
		next, now := h.untilNext(), h.m.clock.Now()
		n := l.last()
		absent := n.number > 0 && n.revision == 0
		if !absent {
			pause = askAgain
		} else if left := quiet.Sub(now); left > 0 {
			next = min(next, left)
		}
		due.set(next)
		select {
		case <-h.life.Done():
			return
		case <-h.armedNew:
			continue
		case <-due.C:
		case <-l.C:
			if n = l.last(); !h.hear(n) || n.revision == 0 && h.m.clock.Now().Before(quiet) {
				continue
			}
			absent = n.revision == 0
		}
		h.change(h.life, "extend", 0, nil)
		if absent {
			quiet = h.m.clock.Now().Add(pause)
			pause *= 2
		}
	}
}

// untilNext is the time until the lease is to be extended: soon, if the last try has failed.
func (h *Held) untilNext() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.trouble == nil {
		return h.untilDue(h.m.clock.Now())
	}
	pause := min(h.term.ttl/20, time.Second)
	return pause - pause/4 + rand.N(pause/2)
}

// concerns tells whether n is about the end of this lease, or may be.
func (h *Held) concerns(n news) bool {
	switch {
	case n.revision == 0:
		return true // absent, or it was before the lease was acquired: absence has no revision
	case n.revision <= h.token:
		return false
	case n.err != nil || n.rec.LeaseID != h.id || n.rec.State != StateInProgress:
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return n.rec.Version > h.lease.Version && n.rec.Deadline.Before(h.lease.ExpiresAt) // somebody who has the lease id has shortened it
}

// hear deals with the last news, and reports whether the lease is to be extended at once: that tells whether it is forgotten, and undoes that it was shortened.
func (h *Held) hear(n news) (extend bool) {
	switch {
	case !h.concerns(n):
		return false
	case n.revision == 0:
		return true
	case n.err != nil:
		h.lose(n.err)
	case n.rec.LeaseID != h.id:
		h.lose(fmt.Errorf("%w: held under another lease id, version %d", ErrLost, n.rec.Version))
	case n.rec.State != StateInProgress:
		h.lose(errFinished(n.rec))
	default:
		h.mu.Lock()
		defer h.mu.Unlock()
		now := h.m.clock.Now()
		h.heard = n.rec.Version
		h.shorten(term{now.Add(n.rec.Deadline.Sub(now)), n.rec.TTL}, now)
		return true
	}
	return false
}

// stop is called when the function has returned: nothing is under way any more when it returns, and its error says why the lease is lost,
// if it is. An extension is waited for as long as the lease holds and the caller wants to, since its outcome would have to be found out otherwise.
func (h *Held) stop(caller context.Context) error {
	h.mu.Lock()
	h.returned = true
	running := h.running
	h.mu.Unlock()
	h.begin()
	select {
	case <-h.changing:
		h.changing <- struct{}{}
	case <-h.life.Done():
	case <-caller.Done():
	}
	h.endLife()
	<-h.changing // by whoever still does; that is done soon, since the life has ended
	h.changing <- struct{}{}
	if running {
		<-h.done
	}
	h.mu.Lock()
	h.stopped = true
	h.giveUp()
	lost := h.lost
	h.mu.Unlock()
	h.telling.Wait()
	h.endWork(nil)
	return lost
}
