package runs

import (
	"context"
	"errors"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
)

// unmark deletes the marker m over a key that has no run. A start may have written the marker and
// died, and its record may still come, late. So the record is fenced first: no write that expects
// what stands can land any more. Only then the marker goes, at the revision that was listed before.
func unmark(ctx context.Context, s runlink.Steps, sight runlink.Sight, m marker) (moved bool, err error) {
	if err := tellEnd(ctx, s, sight); err != nil {
		return false, err
	}
	if moved, err := s.Fence(ctx, sight); err != nil || moved {
		return moved, err
	}
	return false, deleteMarker(ctx, s, m)
}

// finish does for the marker of a claim what the claim's end asks for. It is called once the end is
// written, and whoever comes too late, or dies before, leaves it to the next who looks.
func finish(ctx context.Context, s runlink.Steps, c *claim) error {
	sight, err := s.Look(ctx, c.marker.key)
	if err != nil {
		return err
	}
	if c.Lease != nil && sight.Standing != runlink.Absent && sight.Lease.(lease.Lease).LeaseID != c.Ticket {
		tellReplaced(ctx, s, c.sight)
	}
	switch sight.Standing {
	case runlink.Ended:
		if err := tellEnd(ctx, s, sight); err != nil {
			return err
		}
		return deleteMarker(ctx, s, c.marker)
	case runlink.Waiting: // the record came first: the marker is never due later than the run
		if _, err = writeMarker(ctx, s, c.marker, sight.Due); errors.Is(err, backend.ErrConflict) {
			return nil
		}
		return err
	}
	return nil
}
