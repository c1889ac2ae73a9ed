package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
)

// startFor bounds a start. What it has read as absent or ended must not be forgotten meanwhile: the
// bound lies well below any retention.
const startFor = 20 * time.Second

// start starts the run of key, or tells how the key stands. r.Nonce makes it safe to repeat.
func start(ctx context.Context, s runlink.Steps, key string, r runlink.Request) (runlink.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, startFor)
	defer cancel()
	_, namespace := s.Store()
	if _, err := markerKey(namespace, key); err != nil {
		return runlink.Answer{}, &lease.Error{Op: "start", Key: key, Err: err}
	}
	var unknown error          // of an earlier try: what it has written may stand
	var replaced runlink.Sight // what stood before that
	for {
		// (1) What stands decides. Only a start that would write touches the marker: a marker over
		// a run that stands would be left behind by its end.
		sight, err := s.Look(ctx, key)
		if err != nil {
			if failed, ok := errors.AsType[*lease.Error](err); ok {
				err = &lease.Error{Op: "start", Key: key, Err: failed.Err}
			}
			return runlink.Answer{}, first(unknown, err)
		}
		writes, answer, err := s.WouldStart(sight, r)
		if err != nil {
			return answer, err
		}
		if !writes {
			if unknown != nil && answer.Started {
				tellReplaced(ctx, s, replaced)
			}
			return withoutHolder(answer, sight), repair(ctx, s, sight)
		}
		if err := tellOutlived(ctx, s, sight); err != nil {
			return runlink.Answer{}, first(unknown, &lease.Error{Op: "start", Key: key, Err: err})
		}
		// (2) The marker comes first: a run without one is found by nobody.
		if err := mark(ctx, s, key, s.Now().Add(min(r.Delay, r.Within))); err != nil {
			return runlink.Answer{}, first(unknown, &lease.Error{Op: "start", Key: key, Err: err})
		}
		// (3) The record is written at the revision of (1). If it has moved, the marker may have
		// been deleted since.
		answer, moved, err := s.Start(ctx, sight, r)
		switch {
		case moved:
		case errors.Is(err, lease.ErrUnknownOutcome):
			unknown, replaced = err, sight // its nonce tells whether it was applied
		default:
			if err == nil {
				tellReplaced(ctx, s, sight)
			}
			return answer, err
		}
	}
}

// tellOutlived appends the end of the run in whose place another is about to be started. The record
// will not tell it any more. If there is no marker, somebody has appended the end already: with the
// journal away such keys can be started.
func tellOutlived(ctx context.Context, s runlink.Steps, sight runlink.Sight) error {
	if _, ok := s.(storied); !ok || sight.Standing != runlink.Ended || !isRun(sight) {
		return nil
	}
	m, err := loadMarker(ctx, s, sight.Key)
	if err == nil && m.revision == 0 {
		return nil
	}
	if err == nil {
		err = tellEnd(ctx, s, sight)
	}
	if err != nil { // of whatever kind: nothing was started
		return fmt.Errorf("%w: the end of the run before is not in the journal: %v", lease.ErrUnavailable, err)
	}
	return nil
}

// withoutHolder is the answer without the lease id of a holder by hand. Whoever waits extends the
// id that it is given, and would keep a dead holder's lease alive.
func withoutHolder(a runlink.Answer, sight runlink.Sight) runlink.Answer {
	if sight.Standing == runlink.Held {
		l := a.Lease.(lease.Lease)
		l.LeaseID = ""
		a = runlink.Answer{Lease: l} // also if the holder had the same nonce
	}
	return a
}

// status tells how the run of key stands.
func status(ctx context.Context, s runlink.Steps, key string) (runlink.Sight, error) {
	sight, err := s.Look(ctx, key)
	if err != nil {
		return sight, err
	}
	return sight, repair(ctx, s, sight)
}

// first is the first error of two.
func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// markAgain is the pause after a write of a marker whose outcome is unknown.
const markAgain = 5 * time.Millisecond

// mark writes the marker of key with the given due time, or the earlier one that stands. It always
// makes a new revision: whoever is about to delete the old one, now or late, is refused.
func mark(ctx context.Context, s runlink.Steps, key string, due time.Time) error {
	for {
		m, err := loadMarker(ctx, s, key)
		if err != nil {
			return fmt.Errorf("%w: the marker cannot be read: %w", lease.ErrUnavailable, err)
		}
		earlier := due
		if m.revision != 0 && m.due.Before(due) {
			earlier = m.due
		}
		_, err = writeMarker(ctx, s, m, earlier)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrClosed), errors.Is(err, backend.ErrInvalid):
			return fmt.Errorf("%w: the marker cannot be written: %w", lease.ErrUnavailable, err)
		}
		// Another has written it, or this write may come late. The next one makes that impossible.
		if !errors.Is(err, backend.ErrConflict) {
			time.Sleep(markAgain)
		}
	}
}

// repair writes the marker of a run that is overdue and has none: somebody has erased it, or the
// run was written late, after its key was forgotten.
func repair(ctx context.Context, s runlink.Steps, sight runlink.Sight) error {
	if sight.Standing != runlink.Waiting && sight.Standing != runlink.Claimed || s.Now().Before(sight.Next) {
		return nil
	}
	m, err := loadMarker(ctx, s, sight.Key)
	if err == nil && m.revision == 0 {
		_, err = writeMarker(ctx, s, m, sight.Next)
	}
	if err != nil && !errors.Is(err, backend.ErrConflict) {
		return &lease.Error{Op: "look", Key: sight.Key, Err: fmt.Errorf("%w: the marker cannot be repaired: %w", lease.ErrUnavailable, err)}
	}
	return nil
}
