package proof

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ailease/lease"
)

// How operations change the state of the model.

// answers are what an acquire may come to.
type answers struct {
	granted                  []state // as it would leave the key; id, token and instants are to be filled in
	again, polling, mismatch bool
	ended                    []string // an end that it may be told
}

// acquire mirrors the first two rows of the table in DESIGN.md: all that o may come to at some
// moment of now.
func (s *state) acquire(o *Operation, now interval) (a answers) {
	grant := func(n state) { a.granted = append(a.granted, n) }
	again := o.Nonce != "" && o.Nonce == s.nonce
	switch {
	case !s.exists:
		grant(s.fresh(o))
		return a
	case s.replaced(o):
		return a
	case o.Input != "" && s.input != "" && o.Input != s.input:
		if a.mismatch = !o.Replace || s.once; !a.mismatch {
			grant(s.replacement(o))
		}
		return a
	}
	switch opens := s.once || !o.Once; {
	case s.end == released && again:
		a.polling = true
	case s.end == released && !opens && !o.Retry:
		a.ended = []string{failure("released", false)}
	case s.end == released:
		grant(s.successor(o))
	case s.hasEnded() && !again && strings.HasSuffix(s.end, ", retryable") && opens:
		grant(s.successor(o))
	case s.hasEnded() && !again && strings.HasPrefix(s.end, "failed") && o.Retry:
		grant(s.successor(o).withoutFailures())
	case s.hasEnded():
		a.ended = []string{s.end}
	default:
		s.acquireHeld(o, now, again, &a)
	}
	return a
}

// acquireHeld is for a lease that is in progress, or has expired.
func (s *state) acquireHeld(o *Operation, now interval, again bool, a *answers) {
	if s.deadline.mayBeAhead(now) {
		a.again, a.polling = again, !again
	}
	if !s.deadline.mayBePast(now) {
		return
	}
	switch {
	case s.once && o.Retry:
		a.granted = append(a.granted, s.successor(o).withoutFailures())
	case s.once, o.Once && !o.Retry:
		a.ended = append(a.ended, failure("expired", false))
	default:
		a.granted = append(a.granted, s.successor(o))
	}
}

// fresh is the first lease of a key.
func (s *state) fresh(o *Operation) state {
	return state{
		exists: true, version: 1, token: s.token, attempt: 1, ttl: o.TTL, once: o.Once, nonce: o.Nonce,
		input: o.Input, metadata: o.Metadata, retention: o.Retention, prev: s.prev,
	}
}

// next is a lease that follows s.
func (s *state) next(o *Operation) state {
	n := s.fresh(o)
	n.version, n.attempt, n.first = s.version+1, s.attempt+1, s.first
	n.prev = predecessor{s.id, s.end, s.version, s.token, s.failures}
	return n
}

// replaced tells whether o is a call whose lease was replaced.
func (s *state) replaced(o *Operation) bool {
	return o.Nonce != "" && slices.Contains(strings.Split(s.overtaken, "\n"), o.Nonce)
}

// successor takes over, or tries again.
func (s *state) successor(o *Operation) state {
	n := s.next(o)
	n.failures, n.checkpoint, n.overtaken = s.failures, s.checkpoint, s.overtaken
	if n.input == "" {
		n.input = s.input
	}
	return n
}

func (s state) withoutFailures() state {
	s.failures = 0
	return s
}

// replacement is the lease of other input.
func (s *state) replacement(o *Operation) state {
	n := s.next(o)
	call := s.nonce
	if call == "" {
		call = s.id
	}
	all := append(strings.Split(s.overtaken, "\n"), call)
	n.overtaken = strings.Join(all[max(0, len(all)-8):], "\n") // the record keeps eight
	return n
}

// since fills in the instants of a lease that was acquired at now.
func (s state) since(now interval) state {
	s.deadline = now.add(s.ttl)
	if s.version == 1 {
		s.first = now
	}
	return s
}

func (s *state) acquires(o *Operation) (all []state) {
	l := &o.Lease
	if !o.Acquired {
		return s.told(o)
	}
	if n, ok := s.same(l); ok && s.acquire(o, at(l.ExpiresAt.Add(-l.TTLLeft))).again {
		return when(n, n.holds(o) && n.shows(l))
	}
	now := at(l.AcquiredAt)
	for _, n := range s.acquire(o, now).granted {
		n = n.since(now)
		n.id, n.token = l.LeaseID, l.Token
		ok := o.during(l.AcquiredAt) && l.LeaseID != s.id && l.LeaseID != s.prev.id && l.Token > s.token
		if m, same := n.same(l); ok && same && m.holds(o) && m.shows(l) {
			all = append(all, m)
		}
	}
	return all
}

// told is for an acquire that was not granted.
func (s *state) told(o *Operation) []state {
	l := &o.Lease
	n, ok := s.same(l)
	if !ok {
		return nil
	}
	switch l.State {
	case lease.StateInProgress:
		now := at(l.ExpiresAt.Add(-l.TTLLeft))
		if s.end == released {
			now = o.span() // there is no time left that would tell
		}
		return when(n, s.acquire(o, now).polling && (s.end == released || n.holds(o)))
	case lease.StateCompleted, lease.StateFailed:
		return when(n, slices.Contains(s.acquire(o, o.span()).ended, endOf(l)))
	}
	return nil
}

// extended is s with what o brings, at now.
func (s state) extended(o *Operation, now interval) state {
	s.version++
	if o.TTL != 0 {
		s.ttl = o.TTL
	}
	s.deadline = now.add(s.ttl)
	if o.Metadata != "" {
		s.metadata = o.Metadata
	}
	if o.Checkpoint != "" {
		s.checkpoint, s.seq = o.Checkpoint, cmp.Or(o.Seq, s.seq)
	}
	return s
}

func (s *state) extends(o *Operation) []state {
	l := &o.Lease
	if !s.exists || s.end != "" || s.id != o.LeaseID {
		return nil
	}
	if o.Seq != 0 && o.Seq <= s.seq { // a newer checkpoint stands
		n, ok := s.same(l)
		return when(n, ok && n.shows(l) && !(s.once && !n.deadline.mayBeAhead(o.span())))
	}
	now := at(l.ExpiresAt.Add(-l.TTL))
	n, ok := s.extended(o, now).same(l)
	return when(n, ok && n.shows(l) && o.during(l.ExpiresAt.Add(-l.TTL)) && !(s.once && !s.deadline.mayBeAhead(now)))
}

// ended is s ended as o asks, at now.
func (s state) ended(o *Operation, now interval) state {
	s.version++
	s.end = o.end()
	switch o.Verb {
	case Release:
		s.deadline = now
		return s
	case Complete:
		s.checkpoint, s.seq = "", 0
	default:
		s.failures++
	}
	if s.retention > 0 {
		s.forgotten = now.add(s.retention)
	}
	return s
}

// repeated is for an end that was asked for before, perhaps of the lease before.
func (s *state) repeated(o *Operation) []state {
	l := &o.Lease
	if s.repeats(o) {
		ok := l.LeaseID == s.prev.id && l.Version == s.prev.version && l.Failures == s.prev.failures && (s.prev.token == 0 || l.Token == s.prev.token)
		return when(*s, ok)
	}
	n, ok := s.same(l)
	return when(n, ok && s.end == o.end())
}

func (s *state) releases(o *Operation) []state {
	if !s.exists || s.id != o.LeaseID || s.end != "" {
		return s.repeated(o)
	}
	n, ok := s.ended(o, at(o.Lease.ExpiresAt)).same(&o.Lease)
	return when(n, ok && o.during(o.Lease.ExpiresAt) && o.Lease.Released)
}

func (s *state) ends(o *Operation) []state {
	if !s.exists || s.id != o.LeaseID || s.end != "" {
		return s.repeated(o)
	}
	n, ok := s.ended(o, at(o.Lease.DoneAt)).same(&o.Lease)
	return when(n, ok && o.during(o.Lease.DoneAt) && endOf(&o.Lease) == n.end)
}

// perhaps returns the states in which an open operation leaves the lease if it was applied.
func (s *state) perhaps(o *Operation) (all []state) {
	now := o.span()
	if o.Verb == Acquire {
		for _, n := range s.acquire(o, now).granted {
			n = n.since(now)
			n.id, n.token = fmt.Sprint("?", o.Number), 0
			all = append(all, n)
		}
		return all
	}
	if !s.exists || s.end != "" || s.id != o.LeaseID {
		return nil
	}
	if o.Verb == Extend {
		return when(s.extended(o, now), (o.Seq == 0 || o.Seq > s.seq) && !(s.once && !s.deadline.mayBeAhead(now)))
	}
	return []state{s.ended(o, now)}
}
