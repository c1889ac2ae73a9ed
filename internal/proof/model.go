package proof

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/ailease/lease"
)

// state is the sequential model of the lease of one key. What an operation of unknown outcome would
// have written is not known in full: such a lease has an id that begins with "?" and token 0 until
// somebody sees them, and its instants lie in an interval.
type state struct {
	exists     bool
	end        string // "completed ...", "failed ..." or "released"; "" while in progress
	id         string
	version    uint64
	token      uint64
	attempt    int
	failures   int
	ttl        time.Duration
	deadline   interval
	first      interval // FirstSeenAt
	once       bool
	nonce      string
	overtaken  string // the acquires that were replaced, each with a line end
	input      string
	metadata   string
	checkpoint string
	seq        uint64
	retention  time.Duration // the lease's own
	forgotten  interval      // from when on the record reads as absent; zero for never
	prev       predecessor
}

// predecessor is what is kept of the lease before.
type predecessor struct {
	id, end  string
	version  uint64
	token    uint64
	failures int
}

// interval is where an instant lies, in nanoseconds: not before from and not after to.
type interval struct{ from, to int64 }

func at(t time.Time) interval { return interval{t.UnixNano(), t.UnixNano()} }

func (i interval) add(d time.Duration) interval { return interval{i.from + int64(d), i.to + int64(d)} }

// mayBePast tells whether the instant may have come at some moment of now.
func (i interval) mayBePast(now interval) bool { return i.from <= now.to }

// mayBeAhead tells whether the instant may not have come yet at some moment of now.
func (i interval) mayBeAhead(now interval) bool { return i.to > now.from }

// sees narrows the instant to t, which somebody has seen.
func (i *interval) sees(t time.Time) bool {
	ok := i.from <= t.UnixNano() && t.UnixNano() <= i.to
	*i = at(t)
	return ok
}

// span is when o was under way.
func (o *Operation) span() interval { return interval{o.Since.UnixNano(), o.Until.UnixNano()} }

func (o *Operation) during(t time.Time) bool { return !t.Before(o.Since) && !t.After(o.Until) }

// step returns the states in which o may leave s, having come to what it came to. A retention ends
// by the clock. Whether it had when o looked may be open, and o changes nothing by looking.
func step(s state, o *Operation) (all []state) {
	forgets := s.exists && s.forgotten != interval{}
	if !forgets || s.forgotten.mayBeAhead(o.span()) {
		all = s.step(o)
	}
	if forgets && s.forgotten.mayBePast(o.span()) {
		absent := state{token: s.token, overtaken: s.overtaken, prev: predecessor{s.id, s.end, s.version, s.token, s.failures}}
		for _, n := range absent.step(o) {
			if n == absent {
				n = s
			}
			all = append(all, n)
		}
		if o.Err == nil && o.LeaseID != "" && s.repeats(o) {
			all = append(all, s.repeated(o)...) // it was so, and the record, refused to a write of o, still tells
		}
	}
	return all
}

func (s state) step(o *Operation) []state {
	if open(o) {
		return append(s.perhaps(o), s)
	}
	switch {
	case o.Err != nil:
		return append(when(s, s.refuses(o)), s.lostLate(o)...)
	case o.Verb == Acquire:
		return s.acquires(o)
	case o.Verb == Status:
		return s.seen(o)
	case o.Verb == Extend:
		return s.extends(o)
	case o.Verb == Release:
		return s.releases(o)
	default:
		return s.ends(o)
	}
}

func when(s state, ok bool) []state {
	if ok {
		return []state{s}
	}
	return nil
}

func (s *state) hasEnded() bool { return s.end != "" && s.end != released }

// refuses tells whether s gives reason for the error of o.
func (s *state) refuses(o *Operation) bool {
	own := s.id == o.LeaseID
	expiredOnce := s.end == "" && s.once && s.deadline.mayBePast(o.span())
	switch is := func(err error) bool { return errors.Is(o.Err, err) }; {
	case is(lease.ErrNotFound):
		return !s.exists && o.Verb != Status
	case is(lease.ErrInputMismatch):
		return s.exists && s.acquire(o, o.span()).mismatch
	case is(lease.ErrLost) && o.Verb == Acquire:
		return s.replaced(o) // also once the record is forgotten: it is still there to be seen
	case is(lease.ErrLost) && o.Verb == Extend:
		// Also once the lease that took over has ended, or is forgotten: the store refused a write
		// that may have been applied before.
		return s.exists && (!own || s.end == released) || !s.exists && s.prev.id != "" && s.prev.id != o.LeaseID
	case is(lease.ErrLost) && o.Verb == Release:
		return s.exists && !s.hasEnded() && !own && !s.repeats(o)
	case is(lease.ErrLost):
		return s.exists && (!own || s.end == released) && !s.repeats(o)
	case is(lease.ErrFinished) && o.Verb == Extend:
		return s.exists && (s.hasEnded() || expiredOnce)
	case is(lease.ErrFinished) && o.Verb == Release:
		return s.exists && s.hasEnded() && !s.repeats(o)
	case is(lease.ErrFinished):
		return s.exists && own && s.hasEnded() && s.end != o.end()
	}
	return true // nothing was written
}

// lostLate is for an acquire or extend that was applied, and overtaken before its answer came.
func (s *state) lostLate(o *Operation) []state {
	if lostLate(o) {
		return s.perhaps(o)
	}
	return nil
}

// end is how o ends a lease.
func (o *Operation) end() string {
	switch o.Verb {
	case Release:
		return released
	case Complete:
		return "completed " + o.Mark
	default:
		return failure(o.Mark, o.Retryable)
	}
}

func failure(code string, retryable bool) string {
	if retryable {
		code += ", retryable"
	}
	return "failed " + code
}

// repeats tells whether o is about the lease before, which has ended as o asks.
func (s *state) repeats(o *Operation) bool {
	return s.exists && s.prev.id == o.LeaseID && s.prev.end == o.end()
}

// endOf is the end that l shows.
func endOf(l *lease.Lease) string {
	if l.State == lease.StateCompleted {
		return "completed " + l.ResultHash
	}
	return failure(l.ErrorCode, l.Retryable)
}

// same tells whether l shows s, and learns from it what was not known.
func (s state) same(l *lease.Lease) (state, bool) {
	if !s.exists || l.Version != s.version || l.Attempt != s.attempt || l.Failures != s.failures || l.AtMostOnce != s.once ||
		l.InputHash != s.input || string(l.Metadata) != s.metadata || l.TTL != s.ttl {
		return s, false
	}
	if s.id[0] == '?' {
		s.id = l.LeaseID
	}
	if s.token == 0 {
		s.token = l.Token
	}
	ok := l.LeaseID == s.id && l.Token == s.token && s.first.sees(l.FirstSeenAt)
	if !s.hasEnded() {
		ok = ok && s.deadline.sees(l.ExpiresAt)
	}
	return s, ok
}

// shows tells whether l, which is the holder's, has the checkpoint of s.
func (s *state) shows(l *lease.Lease) bool { return string(l.Checkpoint) == s.checkpoint }

// holds tells whether the lease of o is in progress at some moment of o.
func (s *state) holds(o *Operation) bool {
	l := &o.Lease
	return s.end == "" && l.State == lease.StateInProgress && l.TTLLeft > 0 && o.during(l.ExpiresAt.Add(-l.TTLLeft))
}

func (s *state) seen(o *Operation) []state {
	l := &o.Lease
	if l.State == lease.StateNotFound {
		return when(*s, !s.exists)
	}
	n, ok := s.same(l)
	if !ok {
		return nil
	}
	past := s.end == "" && n.deadline.mayBePast(o.span())
	switch {
	case l.State == lease.StateInProgress:
		return when(n, n.holds(o))
	case l.State == lease.StateExpired && l.Released:
		return when(n, s.end == released)
	case l.State == lease.StateExpired:
		return when(n, past && !s.once)
	case l.State == lease.StateFailed && s.end == "":
		return when(n, past && s.once && endOf(l) == failure("expired", false))
	case l.State == lease.StateCompleted && string(l.Result) != quoted(l.ResultHash):
		return nil
	}
	return when(n, s.hasEnded() && s.end == endOf(l))
}

func quoted(mark string) string {
	b, _ := json.Marshal(mark) // a string always marshals
	return string(b)
}
