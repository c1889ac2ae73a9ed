package usage_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/usage"
)

// TestLostAnswers: a batch whose write was applied, and whose answer was lost, is there once.
func TestLostAnswers(t *testing.T) {
	inner := memory.New()
	store, clock := leasetest.NewStore(inner), leasetest.NewClock(noon)
	c := usage.New(store, usage.WithClock(clock))
	other := usage.New(inner, usage.WithClock(clock))
	for range 10 {
		c.Count("alice", usage.Make, usage.Charged)
		other.Count("alice", usage.Make, usage.Charged)
		store.LoseAnswer(1)
		mustFlush(t, c, other)
	}
	if got := monthOf(t, inner, "alice", noon).Make.Charged; got != 20 {
		t.Errorf("%d in the store, want 20", got)
	}
}

// TestAnOutage: Count does not wait for a store that hangs, and what was counted meanwhile is
// written when it is back.
func TestAnOutage(t *testing.T) {
	inner := memory.New()
	store, clock := leasetest.NewStore(inner), leasetest.NewClock(noon)
	c := usage.New(store, usage.WithClock(clock))
	c.Count("alice", usage.AI, usage.Charged)
	store.Cut()
	hangs := store.Called(store.Calls() + 1)
	clock.Advance(time.Second)
	<-hangs
	for range 1000 { // would hang, and the test time out
		c.Count("alice", usage.AI, usage.Charged)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush of a store that hangs: %v", err)
	}
	store.Heal()
	mustFlush(t, c)
	if got := monthOf(t, inner, "alice", noon).AI.Charged; got != 1001 || c.Lost() != 0 {
		t.Errorf("%d in the store and %d lost, want 1001", got, c.Lost())
	}
}

func TestClose(t *testing.T) {
	t.Run("writes the rest, and what is counted later is lost", func(t *testing.T) {
		store := memory.New()
		c := usage.New(store, usage.WithClock(leasetest.NewClock(noon)))
		c.Count("alice", usage.AI, usage.Charged)
		for range 2 {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		c.Count("alice", usage.AI, usage.Charged)
		if got := monthOf(t, store, "alice", noon).AI.Charged; got != 1 || c.Lost() != 1 {
			t.Errorf("%d in the store and %d lost, want one each", got, c.Lost())
		}
	})
	t.Run("ends with its context, also while a write hangs", func(t *testing.T) {
		store, clock := leasetest.NewStore(memory.New()), leasetest.NewClock(noon)
		c := usage.New(store, usage.WithClock(clock))
		c.Count("alice", usage.AI, usage.Charged)
		store.Cut()
		hangs := store.Called(store.Calls() + 1)
		clock.Advance(time.Second)
		<-hangs
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || c.Lost() != 1 {
			t.Errorf("%v, %d lost, want 1", err, c.Lost())
		}
	})
	t.Run("a closed store ends it at once", func(t *testing.T) {
		store := memory.New()
		c := usage.New(store, usage.WithClock(leasetest.NewClock(noon)))
		c.Count("alice", usage.AI, usage.Charged)
		store.Close()
		if err := c.Close(t.Context()); !errors.Is(err, backend.ErrClosed) || c.Lost() != 1 {
			t.Errorf("%v, %d lost, want 1", err, c.Lost())
		}
	})
}

// TestAnEntryOfANewerVersion is left alone, and the others are written.
func TestAnEntryOfANewerVersion(t *testing.T) {
	store := memory.New()
	const newer = `{"v":2}`
	if _, err := store.CompareAndSet(t.Context(), "alice:usage/2026-03-31", 0, []byte(newer), 0); err != nil {
		t.Fatal(err)
	}
	c := usage.New(store, usage.WithClock(leasetest.NewClock(noon)))
	c.Count("alice", usage.AI, usage.Charged)
	c.Count("bob", usage.AI, usage.Charged)
	if err := c.Flush(t.Context()); !errors.Is(err, lease.ErrUnreadable) {
		t.Errorf("flush: %v", err)
	}
	if _, err := c.Month(t.Context(), "alice", noon); !errors.Is(err, lease.ErrUnreadable) {
		t.Errorf("read: %v", err)
	}
	if got := monthOf(t, store, "bob", noon).AI.Charged; got != 1 {
		t.Errorf("bob has %d, want 1", got)
	}
	if e, err := store.Get(t.Context(), "alice:usage/2026-03-31"); err != nil || string(e.Value) != newer {
		t.Errorf("the entry is %q, %v", e.Value, err)
	}
}

// TestSumsOnBadDays: several servers count, and meet faults of all kinds. The sums are exact once
// all is written. If an entry remembers fewer writers than there are, they are too low by no more
// than what was told as lost.
func TestSumsOnBadDays(t *testing.T) {
	injected, lost := map[string]int{}, uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		inner := memory.New()
		chance := func(name string) float64 { return float64(rapid.IntRange(0, 15).Draw(rt, name)) / 100 }
		faulty := conformance.NewFaulty(inner, conformance.Faults{
			Refused: chance("refused"), LostRequest: chance("lost requests"), LostAnswer: chance("lost answers"),
			Late: chance("late"), Duplicate: chance("duplicates"), FalseConflict: chance("false conflicts"),
			MaxDelay: 100 * time.Microsecond,
		}, rapid.Uint64().Draw(rt, "seed"))
		clock := leasetest.NewClock(noon.Add(12*time.Hour - time.Second))
		most := rapid.SampledFrom([]int{1, 2, 128}).Draw(rt, "writers that an entry remembers")
		servers := make([]*usage.Counters, rapid.IntRange(1, 4).Draw(rt, "servers"))
		for i := range servers {
			servers[i] = usage.New(faulty, usage.WithClock(clock), usage.WithMostWriters(most))
		}
		kinds, outcomes := []usage.Kind{usage.Make, usage.AI}, []usage.Outcome{usage.Repeated, usage.Charged, usage.Blocked, usage.Polling}
		var counted uint64
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			c := rapid.SampledFrom(servers).Draw(rt, "server")
			switch rapid.IntRange(0, 9).Draw(rt, "step") {
			case 0:
				clock.Advance(300 * time.Millisecond) // planned writes, and another day
			case 1, 2, 3:
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
				c.Flush(ctx)
				cancel()
			default:
				c.Count("alice", rapid.SampledFrom(kinds).Draw(rt, "kind"), rapid.SampledFrom(outcomes).Draw(rt, "outcome"))
				counted++
			}
		}
		for _, c := range servers {
			c.WaitPlanned() // Heal waits for what is late, and nothing may become late meanwhile
		}
		faulty.Heal()
		var gone uint64
		for _, c := range servers {
			if err := c.Close(t.Context()); err != nil {
				rt.Fatal(err)
			}
			gone += c.Lost()
		}
		var stored uint64
		days, err := usage.New(inner).Days(t.Context(), "alice", noon, noon.Add(24*time.Hour))
		if err != nil {
			rt.Fatal(err)
		}
		for _, d := range days {
			stored += d.Make.Requests + d.AI.Requests
		}
		if stored > counted || stored+gone < counted || most > len(servers) && gone != 0 {
			rt.Fatalf("counted %d, stored %d, told as lost %d", counted, stored, gone)
		}
		lost += gone
		for kind, n := range faulty.Injected() {
			injected[kind] += n
		}
	})
	for _, kind := range []string{"refused", "lost request", "lost answer", "late", "duplicate", "false conflict"} {
		if injected[kind] == 0 {
			t.Errorf("no fault of the kind %q", kind)
		}
	}
}

// TestPlannedWritesGoOn after an outage, by themselves. The log tells of its begin and its end.
func TestPlannedWritesGoOn(t *testing.T) {
	inner := memory.New()
	store, clock := leasetest.NewStore(inner), leasetest.NewClock(noon)
	var log lines
	c := usage.New(store, usage.WithClock(clock), usage.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	c.Count("alice", usage.AI, usage.Charged)
	for range 3 {
		store.Cut()
		hangs := store.Called(store.Calls() + 1)
		clock.Advance(time.Second)
		<-hangs
		store.Heal()
		natstest.Eventually(t, "the next write is planned", func() bool { return clock.Timers() == 1 })
	}
	clock.Advance(time.Second)
	natstest.Eventually(t, "the end of the outage is logged", func() bool { return strings.Contains(log.String(), "are written again") })
	if got := monthOf(t, inner, "alice", noon).AI.Charged; got != 1 || clock.Timers() != 0 {
		t.Errorf("%d in the store, %d timers", got, clock.Timers())
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines, want 2:\n%s", n, &log)
	}
}

// lines is a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
