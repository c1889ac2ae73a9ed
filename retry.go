package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// The pauses between tries of a store that is away: the longer it is, the longer they are, from the
// first to the last.
const (
	retryFirst  = 50 * time.Millisecond
	retryRarely = 8 // the part of the time since the first try
	retryMost   = 10 * time.Second
)

// tryFor bounds one try of a call to the store: a request that got lost must cost neither a lease
// nor the caller's time. Stores have bounds of their own, usually shorter.
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

// pause waits before the next try. It returns false, and does not wait, if ctx has ended or the
// tries have lasted for most; 0 is for ever.
func (r *retries) pause(ctx context.Context, most time.Duration) bool {
	now := r.clock.Now()
	if !r.tried {
		r.tried, r.since = true, now
	}
	lasted := now.Sub(r.since)
	if ctx.Err() != nil || most > 0 && lasted >= most {
		return false
	}
	return sleep(ctx, r.clock, spread(min(max(retryFirst, lasted/retryRarely), retryMost)))
}

// The pauses between attempts at work that has failed: doubled each time, up to the last.
const (
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// backoff spaces attempts out.
type backoff struct{ pause time.Duration }

// wait waits before the next attempt. It returns false if ctx ends before.
func (b *backoff) wait(ctx context.Context, clock Clock) bool {
	b.pause = min(max(backoffFirst, 2*b.pause), backoffMost)
	return sleep(ctx, clock, spread(b.pause))
}

// spread is d give or take a quarter: those who failed together do not try again together.
func spread(d time.Duration) time.Duration { return d - d/4 + rand.N(d/2) }

// sleep waits for d. It returns false if ctx ends before.
func sleep(ctx context.Context, clock Clock, d time.Duration) bool {
	t := newTimer(clock)
	t.set(d)
	defer func() { t.stop() }()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
