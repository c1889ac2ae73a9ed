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
	changing chan struct{} // holds one token; who has it changes the lease
	begin    func() bool   // stops the timer that starts run
	done     chan struct{} // closed when run has ended

	mu       sync.Mutex
	lease    Lease       // as last acknowledged
	asked    time.Time   // when that was asked for
	deadline time.Time   // before that, by the monotonic clock, nobody else can acquire the lease
	giveUp   func() bool // stops the timer that gives the lease up, shortly before
	armed    int         // counts these timers
	trouble  error       // why the last extension failed; nil if it did not
	lost     error       // why the lease is lost; nil if it is not
	running  bool        // run was started
	returned bool        // the function has returned
}

// hold keeps the lease l, which was asked for at that time, from now on. It returns nil if there is no time left.
func (d *doing) hold(ctx context.Context, l Lease, asked time.Time) *Held {
	now := d.m.clock.Now()
	h := &Held{m: d.m, key: d.key, id: l.LeaseID, token: l.Token, keeper: keeper{
		doSettings: d.doSettings, lease: l, asked: asked, changing: make(chan struct{}, 1), done: make(chan struct{}),
		// The request may also have got the lease before, when an answer was lost; then it ends sooner than the TTL says.
		deadline: earlier(asked.Add(l.TTL), now.Add(l.ExpiresAt.Sub(now))),
	}}
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

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// left is the time until the lease is given up unless it is extended. The caller holds h.mu, as of the next two.
func (h *Held) left(now time.Time) time.Duration {
	return h.deadline.Sub(now) - h.graceOf(h.lease.TTL)
}

// untilDue is the time until the lease is to be extended.
func (h *Held) untilDue(now time.Time) time.Duration {
	return max(0, h.asked.Add(h.lease.TTL/3).Sub(now))
}

// arm sets when the lease is given up. The timer is trusted, and no clock looked at when it fires: a wall clock may have been set.
func (h *Held) arm(now time.Time) {
	if h.lost != nil || h.returned {
		return
	}
	if h.giveUp != nil {
		h.giveUp()
	}
	h.armed++
	n := h.armed
	h.giveUp = h.m.clock.AfterFunc(max(0, h.left(now)), func() { h.doubt(n) })
}

// foresee is to be called before the lease is extended by ttl, 0 for its own, which it returns. From the moment that the store may have applied it, the earlier of the
// deadlines is the one to fear; before is the one that stands if it was not.
func (h *Held) foresee(ttl time.Duration, asked time.Time) (granted time.Duration, before time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.lost != nil:
		return 0, time.Time{}, h.lost
	case h.returned:
		return 0, time.Time{}, fmt.Errorf("%w: the function that held it has returned", ErrFinished)
	case ttl == 0:
		ttl = h.lease.TTL
	}
	before = h.deadline
	if d := asked.Add(ttl); d.Before(before) {
		h.deadline = d
		h.arm(asked)
	}
	return ttl, before, nil
}

func (h *Held) extended(l Lease, asked time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease, h.asked, h.trouble = l, asked, nil
	h.deadline = asked.Add(l.TTL)
	h.arm(h.m.clock.Now())
}

// notExtended notes why; the deadline is again what it was before, unless that is zero.
func (h *Held) notExtended(why error, before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = why
	if !before.IsZero() && before.After(h.deadline) {
		h.deadline = before
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
	h.lose(fmt.Errorf("%w: it could not be extended in time: %w", ErrLost, why))
}

// lose ends the function's context.
func (h *Held) lose(why error) {
	if !errors.Is(why, ErrLost) {
		why = fmt.Errorf("%w: %w", ErrLost, why)
	}
	h.mu.Lock()
	news := h.lost == nil && !h.returned
	if news {
		h.lost = why
		h.endWork(&Error{Op: "hold", Key: h.key, Err: why})
	}
	l := h.lease
	h.giveUp()
	h.endLife()
	h.mu.Unlock()
	if news {
		h.m.tellLost(h.ctx, h.m.storeKey(h.key), &l, why)
	}
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
	due.set(h.keep())
	for {
		select {
		case <-h.life.Done():
			return
		case <-l.C:
			h.hear(l.last())
		case <-due.C:
			due.set(h.keep())
		}
	}
}

// keep extends the lease if it is time to, and returns after how long to call it again.
func (h *Held) keep() time.Duration {
	h.mu.Lock()
	wait := h.untilDue(h.m.clock.Now())
	h.mu.Unlock()
	if wait > 0 {
		return wait
	}
	err := h.change(h.life, 0, nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		return h.untilDue(h.m.clock.Now())
	}
	pause := min(h.lease.TTL/20, retryMost)
	return pause - pause/4 + rand.N(pause/2)
}

// concerns tells whether news is about the end of this lease.
func (h *Held) concerns(n news) bool {
	return n.err == nil && (n.rec == nil || n.revision > h.token && !h.holds(n.rec))
}

func (h *Held) holds(r *record) bool {
	return r != nil && r.LeaseID == h.id && r.State == StateInProgress
}

// hear deals with news that concerns this lease.
func (h *Held) hear(n news) {
	if n.rec == nil { // may be older than the lease: absence has no revision
		s, err := h.m.load(h.life, h.m.storeKey(h.key))
		if err != nil || h.holds(s.rec) {
			return
		}
		n.stored = s
	}
	switch {
	case n.rec == nil:
		h.lose(errors.New("it was forgotten"))
	case n.rec.LeaseID != h.id:
		h.lose(fmt.Errorf("%w: held under another lease id, version %d", ErrLost, n.rec.Version))
	default:
		h.lose(errFinished(n.rec))
	}
}

// stop is called when the function has returned: nothing is under way any more when it returns, and its error says why the lease is lost,
// if it is. An extension is waited for as long as the lease holds and the caller wants to, since its outcome would have to be found out otherwise.
func (h *Held) stop(caller context.Context) error {
	h.mu.Lock()
	h.returned = true
	lost, running := h.lost, h.running
	h.mu.Unlock()
	h.begin()
	select {
	case <-h.changing:
		h.changing <- struct{}{}
	case <-h.life.Done():
	case <-caller.Done():
	}
	h.endLife()
	if running {
		<-h.done
	}
	h.mu.Lock()
	h.giveUp()
	h.mu.Unlock()
	h.endWork(nil)
	return lost
}
