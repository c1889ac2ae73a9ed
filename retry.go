package lease

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pauses between tries of a store that is away: the longer it is, the longer they are, from the first to the last.
const (
	retryFirst  = 50 * time.Millisecond
	retryRarely = 8 // the part of the time since the first try
	retryMost   = 10 * time.Second
)

// retries spaces tries out.
type retries struct {
	clock Clock
	tried bool
	since time.Time
}

// pause waits before the next try. It returns false, and does not wait, if ctx has ended or the tries have lasted for most; 0 is for ever.
func (r *retries) pause(ctx context.Context, most time.Duration) bool {
	now := r.clock.Now()
	if !r.tried {
		r.tried, r.since = true, now
	}
	lasted := now.Sub(r.since)
	if ctx.Err() != nil || most > 0 && lasted >= most {
		return false
	}
	t := newTimer(r.clock)
	d := min(max(retryFirst, lasted/retryRarely), retryMost)
	t.set(d - d/4 + rand.N(d/2))
	defer func() { t.stop() }()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
