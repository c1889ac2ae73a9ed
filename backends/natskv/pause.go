package natskv

import (
	"context"
	"time"
)

// pauses are the waits between tries of a request. Each is twice as long as the one before, up to
// pauseMost.
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

// bounded bounds a request by the Store's timeout if its caller has not bounded it.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.timeout)
}

// repeated makes a request again, with twice the time, if no answer comes: the request or the
// answer may be lost. It is only for requests that may be made twice.
func repeated(ctx context.Context, request func(ctx context.Context) error) error {
	for wait := answerWait; ; wait *= 2 {
		try, cancel := context.WithTimeout(ctx, wait)
		err := request(try)
		lost := try.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !lost {
			return err
		}
	}
}
