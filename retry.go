package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
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

// pauses are the times between tries of one thing. Each is the first one, and a part of all those
// before it, but at most the last one.
type pauses struct {
	first, most time.Duration
	part        time.Duration // one of so many: with 1, each pause is twice as long as the one before
	waited      time.Duration // so far
}

// afterFailure are the pauses between attempts at work that has failed.
func afterFailure() pauses {
	return pauses{first: 100 * time.Millisecond, most: 30 * time.Second, part: 1}
}

// whileAway are the pauses between tries of a store that is away.
func whileAway() pauses {
	return pauses{first: 50 * time.Millisecond, most: 10 * time.Second, part: 8}
}

// whileUnknown are the pauses between tries to find out what became of a write. They are by the
// system's clock: this is about the store's time, not the leases'.
func whileUnknown() pauses {
	return pauses{first: 2 * time.Millisecond, most: 250 * time.Millisecond, part: 1}
}

// whileUnchanged are the pauses between reads of a record of which a change would not be told.
// Nobody waits much more than an eighth too long.
func whileUnchanged(most time.Duration) pauses {
	return pauses{first: min(20*time.Millisecond, most), most: most, part: 8}
}

// whileAbsent are the pauses between extensions of a lease of which a watch says that it is gone.
func whileAbsent() pauses {
	return pauses{first: askAgain, most: time.Hour, part: 1}
}

// next is the next pause. It is spread.
func (p *pauses) next() time.Duration {
	d := min(p.first+p.waited/p.part, p.most)
	p.waited += d
	return spread(d)
}

// wait waits before the next try. It returns false if ctx ends before.
func (p *pauses) wait(ctx context.Context, clock Clock) bool {
	return ctx.Err() == nil && sleep(ctx, clock, p.next())
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
