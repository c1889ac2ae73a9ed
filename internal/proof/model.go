package proof

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ailease/lease"
)

// state is the sequential model of the lease of one key. What an operation of unknown outcome would have written is not known in full: such a lease
// has an id that begins with "?" and token 0 until somebody sees them, and its deadline lies somewhere between two instants.
type state struct {
	exists  bool
	end     string // "completed ..." or "failed ...", "" while in progress
	id      string
	version uint64
	token   uint64
	attempt int
	lo, hi  int64 // the deadline is not before lo and not after hi
	once    bool
}

// model is the lease as porcupine takes it. Each step returns the states in which the operation could leave the lease, having come to what it came to.
var model = porcupine.NondeterministicModel{
	Partition: byKey,
	Init:      func() []any { return []any{state{}} },
	Step: func(s, in, _ any) []any {
		var next []any
		for _, n := range step(s.(state), in.(*Operation)) {
			next = append(next, n)
		}
		return next
	},
	DescribeOperation: func(in, _ any) string { return in.(*Operation).String() },
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	keys := map[string][]porcupine.Operation{}
	for _, o := range history {
		key := o.Input.(*Operation).Key
		keys[key] = append(keys[key], o)
	}
	var parts [][]porcupine.Operation
	for _, part := range keys {
		parts = append(parts, part)
	}
	return parts
}

// Linearizable tells whether the operations could have happened one after the other, each at some moment between its call and its return.
func Linearizable(ops []Operation, timeout time.Duration) porcupine.CheckResult {
	var history []porcupine.Operation
	for i := range ops {
		o := &ops[i]
		returned := o.Returned
		if open(o) {
			returned = math.MaxInt64 // it may take effect at any later time
		}
		history = append(history, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Called, Return: returned})
	}
	// A client of an open operation goes on, which porcupine's clients do not.
	for i := range history {
		history[i].ClientId = i
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), history, timeout)
}

// open tells whether it is not known if, and when, the operation was applied.
func open(o *Operation) bool { return errors.Is(o.Err, lease.ErrUnknownOutcome) }

// lostLate tells whether the lease may have been acquired or extended, and lost before that could be said.
func lostLate(o *Operation) bool {
	return (o.Verb == Acquire || o.Verb == Extend) && errors.Is(o.Err, lease.ErrLost)
}

func step(s state, o *Operation) []state {
	if open(o) {
		return append(s.perhaps(o), s)
	}
	switch {
	case o.Err == nil:
	case errors.Is(o.Err, lease.ErrNotFound):
		return when(s, !s.exists && o.Verb != Status)
	case lostLate(o):
		return append(s.perhaps(o), when(s, o.Verb == Extend && s.exists && s.id != o.LeaseID)...)
	case errors.Is(o.Err, lease.ErrLost):
		return when(s, s.exists && s.id != o.LeaseID)
	case errors.Is(o.Err, lease.ErrFinished):
		return when(s, s.exists && (s.end != "" && (o.Verb == Extend || s.id == o.LeaseID && s.end != o.end()) || o.Verb == Extend && s.once && s.lo <= o.until()))
	default: // nothing was written
		return []state{s}
	}
	switch {
	case o.Verb == Acquire && o.Acquired:
		return s.acquired(o)
	case o.Verb == Acquire || o.Verb == Status:
		return s.seen(o)
	case o.Verb == Extend:
		return s.extended(o)
	default:
		return s.ended(o)
	}
}

func when(s state, ok bool) []state {
	if ok {
		return []state{s}
	}
	return nil
}

func (o *Operation) since() int64 { return o.Since.UnixNano() }
func (o *Operation) until() int64 { return o.Until.UnixNano() }

func (o *Operation) during(t time.Time) bool { return !t.Before(o.Since) && !t.After(o.Until) }

func (o *Operation) end() string {
	if o.Verb == Complete {
		return "completed " + o.Mark
	}
	return "failed " + o.Mark
}

// free tells whether o could acquire the lease at some moment of its own.
func (s *state) free(o *Operation) bool {
	switch {
	case !s.exists:
		return true
	case s.end != "":
		return s.end[0] == 'f' && o.Retry
	default:
		return s.lo <= o.until() && (!s.once || o.Retry)
	}
}

func (s *state) acquired(o *Operation) []state {
	l := &o.Lease
	next := state{exists: true, id: l.LeaseID, version: s.version + 1, token: l.Token, attempt: s.attempt + 1, once: o.Once, lo: l.ExpiresAt.UnixNano(), hi: l.ExpiresAt.UnixNano()}
	expired := !s.exists || s.end != "" || s.lo <= l.AcquiredAt.UnixNano()
	ok := s.free(o) && expired && l.Version == next.version && l.Attempt == next.attempt && l.Token > s.token && l.LeaseID != s.id &&
		l.State == lease.StateInProgress && o.during(l.AcquiredAt) && l.ExpiresAt.Equal(l.AcquiredAt.Add(o.TTL))
	return when(next, ok)
}

// same tells whether l shows s, and learns from it what was not known.
func (s state) same(l *lease.Lease) (state, bool) {
	if !s.exists || l.Version != s.version || l.Attempt != s.attempt {
		return s, false
	}
	if s.id[0] == '?' {
		s.id = l.LeaseID
	}
	if s.token == 0 {
		s.token = l.Token
	}
	return s, l.LeaseID == s.id && l.Token == s.token
}

// learn takes the deadline that l shows.
func (s state) learn(l *lease.Lease) (state, bool) {
	at := l.ExpiresAt.UnixNano()
	ok := s.lo <= at && at <= s.hi
	s.lo, s.hi = at, at
	return s, ok
}

func (s state) seen(o *Operation) []state {
	l := &o.Lease
	if l.State == lease.StateNotFound {
		return when(s, !s.exists)
	}
	s, ok := s.same(l)
	if !ok {
		return nil
	}
	switch l.State {
	case lease.StateInProgress:
		s, ok = s.learn(l)
		now := l.ExpiresAt.Add(-l.TTLLeft)
		return when(s, ok && s.end == "" && l.TTLLeft > 0 && o.during(now))
	case lease.StateExpired:
		s, ok = s.learn(l)
		return when(s, ok && s.end == "" && !s.once && s.lo <= o.until())
	case lease.StateCompleted:
		return when(s, s.end == "completed "+l.ResultHash)
	case lease.StateFailed:
		if s.end == "" { // at most once, and expired
			s, ok = s.learn(l)
			return when(s, ok && s.once && l.ErrorCode == "expired" && s.lo <= o.until() && !o.Retry)
		}
		return when(s, s.end == "failed "+l.ErrorCode && !(o.Verb == Acquire && o.Retry))
	}
	return nil
}

func (s state) extended(o *Operation) []state {
	l := &o.Lease
	now := l.ExpiresAt.Add(-o.TTL)
	ok := s.exists && s.end == "" && s.id == o.LeaseID && o.during(now) && (!s.once || s.hi > now.UnixNano()) && l.Version == s.version+1
	s.version++
	s.lo, s.hi = l.ExpiresAt.UnixNano(), l.ExpiresAt.UnixNano()
	return when(s, ok)
}

func (s state) ended(o *Operation) []state {
	if !s.exists || s.id != o.LeaseID {
		return nil
	}
	if s.end != "" { // the same once more
		return when(s, s.end == o.end() && o.Lease.Version == s.version)
	}
	s.version++
	s.end = o.end()
	return when(s, o.Lease.Version == s.version && o.during(o.Lease.DoneAt))
}

// perhaps returns the state in which an open operation leaves the lease if it was applied.
func (s state) perhaps(o *Operation) []state {
	if o.Verb == Acquire {
		if !s.free(o) {
			return nil
		}
		return []state{{exists: true, id: fmt.Sprint("?", o.Number), version: s.version + 1, attempt: s.attempt + 1, once: o.Once,
			lo: o.since() + int64(o.TTL), hi: o.until() + int64(o.TTL)}}
	}
	if !s.exists || s.end != "" || s.id != o.LeaseID {
		return nil
	}
	s.version++
	if o.Verb == Extend {
		s.lo, s.hi = o.since()+int64(o.TTL), o.until()+int64(o.TTL)
	} else {
		s.end = o.end()
	}
	return []state{s}
}
