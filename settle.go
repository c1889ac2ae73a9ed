package lease

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease/backend"
)

// How long a write of unknown outcome is pursued: a while if the caller waits, and shortly, but at
// least for one more try, after the caller's context has ended. This is about the store's time,
// not the leases', and so not the clock's.
const (
	settleFor         = 3 * time.Second
	settleAfterCancel = 500 * time.Millisecond
)

// pendingWrite is a compare-and-set whose outcome is to be found out.
type pendingWrite struct {
	storeKey string
	cmd      command
	cur      stored
	next     *record
	value    []byte
	keep     time.Duration
	at       time.Time // when next was made, by the clock
	began    time.Time // when the operation that it belongs to did
}

// verdict is what became of a write.
type verdict uint8

const (
	wasNotApplied verdict = iota // nor will it be
	wasApplied
	wasOvertaken // applied, and the lease was lost since
	isUndecided
)

// refused looks into a conflict before it is believed: a store may refuse what it has applied.
func (c *core) refused(ctx context.Context, w *pendingWrite) (stored, verdict, error) {
	s, err := c.load(ctx, w.storeKey)
	if err != nil {
		s, err = c.loadPatiently(ctx, w.storeKey, err)
	}
	switch {
	case errors.Is(err, ErrUnreadable):
		return stored{}, wasNotApplied, err
	case err != nil:
		return stored{}, isUndecided, fmt.Errorf("%w: refused as a conflict, but what stands could not be read: %w", ErrUnknownOutcome, err)
	}
	v := w.judge(s.rec, c.clock.Now(), c.skew, true)
	if v != wasNotApplied {
		c.settled(ctx, w, v, backend.ErrConflict)
	}
	return w.told(s, v, backend.ErrConflict)
}

// loadPatiently is load after it has failed with err: for as long as a write is pursued.
func (c *core) loadPatiently(ctx context.Context, storeKey string, err error) (stored, error) {
	ctx, end := patience(ctx)
	defer end()
	pauses := whileSettling
	for {
		if errors.Is(err, ErrUnreadable) || isClosed(err) {
			return stored{}, err
		}
		select {
		case <-ctx.Done():
			return stored{}, err
		case <-time.After(pauses.next()):
		}
		var s stored
		if s, err = c.load(ctx, storeKey); err == nil {
			return s, nil
		}
	}
}

// settle finds out whether w, which failed with cause, was applied, and makes sure that it is if
// it still can be.
//
// A read alone proves nothing, because the first write may land later. So the same compare-and-set
// is sent again: at most one of the two can land, and once either that or a conflict is known,
// neither can land any more. After a conflict, the record tells whose write came first.
//
// The one exception is a write that expects the key to be absent: it can land a second time after
// the key was forgotten. Forget is for operators who know that nobody works on the key.
func (c *core) settle(ctx context.Context, cause error, w *pendingWrite) (stored, verdict, error) {
	ctx, end := patience(ctx)
	defer end()
	pauses := whileSettling
	for {
		revision, err := c.backend.CompareAndSet(ctx, w.storeKey, w.cur.revision, w.value, w.keep)
		if err == nil {
			c.settled(ctx, w, wasApplied, cause)
			return w.next.storedAt(revision), wasApplied, nil
		}
		if errors.Is(err, backend.ErrClosed) {
			c.settled(ctx, w, isUndecided, cause)
			return stored{}, isUndecided, fmt.Errorf("%w: %w, and then: %w", ErrUnknownOutcome, cause, err)
		}
		if errors.Is(err, backend.ErrConflict) {
			// A replicated store may also refuse because a write is still under way, perhaps our
			// first. Then nothing has changed yet.
			if e, err := c.get(ctx, w.storeKey); err == nil && e.Revision != w.cur.revision {
				s := stored{revision: e.Revision}
				if e.Revision != 0 {
					if s.rec, err = decodeRecord(e); err != nil {
						c.settled(ctx, w, isUndecided, cause)
						return stored{}, isUndecided, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
					}
				}
				v := w.judge(s.rec, c.clock.Now(), c.skew, false)
				c.settled(ctx, w, v, cause)
				return w.told(s, v, cause)
			}
		}
		select {
		case <-ctx.Done():
			c.settled(ctx, w, isUndecided, cause)
			return stored{}, isUndecided, fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
		case <-time.After(pauses.next()):
		}
	}
}

// judge tells from r, which stands in the place of w.cur at now, whether w was applied; nil is
// absence. refused says that the store has refused w as a conflict when it was first sent.
//
// Operation ids prove what came first as long as one write has followed. A record keeps the lease
// before its own, and how that ended, as long as its own lease stands: that proves the rest, but
// for extensions that were overwritten more than once, and for leases that two others have
// followed. Where ids end, times decide: w is not older than what was written before it was made.
// A refused extension of a lease that stands is made anew in any case: nothing of it is under way
// any more, and to extend twice does no harm.
func (w *pendingWrite) judge(r *record, now time.Time, skew time.Duration, refused bool) verdict {
	notWritten := refused && w.isRetained(now) // else what it wrote may have been forgotten since
	if r == nil {
		if notWritten {
			return wasNotApplied
		}
		return isUndecided // erased, perhaps with w
	}
	n, acquires := w.next, w.cmd.verb == verbAcquire || w.cmd.verb == verbClaim
	before := func(t time.Time) bool { return t.Add(skew).Before(w.at) }
	expiresAfter := func(t time.Time) bool { return t.Before(n.Deadline.Add(skew)) }
	switch {
	case r.Op == n.Op:
		return wasApplied
	case n.Run != nil && r.ticket() == n.Run.Ticket && w.cmd.start != nil:
		return wasApplied // nobody else has that ticket
	case n.Run != nil && r.ticket() == n.Run.Ticket && w.cmd.cancel && n.LeaseID == n.Run.Ticket && r.LeaseID != n.LeaseID:
		return wasNotApplied // the run went on, or ended otherwise
	case w.cmd.verb == verbLock:
		switch {
		case r.PrevOp == n.Op: // locked, over, and locked anew
			return wasApplied
		case notWritten || r.AcquiredAt.Before(n.KeepUntil): // its lock would have had to be over before
			return wasNotApplied
		}
	case r.LeaseID == n.LeaseID:
		switch {
		case r.PrevOp == n.Op || acquires: // nobody else has that id
			return wasApplied
		case w.cmd.ends(): // a lease ends but once, and then its id writes no more
			return wasNotApplied
		case refused || r.Version <= n.Version+1 || before(r.writtenAt()):
			return wasNotApplied
		}
		return isUndecided
	case r.Prev != nil && r.Prev.LeaseID == n.LeaseID:
		switch {
		case acquires:
			return wasOvertaken
		case w.cmd.ends() && r.Prev.endedAs(&w.cmd):
			return wasApplied
		case w.cmd.ends() || r.Prev.Version < n.Version || before(r.AcquiredAt):
			return wasNotApplied
		}
		return wasOvertaken // or another's extension was: the lease is lost either way
	case acquires && slices.Contains(r.Replaced, n.call()):
		return wasOvertaken
	case acquires && w.cur.rec != nil && (r.LeaseID == w.cur.rec.LeaseID || r.Prev != nil && r.Prev.LeaseID == w.cur.rec.LeaseID):
		return wasNotApplied // its lease would stand between
	case acquires && (notWritten || w.isRetained(r.FirstSeenAt)) && (expiresAfter(r.AcquiredAt) || r.Prev != nil && r.Version > 1 && expiresAfter(r.Prev.AcquiredAt)):
		return wasNotApplied // its lease, which nobody else knew, would have had to expire before
	}
	first := r.Prev == nil && (r.PrevOp == "" || w.cmd.verb != verbLock) // of the key
	switch {
	case before(r.AcquiredAt), r.Prev != nil && before(r.Prev.AcquiredAt), acquires && w.cur.rec == nil && before(r.FirstSeenAt):
		return wasNotApplied
	case w.cur.rec != nil && r.PrevOp == w.cur.rec.Op:
		return wasNotApplied // another write replaced what w was to replace
	case first && notWritten:
		return wasNotApplied // or what it wrote was erased since, by an operator
	case first && w.cur.rec == nil && r.AcquiredAt.Before(n.KeepUntil):
		return wasNotApplied // else w may have been over by then, and dropped: of a short lock that is soon
	}
	return isUndecided
}

// isRetained tells whether at t what w wrote, or what has followed it, still stands, unless an
// operator forgot it. The end of a lease is remembered for at least minRetention.
func (w *pendingWrite) isRetained(t time.Time) bool {
	if w.cmd.verb == verbLock {
		return t.Before(w.next.KeepUntil)
	}
	return t.Before(w.at.Add(minRetention))
}

// told is what a verdict comes to for the caller; s is what stands.
func (w *pendingWrite) told(s stored, v verdict, cause error) (stored, verdict, error) {
	switch v {
	case wasApplied:
		switch r := s.rec; {
		case r.Op == w.next.Op, w.cmd.start != nil:
			*w.next = *r
		case r.LeaseID == w.next.LeaseID:
			w.next.Token = r.Token
		case r.Prev == nil:
		case r.Prev.Version == w.next.Version:
			w.next.Token = r.Prev.Token
		default: // the same end was written by another call, which knew more
			*w.next = *r.Prev.record(r, &w.cmd)
		}
		return s, v, nil
	case wasOvertaken:
		return stored{}, v, fmt.Errorf("%w: taken over before the store's answer came, version %d", ErrLost, s.rec.Version)
	case isUndecided:
		return stored{}, v, fmt.Errorf("%w: what stands does not tell: %w", ErrUnknownOutcome, cause)
	default:
		return s, v, nil
	}
}

func (v verdict) String() string {
	switch v {
	case wasApplied, wasOvertaken:
		return "applied"
	case wasNotApplied:
		return "not applied"
	default:
		return "unknown"
	}
}

func (c *core) settled(ctx context.Context, w *pendingWrite, v verdict, cause error) {
	r := w.cur.rec
	if v == wasApplied || v == wasOvertaken {
		r = w.next
	}
	c.tell(ctx, &Event{Kind: EventOutcomeSettled, Outcome: v.String(), Err: cause}, w.storeKey, r, w.began)
}

// patience returns a context that outlives ctx by as much as it takes to settle a write, and no
// more.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	p, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleFor)
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(settleAfterCancel):
			cancel()
		case <-ended:
		}
	})
	return p, func() {
		stop()
		close(ended)
		cancel()
	}
}
