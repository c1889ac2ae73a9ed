package runs

import (
	"context"
	"errors"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
)

// looked is what a look at a marker came to: a claim, or when to look again. Neither: the marker is
// gone, or was written by another since, which the next listing tells; or its run was not wanted.
type looked struct {
	claim    *claim
	next     time.Time
	unwanted string // the task of a run that could have been claimed, and was not wanted
}

// claim is a claim, and the marker by which it was found. The revision of the marker was known
// before the claim was written, and so before the write that will end the run.
type claim struct {
	runlink.Claim
	sight  runlink.Sight // before the claim
	marker marker
}

// How long a worker looks again where no run stands, before it fences the key. The pause between
// two looks grows from recordPause on.
const (
	absentFor   = time.Second           // a start has died, or is slow
	endedFor    = 50 * time.Millisecond // for the most part a run that was canceled while it waited
	recordPause = 2 * time.Millisecond
)

// lookAtRecord looks at the record of a key with a marker. If no run stands there, perhaps a start
// has just written the marker and is about to write the record. A fence would refuse that start.
// It begins again, and beside a faster worker it would never get through. So a patient worker looks
// again for a while.
func lookAtRecord(ctx context.Context, s runlink.Steps, key string, patient bool) (runlink.Sight, error) {
	sight, err := s.Look(ctx, key)
	for waited := time.Duration(0); patient && err == nil; {
		most := endedFor
		switch sight.Standing {
		case runlink.Absent:
			most = absentFor
		case runlink.Held, runlink.Waiting, runlink.Claimed:
			most = 0
		}
		if waited >= most {
			break
		}
		pause := max(recordPause, waited/4)
		time.Sleep(pause)
		waited += pause
		sight, err = s.Look(ctx, key)
	}
	return sight, err
}

// mostLooks is how often one look begins again because somebody else has written in between.
const mostLooks = 5

// look looks at the run of marker m for a worker. The claim's id was never used before, and is used
// for one function at most. After a claim of unknown outcome the record is read again: if it shows
// that id, the claim is had.
func look(ctx context.Context, s runlink.Steps, m marker, id string, ttl time.Duration) (looked, error) {
	return lookIf(ctx, s, m, id, false, func(string) (time.Duration, bool) { return ttl, true })
}

// lookIf is look for whoever wants the runs of some tasks alone. wants tells whether a run of a
// task is wanted now, and for how long it is claimed.
func lookIf(ctx context.Context, s runlink.Steps, m marker, id string, patient bool, wants func(task string) (ttl time.Duration, ok bool)) (looked, error) {
	if s.Now().Before(m.due) {
		return looked{next: m.due}, nil
	}
	for range mostLooks {
		sight, err := lookAtRecord(ctx, s, m.key, patient)
		if err != nil {
			return looked{}, err
		}
		switch sight.Standing {
		case runlink.Absent, runlink.Open, runlink.Ended:
			if moved, err := unmark(ctx, s, sight, m); err != nil || !moved {
				return looked{}, err
			}
			continue
		case runlink.Held: // by hand, and none of a worker's business until that ends
			return looked{next: sight.Next}, nil
		}
		if s.Now().Before(sight.Next) && sight.ClaimID != id {
			return looked{next: sight.Next}, nil
		}
		ttl, wanted := wants(sight.Task)
		if !wanted {
			return looked{unwanted: sight.Task}, nil
		}
		c, moved, err := s.Claim(ctx, sight, id, ttl)
		switch {
		case errors.Is(err, lease.ErrUnknownOutcome): // the record tells, and no function has begun
		case err != nil:
			return looked{}, err
		case moved:
		case c.Ended: // the revision of the marker was known before that end
			return looked{}, finish(ctx, s, &claim{c, sight, m})
		case c.Lease == nil:
			return looked{next: c.Next}, nil
		default:
			return looked{claim: &claim{c, sight, m}}, nil
		}
	}
	return looked{next: s.Now()}, nil
}
