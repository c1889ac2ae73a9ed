package proof

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ailease/lease"
)

// How a simulated day is judged.

// judge looks at one day.
type judge struct {
	*Simulation
	Broken
	writes  map[string][]Write
	stories map[string]*story // of lease ids
	inputs  map[any]string    // hashes
}

// check looks at what happened.
func (s *Simulation) check() Broken {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := &judge{Simulation: s, writes: s.ledger.of(), stories: map[string]*story{}, inputs: map[any]string{}}
	s.found = j
	calls := map[string]*call{}
	for _, c := range s.told {
		calls[c.who] = c
	}
	for _, writes := range j.writes {
		j.checkWrites(writes)
		j.tell(writes, calls)
	}
	slices.SortFunc(s.stints, func(x, y *stint) int { return int(int64(x.token) - int64(y.token)) })
	keys := map[string][]*stint{}
	for _, st := range s.stints {
		if j.stories[st.leaseID] == nil {
			j.add("%s ran under %s, of which the store knows nothing", st.who, short(st.leaseID))
			return j.Broken
		}
		keys[st.key] = append(keys[st.key], st)
	}
	for key, stints := range keys {
		j.exclusive(key, stints)
		j.checkpoints(key, stints)
		if key == onceKey {
			j.once(stints)
		}
	}
	for _, st := range s.stints {
		j.gone(st)
	}
	for _, c := range s.told {
		if c.err == nil {
			j.result(c)
		} else if errors.Is(c.err, lease.ErrFailed) {
			j.failure(c)
		}
		j.attempts(c)
		j.looked(c)
		j.soon(c)
		j.within(c)
	}
	return j.Broken
}

// exclusive checks that no two functions had a live context at once. stints are those of one key,
// in the order of their tokens. A function whose context ended with its lease must have stopped
// being live before the next one began. One that returned, or whose caller was gone, at the latest
// then. Only what was taken by somebody else may be live for a while: until its deadline at most,
// and if the store answers, until the next extension.
func (j *judge) exclusive(key string, stints []*stint) {
	seen := map[string]string{}
	for i, now := range stints {
		if other := seen[now.leaseID]; other != "" {
			j.add("%s: %s was run twice: by %s and %s", key, short(now.leaseID), other, now.who)
		}
		seen[now.leaseID] = now.who
		for _, before := range stints[:i] {
			if before.token == now.token {
				j.add("%s: %s and %s have token %d", key, before.who, now.who, now.token)
			}
			overlap := now.live.from < before.live.to || before.lost && now.live.from == before.live.to
			if overlap && !j.stories[before.leaseID].disturbed(now.live.from) {
				j.add("%s: two functions with a live context: %s (attempt %d) from %v to %v, %s (attempt %d) from %v",
					key, before.who, before.attempt, before.live.from, before.live.to, now.who, now.attempt, now.live.from)
			}
		}
		was := j.stories[now.leaseID]
		// The clock that is most ahead allows the takeover first.
		if first := was.deadline + j.skew - j.skew/2; now.live.to > first && !j.Careless {
			j.add("%s: %s is live until %v, and could be taken over at %v", key, now.who, now.live.to, first)
		}
		if told := was.taken + now.opt.TTL/3 + 5*lateBy; j.calm && was.taken > 0 && now.live.to > max(told, now.live.from) {
			j.add("%s: %s was %s at %v, and was told at %v", key, now.who, was.how, was.taken, now.live.to)
		}
	}
}

// checkpoints checks what functions have loaded: the last acknowledged checkpoint of an earlier
// attempt, or a later one of unknown outcome.
func (j *judge) checkpoints(key string, stints []*stint) {
	var allowed []string
	generation, restored := -1, map[int][]string{}
	for _, st := range stints {
		was := j.stories[st.leaseID]
		if was.generation != generation {
			generation = was.generation
			allowed = append([]string{""}, restored[generation]...)
		}
		if was.restored == generation && !slices.Contains(allowed, st.loaded) {
			j.add("%s: %s has loaded %q, want one of %q", key, st.who, st.loaded, allowed)
		}
		for _, s := range st.saved {
			if was.restored != generation {
				restored[was.restored] = append(restored[was.restored], s.name)
			} else if s.acknowledged {
				allowed = nil
			}
			allowed = append(allowed, s.name)
		}
	}
}

// once checks that work which is at most once ran again only if that was allowed. stints are in the
// order of their tokens.
func (j *judge) once(stints []*stint) {
	for i, now := range stints[min(1, len(stints)):] {
		before := stints[i]
		was := j.stories[before.leaseID]
		nothingDone := before.failed && before.end == "retryable" && !before.lost
		if !nothingDone && was.taken == 0 && !now.opt.RetryFailed {
			j.add("%s: at most once, and run by %s after %s, which ended with %s", now.key, now.who, before.who, before.end)
		}
	}
}

// gone checks that a lease whose caller had gone was released, and that whoever waited went on.
func (j *judge) gone(st *stint) {
	was := j.stories[st.leaseID]
	retryable := st.end == "retryable"
	if !j.calm || !st.gone || !st.failed || st.lost || st.opt.Finish || was.disturbed(was.end) || st.end == "panic" || st.opt.AtMostOnce && !retryable {
		return
	}
	if was.last.State != released {
		j.add("%s: the caller of %s had gone, and its lease is %s with code %q", st.key, st.who, was.last.State, was.last.ErrorCode)
	}
	// Whoever asks from time to time does so every five seconds, give or take a quarter.
	const soon = 7 * time.Second
	next := slices.ContainsFunc(j.writes[st.key], func(w Write) bool { return j.at(w) >= was.end && w.Record.LeaseID != st.leaseID })
	for _, c := range j.told {
		works := slices.ContainsFunc(j.stints, func(other *stint) bool {
			return other.call == c && other.live.from <= was.end && other.until >= was.end
		})
		if c.key == st.key && c.span.from < was.end && c.span.to > was.end+soon && !next && !works {
			j.add("%s: released at %v, and %s waited until %v", st.key, was.end, c.who, c.span.to)
		}
	}
}

// stood returns the records of key that stood at some time of the span.
func (j *judge) stood(key string, during span) (all []Record) {
	writes := j.writes[key]
	for i, w := range writes {
		if !w.Deleted && j.at(w) <= during.to && (i+1 == len(writes) || j.at(writes[i+1]) >= during.from) {
			all = append(all, w.Record)
		}
	}
	return all
}

// result checks that what c returned was stored for all, while it was under way.
func (j *judge) result(c *call) {
	for _, r := range j.stood(c.key, c.span) {
		if r.State == completed && string(r.Result) == quoted(c.result) {
			if c.opt.Input != nil && r.InputHash != "" && r.InputHash != j.inputs[c.opt.Input] {
				j.add("%s: %s was told %q, which is of other input", c.key, c.who, c.result)
			}
			return
		}
	}
	j.add("%s: %s was told %q, which did not stand", c.key, c.who, c.result)
}

// soon checks that Do returned when the function had, since nothing stood in its way.
func (j *judge) soon(c *call) {
	for _, st := range j.stints {
		if j.calm && st.call == c && c.err == nil && !st.failed && c.span.to > st.until+lateBy {
			j.add("%s: the function of %s returned at %v, and Do at %v", c.key, c.who, st.until, c.span.to)
		}
	}
}

// failure checks that c was told of a failure that stood, and not before there were so many as it
// asked for.
func (j *judge) failure(c *call) {
	code := lease.Code(c.err)
	var e *lease.Error
	if !errors.As(c.err, &e) {
		j.add("%s: %s was told %v", c.key, c.who, c.err)
		return
	}
	own := slices.ContainsFunc(j.stints, func(st *stint) bool { return st.call == c })
	shared := slices.ContainsFunc(j.stood(c.key, c.span), func(r Record) bool {
		return r.State == failed && r.ErrorCode == code || (code == "expired" || code == "released") && (r.AtMostOnce || c.opt.AtMostOnce)
	})
	if !shared && !own {
		j.add("%s: %s was told of a failure with code %q, which did not stand", c.key, c.who, code)
	}
	l := e.Lease
	before, reset := j.failures(c.key, span{c.span.from, c.span.to})
	if j.calm && !reset && l.Retryable && !c.gone && l.Failures-before < max(1, c.opt.Attempts) && (l.AtMostOnce || !c.opt.AtMostOnce) {
		j.add("%s: %s asked for %d attempts and gave up after %d failures", c.key, c.who, c.opt.Attempts, l.Failures-before)
	}
}

// failures returns how many failures there were when the span began, and whether they were reset
// before it ended.
func (j *judge) failures(key string, during span) (before int, reset bool) {
	n := 0
	for _, w := range j.writes[key] {
		fewer := w.Record.Failures < n || w.Deleted
		if n = w.Record.Failures; j.at(w) < during.from {
			before = n
		} else if fewer && j.at(w) <= during.to {
			reset = true
		}
	}
	return before, reset
}

// attempts checks that c has not failed more often than it asked for, and that it has not gone on
// after others had.
func (j *judge) attempts(c *call) {
	most, own := max(1, c.opt.Attempts), 0
	for _, st := range j.stints {
		if st.call != c {
			continue
		}
		was := j.stories[st.leaseID]
		before, reset := j.failures(c.key, span{c.span.from, was.acquired})
		if reset {
			return
		}
		if own++; own > most && was.last.State == failed {
			j.add("%s: %s has failed %d times, and asked for %d", c.key, c.who, own, most)
		}
		if was.last.State != failed {
			own--
		}
		if j.calm && was.over == failed && was.failures-before >= most {
			j.add("%s: %s asked for %d attempts and tried after %d failures", c.key, c.who, most, was.failures-before)
		}
	}
}

// looked checks that c has asked to replace, and to try again what has failed for good, only when
// it first looked. On a calm day that is when it was called. On any day it had looked once it ran
// the function.
func (j *judge) looked(c *call) {
	writes := j.writes[c.key]
	for i, w := range writes[min(1, len(writes)):] {
		before, old, now := writes[i], writes[i].Record, w.Record
		if w.By.Who != c.who || w.Deleted || before.Deleted || old.LeaseID == now.LeaseID {
			continue
		}
		ran := slices.ContainsFunc(j.stints, func(st *stint) bool { return st.call == c && st.token < w.token() })
		if len(now.Replaced) > len(old.Replaced) && (ran || j.calm && j.at(w) > c.span.from) {
			j.add("%s: %s has replaced at %v, after it had waited since %v", c.key, c.who, j.at(w), c.span.from)
		}
		if old.State == failed && !old.Retryable && (ran || j.calm && j.at(before) > c.span.from) {
			j.add("%s: %s has tried again a permanent failure of %v, for which it had waited since %v", c.key, c.who, j.at(before), c.span.from)
		}
	}
}

// within checks a call of Do by a function for its own key: it fails at once.
func (j *judge) within(c *call) {
	outer, _, inner := strings.Cut(c.who, "'")
	if !j.calm || !inner || c.key == innerKey {
		return
	}
	for _, st := range j.stints {
		if st.who == outer && st.live.from <= c.span.from && c.span.from <= st.live.to && j.stories[st.leaseID].taken == 0 &&
			st.live.to > c.span.from && (c.span.from != c.span.to || !errors.Is(c.err, lease.ErrInProgress) && !errors.Is(c.err, context.Canceled)) {
			j.add("%s: Do within itself took from %v to %v and returned %v", c.key, c.span.from, c.span.to, c.err)
		}
	}
}
