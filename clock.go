package lease

import (
	"sync"
	"time"
)

// Clock tells a [Manager] the time. Implementations are safe for concurrent use. Tests replace it
// by the clock of package leasetest; programs have no reason to.
type Clock interface {
	// Now returns the wall-clock time. The Managers of one store must agree on it, within
	// [WithClockSkew]. As with [time.Now], the difference of two readings should not change when
	// the wall clock is set.
	Now() time.Time

	// AfterFunc calls f once d has passed, however the wall clock is set meanwhile. f does not
	// block, and is not called before AfterFunc returns. stop prevents a call that has not begun
	// yet, and reports whether it did. It does not wait for one that has.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// SystemClock is the clock of the machine, the default of [NewManager].
func SystemClock() Clock { return systemClock{} }

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}

// timer is a timer of a Clock that is received from, and set again and again.
type timer struct {
	clock Clock
	C     chan struct{} // of capacity 1
	stop  func() bool

	mu    sync.Mutex
	count int // of the settings; only the last one fires
}

func newTimer(c Clock) *timer {
	return &timer{clock: c, C: make(chan struct{}, 1), stop: func() bool { return false }}
}

// set has the timer fire after d, and not at the time that was set before. Only the one who
// receives from C may call it.
func (t *timer) set(d time.Duration) {
	t.stop()
	t.mu.Lock()
	t.count++
	n := t.count
	select {
	case <-t.C:
	default:
	}
	t.mu.Unlock()
	t.stop = t.clock.AfterFunc(d, func() { t.fire(n) })
}

func (t *timer) fire(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n != t.count { // it was set anew meanwhile, too late to be stopped
		return
	}
	select {
	case t.C <- struct{}{}:
	default:
	}
}
