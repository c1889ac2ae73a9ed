package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease/backend"
)

// erase removes whatever lies under storeKey. If the outcome of a deletion is unknown, it asks
// again, but only for the lease or lock that it set out to erase: a key that was acquired anew
// meanwhile is left alone.
func (c *core) erase(ctx context.Context, storeKey string) error {
	defer c.cache.drop(storeKey)
	var cause error   // of the unknown outcome of a deletion, if any
	var erased string // whose deletion has an unknown outcome
	var refused bool  // perhaps although it was applied
	pauses := whileSettling
	for range mostTries {
		e, err := c.get(ctx, storeKey)
		switch {
		case err != nil && cause == nil:
			return err
		case err == nil && e.Revision == 0 && cause == nil && !refused:
			return ErrNotFound
		case err == nil && e.Revision == 0:
			return nil
		}
		if err == nil {
			var id string
			retained := true
			if r, err := decodeRecord(e); err == nil {
				id, retained = cmp.Or(r.LeaseID, r.Op), r.stateAt(c.clock.Now(), c.skew) != StateNotFound
			}
			if cause != nil && id != erased {
				return fmt.Errorf("%w: acquired anew meanwhile: %w", ErrUnknownOutcome, cause)
			}
			erased = id
			err = c.backend.CompareAndDelete(ctx, storeKey, e.Revision)
			switch {
			case err == nil && retained:
				return nil
			case err == nil:
				return ErrNotFound
			case errors.Is(err, backend.ErrConflict), errors.Is(err, backend.ErrNotFound):
				refused = retained
				continue
			case (errors.Is(err, backend.ErrUnavailable) || errors.Is(err, backend.ErrClosed)) && cause == nil:
				return fmt.Errorf("%w: %w", ErrUnavailable, err)
			case cause == nil:
				cause = err
				var end context.CancelFunc
				ctx, end = patience(ctx)
				defer end()
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
		case <-time.After(pauses.next()):
		}
	}
	if cause != nil {
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
	}
	return fmt.Errorf("%w: %d writers in a row came in between", ErrUnavailable, mostTries)
}
