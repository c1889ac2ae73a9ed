package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// The pauses between tries of a store that is away: the longer it is, the longer they are, from the first to the last.
const (
	retryFirst  = 50 * time.Millisecond
	retryRarely = 8 // the part of the time since the first try
	retryMost   = 10 * time.Second
)

// tryFor bounds one try of a call to the store: a request that got lost must cost neither a lease nor the caller's time. Stores have bounds of their
// own, usually shorter.
const tryFor = 10 * time.Second

// try makes one try of a call, for tryFor, or less if most is less.
func (c *core) try(ctx context.Context, most time.Duration, call func(ctx context.Context) error) error {
	most = min(most, tryFor)
	try, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := c.clock.AfterFunc(most, cancel)
	defer stop()
	err := call(try)
	if err != nil && try.Err() != nil && ctx.Err() == nil && errors.Is(err, try.Err()) && !errors.Is(err, ErrUnknownOutcome) {
		return fmt.Errorf("%w: no answer within %v", ErrUnavailable, most)
	}
	return err
}

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
