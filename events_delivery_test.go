package lease_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// How events get to the observers and the logger, whatever those do.

func TestEveryObserverIsToldOfEveryEventInOrder(t *testing.T) {
	var first, second, third journal
	m, _ := newManager(t, memory.New(), lease.WithObserver(first.observe), lease.WithObserver(nil),
		lease.WithLogger(third.logger(slog.LevelDebug)), lease.WithObserver(second.observe))
	const n = 100
	for i := range n {
		held := mustAcquire(t, m, fmt.Sprint(i), nil)
		if _, err := m.Complete(ctx, held.Key, held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
	}
	told, _ := first.told(t, m)
	if len(told) != 2*n {
		t.Fatalf("told of %d events, want %d", len(told), 2*n)
	}
	for i, e := range told {
		kind := []lease.EventKind{lease.EventAcquired, lease.EventCompleted}[i%2]
		if e.Kind != kind || e.Key != fmt.Sprint(i/2) || e.Dropped != 0 {
			t.Fatalf("event %d is %+v", i, e)
		}
	}
	if others, _ := second.told(t, m); fmt.Sprint(others) != fmt.Sprint(told) {
		t.Errorf("the second observer was told otherwise")
	}
	if _, log := third.told(t, m); strings.Count(log, "\n") != 2*n {
		t.Errorf("%d lines were logged, want %d", strings.Count(log, "\n"), 2*n)
	}
}

// TestABlockedObserverDelaysNothing: operations go on, those who flush are told that they cannot
// wait any longer, and what does not fit is dropped and counted.
func TestABlockedObserverDelaysNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts func(block func()) lease.Option
	}{
		{"an observer", func(block func()) lease.Option { return lease.WithObserver(func(lease.Event) { block() }) }},
		{"a logger", func(block func()) lease.Option { return lease.WithLogger(slog.New(handler(block))) }},
		{"a logger that is asked whether it wants to know", func(block func()) lease.Option { return lease.WithLogger(slog.New(asking(block))) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blocked := make(chan struct{})
				var events []lease.Event
				m, err := lease.NewManager(memory.New(), tt.opts(func() { <-blocked }), lease.WithObserver(func(e lease.Event) { events = append(events, e) }))
				if err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				held := mustAcquire(t, m, "k", nil)
				synctest.Wait() // it is with the observer
				const waiting, dropped = 1024, 76
				for range waiting + dropped {
					if held, err = m.Extend(ctx, "k", held.LeaseID, nil); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(begun); took != 0 {
					t.Errorf("a blocked observer has delayed the operations by %v", took)
				}
				ends, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				err = m.Flush(ends)
				if e, ok := errors.AsType[*lease.Error](err); !ok || e.Op != "flush" || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Flush with a blocked observer: %v", err)
				}
				close(blocked)
				if err := m.Flush(ctx); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
					t.Fatal(err)
				}
				if err := m.Flush(ctx); err != nil {
					t.Fatal(err)
				}
				mustAcquire(t, m, "l", nil)
				if err := m.Flush(ctx); err != nil {
					t.Fatal(err)
				}
				// The oldest are kept, in order; the next one tells how many are missing.
				if len(events) != 1+waiting+2 {
					t.Fatalf("told of %d events, want %d", len(events), 1+waiting+2)
				}
				for i, e := range events[:1+waiting] {
					if e.Version != uint64(i+1) || e.Dropped != 0 {
						t.Fatalf("event %d is %+v", i, e)
					}
				}
				if next := events[1+waiting]; next.Kind != lease.EventCompleted || next.Dropped != dropped {
					t.Errorf("the next event is %+v, want that %d were dropped", next, dropped)
				}
				if last := events[2+waiting]; last.Key != "l" || last.Dropped != 0 {
					t.Errorf("the last event is %+v, want that none were dropped since", last)
				}
			})
		})
	}
}

// handler is a slog.Handler that calls a function for each record, asking one that also does so
// when it is asked for its level.
type handler func()

func (h handler) Enabled(context.Context, slog.Level) bool  { return true }
func (h handler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h handler) WithGroup(string) slog.Handler             { return h }

type asking func()

func (h asking) Enabled(context.Context, slog.Level) bool  { h(); return false }
func (h asking) Handle(context.Context, slog.Record) error { return nil }
func (h asking) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h asking) WithGroup(string) slog.Handler             { return h }

func TestAnObserverThatPanicsBreaksNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []lease.Option
	}{
		{"an observer", []lease.Option{lease.WithObserver(func(lease.Event) { panic("observer") })}},
		{"a logger", []lease.Option{lease.WithLogger(slog.New(handler(func() { panic("logger") })))}},
		{"both", []lease.Option{lease.WithObserver(func(lease.Event) { panic("observer") }), lease.WithLogger(slog.New(handler(func() { panic("logger") })))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var after journal
			m, _ := newManager(t, memory.New(), append(tt.opts, lease.WithObserver(after.observe))...)
			held := mustAcquire(t, m, "k", nil)
			if _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
				t.Fatal(err)
			}
			if events, _ := after.told(t, m); len(events) != 2 {
				t.Errorf("the next observer was told of %+v, want both events", events)
			}
		})
	}
	t.Run("and is logged", func(t *testing.T) {
		var j journal
		m, _ := newManager(t, memory.New(), lease.WithLogger(j.logger(slog.LevelWarn)), lease.WithObserver(func(lease.Event) { panic("oh no") }))
		mustAcquire(t, m, "k", nil)
		if _, log := j.told(t, m); log != `level=ERROR msg="lease: an observer or the logger panicked" panic="oh no"`+"\n" {
			t.Errorf("logged %q", log)
		}
	})
}

// TestAnObserverMayCallTheManager, but for Flush.
func TestAnObserverMayCallTheManager(t *testing.T) {
	var m *lease.Manager
	var statuses atomic.Int32
	m, _ = newManager(t, memory.New(), lease.WithObserver(func(e lease.Event) {
		if l, err := m.Status(ctx, e.Key); err == nil && l.State == lease.StateInProgress {
			statuses.Add(1)
		}
		if e.Key == "k" { // which leads to an event of its own
			if _, _, err := m.Acquire(ctx, "from the observer", nil); err != nil {
				t.Error(err)
			}
		}
	}))
	mustAcquire(t, m, "k", nil)
	for range 2 { // the first waits for the first event, which leads to the second
		if err := m.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := statuses.Load(); n != 2 {
		t.Errorf("the observer was called for %d events, want 2", n)
	}
}

func TestFlush(t *testing.T) {
	t.Run("waits for what has returned, of all namespaces", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			m, err := lease.NewManager(memory.New(), lease.WithObserver(func(e lease.Event) { time.Sleep(time.Second); j.observe(e) }))
			if err != nil {
				t.Fatal(err)
			}
			in, err := m.InNamespace("other")
			if err != nil {
				t.Fatal(err)
			}
			mustAcquire(t, m, "a", nil)
			mustAcquire(t, in, "b", nil)
			begun := time.Now()
			if events, _ := j.told(t, m); len(events) != 2 || time.Since(begun) != 2*time.Second {
				t.Errorf("told of %+v after %v", events, time.Since(begun))
			}
		})
	})
	t.Run("returns at once if nothing waits, also if nobody listens", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, err := lease.NewManager(memory.New())
			if err != nil {
				t.Fatal(err)
			}
			mustAcquire(t, m, "k", nil)
			for range 2 {
				if err := m.Flush(ctx); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// TestEventsOfManyAtOnce: none is lost or told twice, and those of one caller keep their order.
func TestEventsOfManyAtOnce(t *testing.T) {
	var j journal
	m, _ := newManager(t, memory.New(), lease.WithObserver(j.observe))
	const callers, each = 8, 50
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			key := fmt.Sprint(c)
			l, _, err := m.Acquire(ctx, key, nil)
			for range each - 1 {
				if err == nil {
					l, err = m.Extend(ctx, key, l.LeaseID, nil)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	events, _ := j.told(t, m)
	if len(events) != callers*each {
		t.Fatalf("told of %d events, want %d", len(events), callers*each)
	}
	versions := map[string]uint64{}
	for _, e := range events {
		if versions[e.Key]++; e.Version != versions[e.Key] {
			t.Fatalf("after version %d of %s came %d", versions[e.Key]-1, e.Key, e.Version)
		}
	}
}

// TestTheEndOfAContextIsNotThatOfItsEvents: the logger finds the caller's values, in a context that
// lives.
func TestTheEndOfAContextIsNotThatOfItsEvents(t *testing.T) {
	type key struct{}
	caller, cancel := context.WithCancel(context.WithValue(ctx, key{}, "request 7"))
	var seen []string
	h := contextHandler(func(ctx context.Context) { seen = append(seen, fmt.Sprint(ctx.Value(key{}), ctx.Err())) })
	blocked := make(chan struct{})
	m, _ := newManager(t, memory.New(), lease.WithLogger(slog.New(h)), lease.WithObserver(func(lease.Event) { <-blocked }))
	if _, _, err := m.Acquire(caller, "k", nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Acquire(caller, "l", nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	close(blocked)
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"request 7<nil>", "request 7<nil>"}; !slices.Equal(seen, want) {
		t.Errorf("the handler saw %q, want %q", seen, want)
	}
}

type contextHandler func(context.Context)

func (h contextHandler) Enabled(context.Context, slog.Level) bool        { return true }
func (h contextHandler) Handle(ctx context.Context, _ slog.Record) error { h(ctx); return nil }
func (h contextHandler) WithAttrs([]slog.Attr) slog.Handler              { return h }
func (h contextHandler) WithGroup(string) slog.Handler                   { return h }

// looked counts the readings of a clock.
type looked struct {
	*leasetest.Clock
	n atomic.Int64
}

func (c *looked) Now() time.Time {
	c.n.Add(1)
	return c.Clock.Now()
}

// TestNobodyListensAndTheClockIsLookedAtOnce for each decision, as without events.
func TestNobodyListensAndTheClockIsLookedAtOnce(t *testing.T) {
	var j journal
	for _, tt := range []struct {
		name    string
		opts    []lease.Option
		listens bool
	}{
		{"neither an observer nor a logger", nil, false},
		{"a logger of errors, whose handler no operation asks", []lease.Option{lease.WithLogger(j.logger(slog.LevelError))}, true},
		{"a logger", []lease.Option{lease.WithLogger(j.logger(slog.LevelDebug))}, true},
		{"an observer", []lease.Option{lease.WithObserver(func(lease.Event) {})}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clock := &looked{Clock: leasetest.NewClock(t0)}
			m, err := lease.NewManager(memory.New(), append(tt.opts, lease.WithClock(clock))...)
			if err != nil {
				t.Fatal(err)
			}
			var held lease.Lease
			for _, step := range []struct {
				name   string
				do     func() error
				want   int64
				change bool
			}{
				{"acquire", func() (err error) { held, _, err = m.Acquire(ctx, "k", nil); return }, 1, true},
				{"acquire of what is held: on memory, and on what the store says", func() error { _, _, err := m.Acquire(ctx, "k", nil); return err }, 2, false},
				{"extend", func() error { _, err := m.Extend(ctx, "k", held.LeaseID, nil); return err }, 1, true},
				{"status", func() error { _, err := m.Status(ctx, "k"); return err }, 1, false},
				{"complete", func() error { _, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); return err }, 1, true},
			} {
				before := clock.n.Load()
				if err := step.do(); err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
				n := clock.n.Load() - before
				if !tt.listens && n != step.want || tt.listens && step.change && n <= step.want {
					t.Errorf("%s looked at the clock %d times, want %d if nobody listens", step.name, n, step.want)
				}
			}
		})
	}
}
