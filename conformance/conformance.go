package conformance

import (
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// Run checks every promise of [backend.Backend], and of [backend.Lister], [backend.Watcher],
// [backend.Journal] and io.Closer where [backend.As] finds them. Each property opens a store of its
// own: open returns an empty one that nobody else uses, and leaves its closing to t.Cleanup. Two
// properties close their store, which t.Cleanup then closes a second time. A property whose store
// hangs opens another. The functions given to Run are called one at a time.
//
// The options add properties that need more than a constructor can give.
func Run(t *testing.T, open func(t *testing.T) backend.Backend, opts ...Option) {
	extra := extras{least: leastPatience}
	for _, o := range opts {
		o(&extra)
	}
	pace := &pace{least: extra.least}
	var calls sync.Mutex // of the functions that the caller has given
	check := func(p property) {
		t.Run(p.name, func(t *testing.T) {
			o := &opened{pace: pace, gaveUp: func() bool { return t.Failed() || t.Skipped() }}
			tr := &trial{opened: o, t: t, p: &p}
			isOpen := tr.watchCleanup()
			o.renew = func() {
				calls.Lock()
				defer calls.Unlock()
				o.first = open(t)
				if extra.second != nil && p.needs&(secondHandle|closer) != 0 {
					o.second = extra.second(t, o.first)
				}
			}
			tr.opening("no call was made yet")
			if !p.applies(o.first) {
				t.Skipf("the backend does not have this optional capability: %s", p.promise)
			}
			if p.needs&crash != 0 {
				o.reopen = func(crashed backend.Backend) backend.Backend {
					calls.Lock()
					defer calls.Unlock()
					return extra.reopen(t, crashed)
				}
			}
			isOpen()
			tr.run()
		})
	}
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for _, p := range properties {
		if extra.allow(p.needs) && !p.waits {
			check(p)
		}
	}
	for _, p := range properties {
		if extra.allow(p.needs) && p.waits {
			waiting.Go(func() { check(p) })
		}
	}
}

// leastPatience is what every step is given. Only the tests of the suite change it.
var leastPatience = 5 * time.Second

// Option gives [Run] what a plain constructor cannot.
type Option func(*extras)

type extras struct {
	least  time.Duration
	second func(t *testing.T, first backend.Backend) backend.Backend
	reopen func(t *testing.T, crashed backend.Backend) backend.Backend
}

// WithSecondHandle adds properties of two handles on one store, as two processes have them. second
// returns another handle on the store of first, which open has returned, and leaves its closing to
// t.Cleanup. Without it nothing tells a store from a cache.
func WithSecondHandle(second func(t *testing.T, first backend.Backend) backend.Backend) Option {
	return func(e *extras) { e.second = second }
}

// WithReopen adds the properties of a crash. reopen brings the store of crashed to an end as
// abruptly as it can, while nothing is under way, and returns the store as it is found afterwards.
func WithReopen(reopen func(t *testing.T, crashed backend.Backend) backend.Backend) Option {
	return func(e *extras) { e.reopen = reopen }
}

// WithPatience sets how long every step of the suite may take, 5 seconds if it is not given. The
// suite waits longer for a store whose answers have taken long before. It is for a store that may
// be away for a while although nothing is wrong, such as a cluster that elects.
func WithPatience(least time.Duration) Option {
	return func(e *extras) { e.least = least }
}

func (e *extras) allow(c capability) bool {
	return (c&secondHandle == 0 || e.second != nil) && (c&crash == 0 || e.reopen != nil)
}
