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
	retryFirst = 50 * time.Millisecond
	retryMost  = 10 * time.Second
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
	return sleep(ctx, r.clock, growing(lasted, retryFirst, retryMost))
}

// doubling is a schedule of pauses, each twice as long as the one before, from the first up to the
// longest.
type doubling struct{ first, most, pause time.Duration }

// The pauses between attempts at work that has failed, between tries of a write of unknown outcome,
// and between questions about a lease of which a watch says that it is gone.
var (
	betweenAttempts = doubling{first: 100 * time.Millisecond, most: 30 * time.Second}
	whileSettling   = doubling{first: 2 * time.Millisecond, most: 250 * time.Millisecond}
	whileAbsent     = doubling{first: askAgain, most: time.Hour}
)

// next is the pause that comes next.
func (d *doubling) next() time.Duration {
	d.pause = min(max(d.first, 2*d.pause), d.most)
	return d.pause
}

// growing is a pause in proportion to what has lasted so far: nobody waits more than an eighth too
// long. It is spread.
func growing(lasted, first, most time.Duration) time.Duration {
	return spread(min(max(first, lasted/8), most))
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
