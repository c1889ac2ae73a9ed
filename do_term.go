package lease

import (
	"errors"
	"fmt"
	"time"
)

// term is the pure half of holding a lease: until when nobody else can acquire it, when it is to
// be extended, and when to give up. It reads no clock and asks no store; do_keep.go tells it what
// happened. do_term_test.go has its table.
//
// What the store may hold counts, not what it should: an extension that is under way, or whose
// outcome is unknown, may have set the deadline, or not. So the earliest that is possible counts.
type term struct {
	ttl   time.Duration // by which the lease is extended
	grace time.Duration // as asked for; 0: the default

	sure    span   // as acknowledged, or as another has set it since
	unknown span   // of an extension with unknown outcome
	asked   span   // of the extension that is under way
	theirs  uint64 // the last version known with which another set the deadline
	trouble error  // why the last extension failed; nil if it did not
	lost    error  // why the lease is lost; nil if it is not
}

// span is an end, by the monotonic clock, and the TTL that leads there. The zero span is none.
type span struct {
	end time.Time
	ttl time.Duration
}

// newTerm is the term of the lease l, for which the store was asked at that time. The answer
// counts from when it was asked for, but a lease that was acquired before, by a call whose answer
// was lost, ends sooner.
func newTerm(l *Lease, asked, now time.Time, grace time.Duration) term {
	s := span{asked.Add(l.TTL), l.TTL}
	if end := now.Add(l.ExpiresAt.Sub(now)); end.Before(s.end) {
		s.end = end
	}
	return term{ttl: l.TTL, grace: grace, sure: s}
}

// earliest is the first of the ends that are possible.
func (t *term) earliest() span {
	first := t.sure
	for _, s := range []span{t.unknown, t.asked} {
		if s.ttl > 0 && s.end.Before(first.end) {
			first = s
		}
	}
	return first
}

// left is the time until the lease is given up unless it is extended.
func (t *term) left(now time.Time) time.Duration {
	s := t.earliest()
	return s.end.Sub(now) - graceOf(t.grace, s.ttl)
}

// graceOf is how long before its end a lease of the given TTL is given up.
func graceOf(grace, ttl time.Duration) time.Duration {
	if grace > 0 {
		return min(grace, ttl/3)
	}
	return min(ttl/10, time.Second)
}

// due is the time until the lease is to be extended: when a third of the TTL has passed, and soon
// if the last try has failed.
func (t *term) due(now time.Time) time.Duration {
	s := t.earliest()
	if t.trouble != nil {
		return min(s.ttl/20, time.Second)
	}
	return max(0, s.end.Sub(now)-s.ttl+s.ttl/3)
}

// ask notes that an extension is about to be sent.
func (t *term) ask(now time.Time) { t.asked = span{now.Add(t.ttl), t.ttl} }

// granted notes that the extension was acknowledged, as version of the lease.
func (t *term) granted(version uint64) {
	if version >= t.theirs { // else another has set the deadline since
		t.sure = t.asked
	}
	t.asked, t.unknown, t.trouble = span{}, span{}, nil
}

// failed notes that the extension was not acknowledged, because of why. With an unknown outcome it
// may have been applied, or may still be; otherwise nothing was written. A nil why says nothing
// about the store: the call was broken off before.
func (t *term) failed(why error) {
	if errors.Is(why, ErrUnknownOutcome) && (t.unknown.ttl == 0 || t.asked.end.Before(t.unknown.end)) {
		t.unknown = t.asked
	}
	t.asked = span{}
	if why != nil {
		t.trouble = why
	}
}

// shortened notes that another, who has the lease id, has set the deadline. It reports whether
// that is earlier than what was known; the lease is then to be extended at once.
func (t *term) shortened(now, deadline time.Time, ttl time.Duration, version uint64) bool {
	t.theirs = max(t.theirs, version) // also if it is later: an older extension may yet be granted
	s := span{now.Add(deadline.Sub(now)), ttl}
	if !s.end.Before(t.sure.end) {
		return false
	}
	t.sure = s
	return true
}

// lose notes that the lease is lost, and returns why it is; that may have been known before.
func (t *term) lose(why error) error {
	if t.lost == nil {
		if !errors.Is(why, ErrLost) {
			why = fmt.Errorf("%w: %w", ErrLost, why)
		}
		t.lost = why
	}
	return t.lost
}

// giveUp notes that there is no time left, and returns why.
func (t *term) giveUp() error {
	why := t.trouble
	if why == nil {
		why = errors.New("the store has not answered")
	}
	return t.lose(fmt.Errorf("it could not be extended in time: %v", why)) // its kind is ErrLost alone
}
