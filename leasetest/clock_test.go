package leasetest_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/leasetest"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// In each case of TestClockTimers, timers note their name and what the clock shows.
func TestClockTimers(t *testing.T) {
	const s = time.Second
	type notes struct {
		*leasetest.Clock
		got []string
	}
	note := func(n *notes, name string) func() {
		return func() { n.got = append(n.got, fmt.Sprint(name, " at ", n.Now().Sub(t0))) }
	}
	for _, tt := range []struct {
		name string
		do   func(n *notes)
		want []string
		now  time.Duration // in the end
		left int           // of the timers
	}{
		{"one fires at its time, not before", func(n *notes) {
			n.AfterFunc(2*s, note(n, "a"))
			n.Advance(2*s - 1)
			n.got = append(n.got, "advanced")
			n.Advance(1)
		}, []string{"advanced", "a at 2s"}, 2 * s, 0},
		{"several fire in the order of their times, each at its own, in one step", func(n *notes) {
			n.AfterFunc(3*s, note(n, "c"))
			n.AfterFunc(1*s, note(n, "a"))
			n.AfterFunc(5*s, note(n, "e"))
			n.AfterFunc(2*s, note(n, "b"))
			n.Advance(4 * s)
		}, []string{"a at 1s", "b at 2s", "c at 3s"}, 4 * s, 1},
		{"those of one time fire in the order in which they were set", func(n *notes) {
			for _, name := range []string{"a", "b", "c"} {
				n.AfterFunc(s, note(n, name))
			}
			n.Advance(s)
		}, []string{"a at 1s", "b at 1s", "c at 1s"}, s, 0},
		{"one that was stopped does not fire", func(n *notes) {
			stop := n.AfterFunc(s, note(n, "a"))
			n.AfterFunc(s, note(n, "b"))
			n.got = append(n.got, fmt.Sprint(stop()), fmt.Sprint(stop()))
			n.Advance(s)
		}, []string{"true", "false", "b at 1s"}, s, 0},
		{"one that has fired cannot be stopped", func(n *notes) {
			stop := n.AfterFunc(s, note(n, "a"))
			n.Advance(s)
			n.got = append(n.got, fmt.Sprint(stop()))
		}, []string{"a at 1s", "false"}, s, 0},
		{"one may stop another that is due at the same time", func(n *notes) {
			var stop func() bool
			n.AfterFunc(s, func() { n.got = append(n.got, fmt.Sprint(stop())) })
			stop = n.AfterFunc(s, note(n, "b"))
			n.Advance(s)
		}, []string{"true"}, s, 0},
		{"one that a timer sets fires in the same step, if it is due by then", func(n *notes) {
			n.AfterFunc(s, func() {
				note(n, "a")()
				n.AfterFunc(s, note(n, "b"))
				n.AfterFunc(4*s, note(n, "c"))
			})
			n.AfterFunc(3*s, note(n, "d"))
			n.Advance(3 * s)
		}, []string{"a at 1s", "b at 2s", "d at 3s"}, 3 * s, 1},
		{"a ticker fires each time", func(n *notes) {
			var tick func()
			tick = func() { note(n, "tick")(); n.AfterFunc(s, tick) }
			n.AfterFunc(s, tick)
			n.Advance(3 * s)
			n.Advance(s)
		}, []string{"tick at 1s", "tick at 2s", "tick at 3s", "tick at 4s"}, 4 * s, 1},
		{"a step back fires nothing, and does not delay what was set", func(n *notes) {
			n.AfterFunc(s, note(n, "a"))
			n.Advance(-time.Hour)
			n.got = append(n.got, "set back")
			n.Advance(s)
		}, []string{"set back", "a at -59m59s"}, s - time.Hour, 0},
		{"what is set after a step back waits as long as it should", func(n *notes) {
			n.Advance(-time.Hour)
			n.AfterFunc(s, note(n, "a"))
			n.Advance(s - 1)
			n.Advance(1)
		}, []string{"a at -59m59s"}, s - time.Hour, 0},
		{"no step at all fires nothing", func(n *notes) {
			n.AfterFunc(1, note(n, "a"))
			n.Advance(0)
		}, nil, 0, 1},
		{"a timer may move the clock, by that much more", func(n *notes) {
			n.AfterFunc(s, func() { n.Advance(s); note(n, "a")() })
			n.Advance(5 * s)
		}, []string{"a at 6s"}, 6 * s, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{Clock: leasetest.NewClock(t0)}
			tt.do(n)
			if !slices.Equal(n.got, tt.want) {
				t.Errorf("fired %q, want %q", n.got, tt.want)
			}
			if now := n.Now().Sub(t0); now != tt.now {
				t.Errorf("the clock was moved by %v, want %v", now, tt.now)
			}
			if left := n.Timers(); left != tt.left {
				t.Errorf("%d timers are left, want %d", left, tt.left)
			}
		})
	}
}

func TestClockCallsAtOnceWhatIsDueAlready(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			clock := leasetest.NewClock(t0)
			called := false
			stop := clock.AfterFunc(d, func() { called = true })
			synctest.Wait()
			if !called || stop() || clock.Timers() != 0 {
				t.Errorf("after %v: called is %t, %d timers", d, called, clock.Timers())
			}
		})
	}
}

// TestClockIsSafeForConcurrentUse moves the clock and sets timers from many goroutines. No step is
// lost, and every timer fires or is stopped.
func TestClockIsSafeForConcurrentUse(t *testing.T) {
	clock := leasetest.NewClock(t0)
	var fired, stopped, early atomic.Int64
	const goroutines, each = 16, 200
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				d := time.Duration(1+(g*i)%50) * time.Millisecond
				due := clock.Now().Add(d)
				stop := clock.AfterFunc(d, func() {
					fired.Add(1)
					if clock.Now().Before(due) {
						early.Add(1)
					}
				})
				clock.Advance(time.Millisecond)
				if i%3 == 0 && stop() {
					stopped.Add(1)
				}
				clock.Timers()
			}
		})
	}
	wg.Wait()
	if moved := clock.Now().Sub(t0); moved != goroutines*each*time.Millisecond {
		t.Errorf("%d steps of 1 ms have moved the clock by %v", goroutines*each, moved)
	}
	clock.Advance(time.Second)
	if n := fired.Load() + stopped.Load(); n != goroutines*each || clock.Timers() != 0 {
		t.Errorf("%d timers have fired and %d were stopped, %d are left; %d were set",
			fired.Load(), stopped.Load(), clock.Timers(), goroutines*each)
	}
	if n := early.Load(); n > 0 {
		t.Errorf("%d timers fired before their time", n)
	}
}
