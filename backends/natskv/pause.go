package natskv

import (
	"context"
	"time"
)

// pauses grow from one try of a request to the next: what stands in its way takes as long as the
// replicas need to agree.
type pauses struct{ next time.Duration }

const (
	pauseFirst = 500 * time.Microsecond
	pauseMost  = 32 * time.Millisecond
)

func (p *pauses) wait(ctx context.Context) error {
	p.next = min(max(2*p.next, pauseFirst), pauseMost)
	t := time.NewTimer(p.next)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// patience bounds a request that nobody else bounds.
func (s *Store) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.timeout)
}
