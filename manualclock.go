package lease

import (
	"slices"
	"sync"
	"time"
)

// ManualClock is a [Clock] for tests: it stands still until it is told to advance,
// so that a lease of an hour expires in no time, at an instant that the test chose.
// It is safe for concurrent use.
//
// Goroutines that wait for one of its timers go on some time after Advance has returned: a test that waits for them to come to rest wants
// testing/synctest beside it, or instead.
type ManualClock struct {
	mu     sync.Mutex
	now    time.Time
	passed time.Duration // how far the clock was moved forward in all: what timers go by
	goal   time.Duration // how far it is to be, once every Advance under way has returned
	timers []*manualTimer
}

type manualTimer struct {
	due time.Duration
	f   func()
}

// NewManualClock returns a clock that stands at t0.
func NewManualClock(t0 time.Time) *ManualClock { return &ManualClock{now: t0} }

// Now returns the instant at which the clock stands.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, and calls what was to be called up to there, in order and each at its time. A negative d moves the clock back, as wall
// clocks do when they are set, and no timer with it.
func (c *ManualClock) Advance(d time.Duration) {
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

// next takes out the first timer that is due by end, nil if there is none.
func (c *ManualClock) next(end time.Duration) *manualTimer {
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

// move goes on to passed, unless another Advance already has.
func (c *ManualClock) move(passed time.Duration) {
	if passed > c.passed {
		c.now = c.now.Add(passed - c.passed)
		c.passed = passed
	}
}

// AfterFunc has Advance call f when the clock has been moved forward by d from here; at once if d is not above 0.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &manualTimer{c.passed + d, f}
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

// Timers returns how many calls are outstanding, so that a test can wait until what it tests waits for the clock.
func (c *ManualClock) Timers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}
