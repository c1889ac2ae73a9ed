package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease/backend"
)

// How long a write of unknown outcome is pursued: a while if the caller waits, and shortly, but at
// least for one more try, after the caller's context has ended. This is about the store's time, not the leases', and so not the clock's.
const (
	settleFor         = 3 * time.Second
	settleAfterCancel = 500 * time.Millisecond
	settlePauseFirst  = 2 * time.Millisecond // doubled with each try
	settlePauseMost   = 250 * time.Millisecond
)

// pendingWrite is a compare-and-set whose outcome is to be found out.
type pendingWrite struct {
	storeKey string
	cur      stored
	next     *record
	value    []byte
	keep     time.Duration
	began    time.Time // when the operation that it belongs to did
}

// settle finds out whether w, which failed with cause, was applied, and makes sure that it is if it still can be.
//
// A read alone proves nothing, because the first write may land later. So the same compare-and-set is sent
// again: at most one of the two can land, and once either that or a conflict is known, neither can land any more. After a conflict, the
// operation ids in the record tell whose write came first: Op is that of the last write, PrevOp that of the one before.
//
// The one exception is a write that expects the key to be absent: it can land a second time after the key was
// forgotten. Forget is for operators who know that nobody works on the key.
func (c *core) settle(ctx context.Context, cause error, w *pendingWrite) (stored, error) {
	ctx, end := patience(ctx)
	defer end()
	for pause := settlePauseFirst; ; pause = min(2*pause, settlePauseMost) {
		revision, err := c.backend.CompareAndSet(ctx, w.storeKey, w.cur.revision, w.value, w.keep)
		if err == nil {
			c.settled(ctx, w, "applied", cause)
			return w.next.storedAt(revision), nil
		}
		if errors.Is(err, backend.ErrConflict) {
			// A replicated store may also refuse because a write is still under way, perhaps our first. Then nothing has changed yet.
			if e, err := c.get(ctx, w.storeKey); err == nil && e.Revision != w.cur.revision {
				s, err := w.judge(e)
				c.settled(ctx, w, verdict(err), cause)
				return s, err
			}
		}
		select {
		case <-ctx.Done():
			c.settled(ctx, w, "unknown", cause)
			return stored{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
		case <-time.After(pause):
		}
	}
}

// judge tells from the entry that stood in the way of w's second sending whether its first was applied.
func (w *pendingWrite) judge(e backend.Entry) (stored, error) {
	if e.Revision == 0 {
		return stored{}, fmt.Errorf("%w: the record was erased meanwhile", ErrUnknownOutcome)
	}
	r, err := decodeRecord(e)
	if err != nil {
		return stored{}, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	}
	expected := "" // the operation that wrote what w was to replace
	if w.cur.rec != nil {
		expected = w.cur.rec.Op
	}
	switch {
	case r.Op == w.next.Op:
		return stored{r, e.Revision}, nil
	case r.PrevOp == w.next.Op && w.next.State != StateInProgress: // ended as asked, and then acquired anew after the failure; or locked, over, and locked anew
		return stored{rec: w.next}, nil // no revision: it does not stand any more
	case r.PrevOp == w.next.Op && r.LeaseID == w.next.LeaseID: // applied, and then changed under the same lease id
		w.next.Token = r.Token
		return stored{rec: w.next}, nil
	case r.PrevOp == w.next.Op:
		return stored{}, fmt.Errorf("%w: taken over before the store's answer came, version %d", ErrLost, r.Version)
	case r.PrevOp == "" && !r.AcquiredAt.Before(w.next.KeepUntil): // made when w's record, if there was one, may have been dropped: of a short lock soon
		return stored{}, fmt.Errorf("%w: if it was applied, it was over before the store could be asked", ErrUnknownOutcome)
	case r.PrevOp == expected && (expected != "" || r.Version == 1):
		return stored{}, backend.ErrConflict // another write replaced what w was to replace
	default:
		return stored{}, fmt.Errorf("%w: overwritten more than once meanwhile", ErrUnknownOutcome)
	}
}

func verdict(err error) string {
	switch {
	case err == nil || errors.Is(err, ErrLost):
		return "applied"
	case errors.Is(err, backend.ErrConflict):
		return "not applied"
	default:
		return "unknown"
	}
}

func (c *core) settled(ctx context.Context, w *pendingWrite, outcome string, cause error) {
	r := w.cur.rec
	if outcome == "applied" {
		r = w.next
	}
	c.tell(ctx, Event{Kind: EventOutcomeSettled, Outcome: outcome, Err: cause}, w.storeKey, r, w.began)
}

// patience returns a context that outlives ctx by as much as it takes to settle a write, and no more.
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
