package proof

import (
	"cmp"
	"time"
)

// story is what the store tells of one lease.
type story struct {
	acquired   time.Duration
	failures   int           // of the key, when it was acquired
	over       string        // the stored state of the lease before; "" if there was none
	generation int           // of the key: a new one begins when nothing is kept of what was before
	deadline   time.Duration // the latest, by the clock of whoever wrote it
	last       Record
	end        time.Duration // when it was ended, released or followed by another; 0: it never was
	taken      time.Duration // when somebody else took it, before its time; 0: nobody did
	how        string        // it was taken
	restored   int           // the generation in which its acquisition came last: again, after it was forgotten
	moved      time.Duration // when somebody else set its deadline first; 0: nobody did
}

func (j *judge) at(w Write) time.Duration { return w.At.Sub(j.begun) }

// tell reads the writes of one key.
func (j *judge) tell(writes []Write, calls map[string]*call) {
	generation := 0
	var now *story
	for i, w := range writes {
		at, r := j.at(w), w.Record
		if w.Deleted {
			if now != nil {
				now.takenBy("forgotten", at)
				now.finish(at)
			}
			now = nil
			generation++
			continue
		}
		known := j.stories[r.LeaseID]
		if known == nil || known != now {
			j.follows(now, w)
			if i > 0 && (r.Version == 1 || len(writes[i-1].Record.Replaced) < len(r.Replaced)) {
				generation++
			}
			if c := calls[w.By.Who]; c != nil && c.opt.Input != nil {
				j.inputs[c.opt.Input] = r.InputHash
			}
			if known == nil {
				known = &story{acquired: at, failures: r.Failures, generation: generation}
				if now != nil {
					known.over = now.last.State
				}
				j.stories[r.LeaseID] = known
			}
			known.restored = generation
			now = known
		}
		switch {
		case r.State != inProgress && w.By.ByHand:
			now.takenBy(r.State+" by hand", at)
			now.finish(at)
		case r.State != inProgress:
			now.finish(at)
		case w.By.ByHand:
			now.moved = cmp.Or(now.moved, at)
			fallthrough
		default:
			now.deadline = max(now.deadline, r.Deadline.Sub(j.begun))
		}
		now.last = r
	}
}

func (s *story) finish(at time.Duration) {
	if s.end == 0 {
		s.end = at
	}
}

// disturbed tells whether, by then, somebody had taken the lease or moved its deadline.
func (s *story) disturbed(by time.Duration) bool {
	return s.taken > 0 && s.taken <= by || s.moved > 0 && s.moved <= by
}

func (s *story) takenBy(how string, at time.Duration) {
	if s.taken == 0 {
		s.taken, s.how = at, how
	}
}

// follows notes that w begins a lease in place of old.
func (j *judge) follows(old *story, w Write) {
	if old == nil || old.last.State != inProgress {
		return
	}
	if len(w.Record.Replaced) > len(old.last.Replaced) {
		old.takenBy("replaced", j.at(w))
	}
	old.finish(j.at(w))
}
