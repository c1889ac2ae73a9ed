package leasetest

import (
	"slices"
	"sync"
	"time"

	"github.com/ailease/lease"
)

// Clock is a [lease.Clock] that stands still until a test advances it. A lease of an hour then
// expires in no time, at an instant that the test chose. It is safe for concurrent use.
//
// Advance does not wait for goroutines that one of its timers wakes: they run some time after it
// has returned. A test that needs them to come to rest uses testing/synctest beside this clock,
// or instead of it.
type Clock struct {
	mu     sync.Mutex
	now    time.Time
	passed time.Duration // how far the clock was moved forward in all; timers go by it
	goal   time.Duration // what passed will be once every Advance under way has returned
	timers []*timer
}

var _ lease.Clock = (*Clock)(nil)

type timer struct {
	due time.Duration
	f   func()
}

// NewClock returns a clock that stands at t0.
func NewClock(t0 time.Time) *Clock { return &Clock{now: t0} }

// Now returns the instant at which the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d and calls the functions that fall due on the way, in order and
// each at its own time. A negative d sets the clock back, as wall clocks are set back, and moves
// no timer.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d < 0 {
		c.now = c.now.Add(d)
		return
	}
	c.goal += d
	for end := c.goal; ; {
		t := c.next(end)
		if t == nil {
			c.move(end)
			return
		}
		c.move(t.due)
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
}

// next removes and returns the first timer that is due by end, or nil if there is none.
func (c *Clock) next(end time.Duration) *timer {
	first := -1
	for i, t := range c.timers {
		if t.due <= end && (first < 0 || t.due < c.timers[first].due) {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	t := c.timers[first]
	c.timers = slices.Delete(c.timers, first, first+1)
	return t
}

// move advances the clock to passed, unless another Advance already has.
func (c *Clock) move(passed time.Duration) {
	if passed > c.passed {
		c.now = c.now.Add(passed - c.passed)
		c.passed = passed
	}
}

// AfterFunc has Advance call f once the clock has been moved forward by d from here. If d is not
// above 0, f is called at once, in its own goroutine.
func (c *Clock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.passed + d, f}
	c.timers = append(c.timers, t)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.timers, t)
		if i < 0 {
			return false
		}
		c.timers = slices.Delete(c.timers, i, i+1)
		return true
	}
}

// Timers returns how many calls are still to come. With it a test can wait until the code that it
// tests waits for the clock.
func (c *Clock) Timers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}
