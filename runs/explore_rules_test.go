package runs

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ailease/lease"
)

// violation is a broken rule.
type violation struct{ rule, detail string }

func (v *violation) Error() string { return v.rule + ": " + v.detail }

func broke(rule, format string, args ...any) error {
	return &violation{rule, fmt.Sprintf(format, args...)}
}

// The rules.
const (
	found     = "no run is lost: one that has not ended has a marker, or workers end it"
	notLate   = "none is late: no marker is due later than its run"
	notEarly  = "none is early: no function begins before its run is due"
	oneLive   = "no two live functions: one begins only when no other can still be at work on the key"
	oneEnd    = "one end: a run that has ended stays as it ended"
	notAgain  = "a run that has ended is not run again"
	limited   = "no more failed attempts than the run allows, and one if at most once"
	accepted  = "an at-most-once function may say how it ended until one TTL after its deadline"
	noOrphans = "no marker outlives its run for ever"
)

// checkWrite holds what was just written against what stood before.
func (p *play) checkWrite(before *stored) error {
	now := p.world.record()
	m, marked := p.world.entries[markedKey]
	if now.unfinished() && !marked {
		return broke(found, "the record is %s, and there is no marker", now.State)
	}
	if now.waits() {
		var v markerValue
		if err := json.Unmarshal(m.value, &v); err != nil {
			return err
		}
		if v.Due.After(now.Run.Due) {
			return broke(notLate, "the marker is due %v later than the run", v.Due.Sub(now.Run.Due))
		}
	}
	if before.unfinished() && (now == nil || now.Run == nil || now.Run.Ticket != before.Run.Ticket && !p.row.replaces) {
		return broke(found, "a run that was %s is gone", before.State)
	}
	if now.waits() && now.State == "released" {
		for _, e := range p.executions {
			e.released = e.released || e.claim == now.LeaseID
		}
	}
	if now == nil || now.Run == nil || now.unfinished() {
		if before != nil && before.Run != nil && !before.unfinished() && now != nil && now.Run != nil && now.Run.Ticket == before.Run.Ticket {
			return broke(oneEnd, "the run was %s, and is %s", before.State, now.State)
		}
		return nil
	}
	how := now.State + " " + now.ErrorCode
	if was, ok := p.ended[now.Run.Ticket]; ok && was != how {
		return broke(oneEnd, "the run was %s, and is %s", was, how)
	}
	p.ended[now.Run.Ticket] = how
	return nil
}

// checkBegin checks that e may begin.
func (p *play) checkBegin(e *execution) error {
	now := p.clock.Now()
	failed, most := 0, 1<<30
	r := p.world.record()
	if r.unfinished() && r.Run.Ticket == e.ticket {
		if most = r.Run.Attempts; r.AtMostOnce {
			most = 1
		}
	}
	for _, x := range p.executions {
		if !x.returned && now.Before(x.deadline) {
			return broke(oneLive, "a%d's has %v left", x.actor+1, x.deadline.Sub(now))
		}
		if !e.hand && x.ticket == e.ticket && !x.released {
			failed++
		}
	}
	if failed >= most {
		return broke(limited, "%d attempts before this one, at most %d", failed, most)
	}
	if _, ended := p.ended[e.ticket]; ended && !e.hand {
		return broke(notAgain, "it was %s", p.ended[e.ticket])
	}
	if p.row.delayed && !e.hand && now.Before(t0.Add(delay)) {
		return broke(notEarly, "by %v", t0.Add(delay).Sub(now))
	}
	if r.unfinished() && !e.hand && now.Before(r.Run.Due) {
		return broke(notEarly, "the next attempt by %v", r.Run.Due.Sub(now))
	}
	return nil
}

// checkRefused checks why the end of a claim was refused.
func (p *play) checkRefused(c lease.Lease, err error) error {
	if c.AtMostOnce && errors.Is(err, lease.ErrLost) && p.clock.Now().Before(c.ExpiresAt.Add(claimTTL)) {
		return broke(accepted, "%v after its deadline: %v", p.clock.Now().Sub(c.ExpiresAt), err)
	}
	return nil
}

// checkQuiet looks at what stands in the end.
func (p *play) checkQuiet() error {
	if r := p.world.record(); r.unfinished() {
		return broke(found, "in the end the record is %s, and no marker tells of it", r.State)
	}
	if _, ok := p.world.entries[markedKey]; ok {
		return broke(noOrphans, "in the end there is a marker")
	}
	return nil
}
