package lease

import (
	"context"
	"time"
)

// The pauses between tries of a store that is away.
const (
	retryFirst = 50 * time.Millisecond // doubled with each
	retryMost  = time.Second
)

// retries spaces tries out.
type retries struct {
	clock Clock
	tried bool
	since time.Time
	next  time.Duration
}

// pause waits before the next try. It returns false, and does not wait, if ctx has ended or the tries have lasted for most; 0 is for ever.
func (r *retries) pause(ctx context.Context, most time.Duration) bool {
	now := r.clock.Now()
	if !r.tried {
		r.tried, r.since, r.next = true, now, retryFirst
	}
	if ctx.Err() != nil || most > 0 && now.Sub(r.since) >= most {
		return false
	}
	t := newTimer(r.clock)
	t.set(r.next)
	defer func() { t.stop() }()
	r.next = min(2*r.next, retryMost)
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
