package usage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/usage"
)

var noon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

func mustFlush(t testing.TB, counters ...*usage.Counters) {
	t.Helper()
	for _, c := range counters {
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// monthOf returns what is stored of the month of t, as a server sees it that has counted nothing.
func monthOf(t testing.TB, b backend.Backend, namespace string, at time.Time) usage.Sums {
	t.Helper()
	got, err := usage.New(b).Month(t.Context(), namespace, at)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSumsOfManyServers has many servers, on two handles of one store, count at once.
func TestSumsOfManyServers(t *testing.T) {
	shared := memory.New()
	sqlite := "sqlite:" + filepath.Join(t.TempDir(), "leases.db")
	nats := natstest.Alone(t).ClientURL()
	for name, open := range map[string]func(t *testing.T) backend.Backend{
		"memory": func(*testing.T) backend.Backend { return shared },
		"sqlite": func(t *testing.T) backend.Backend { return opened(t, sqlite) },
		"nats":   func(t *testing.T) backend.Backend { return opened(t, nats) },
	} {
		t.Run(name, func(t *testing.T) {
			clock := leasetest.NewClock(noon)
			handles := []backend.Backend{open(t), open(t)}
			var counting sync.WaitGroup
			const servers, rounds = 6, 8
			for i := range servers {
				c := usage.New(handles[i%2], usage.WithClock(clock))
				counting.Go(func() {
					for range rounds {
						c.Count("alice", usage.Make, usage.Charged)
						c.Count("alice", usage.Make, usage.Blocked)
						c.Count("alice", usage.AI, usage.Polling)
						c.Count("bob", usage.AI, usage.Repeated)
						if err := c.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
					if err := c.Close(t.Context()); err != nil || c.Lost() != 0 {
						t.Errorf("close: %v, lost %d", err, c.Lost())
					}
				})
			}
			counting.Wait()
			const n = servers * rounds
			alice := usage.Sums{Make: usage.Tally{Requests: 2 * n, Charged: n, Blocked: n}, AI: usage.Tally{Requests: n, Polling: n}}
			bob := usage.Sums{AI: usage.Tally{Requests: n}}
			for _, h := range handles {
				if got := monthOf(t, h, "alice", noon); got != alice {
					t.Errorf("alice: %v, want %v", got, alice)
				}
				if got := monthOf(t, h, "bob", noon); got != bob {
					t.Errorf("bob: %v, want %v", got, bob)
				}
			}
		})
	}
}

func opened(t *testing.T, url string) backend.Backend {
	t.Helper()
	s, err := backends.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestWrittenAboutOnceASecond also shows that nothing runs while there is nothing to write.
func TestWrittenAboutOnceASecond(t *testing.T) {
	store, clock := leasetest.NewStore(memory.New()), leasetest.NewClock(noon)
	c := usage.New(store, usage.WithClock(clock))
	for round := range 3 {
		if n := clock.Timers(); n != 0 {
			t.Fatalf("%d timers before a count", n)
		}
		before := store.Calls()
		for range 1000 {
			c.Count("alice", usage.AI, usage.Charged)
		}
		clock.Advance(time.Second - 1)
		if n := store.Calls() - before; n != 0 || clock.Timers() != 1 {
			t.Fatalf("%d calls of the store and %d timers after 1000 counts", n, clock.Timers())
		}
		written := store.Called(before + 2)
		clock.Advance(1)
		<-written
		natstest.Eventually(t, "the batch is in the store", func() bool {
			return monthOf(t, store, "alice", noon).AI.Charged == uint64(1000*(round+1))
		})
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"))
}

func TestDaysAreThoseOfUTC(t *testing.T) {
	store, clock := memory.New(), leasetest.NewClock(time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC))
	c := usage.New(store, usage.WithClock(clock))
	c.Count("alice", usage.Make, usage.Charged)
	clock.Advance(time.Second - 1)
	c.Count("alice", usage.Make, usage.Charged)
	clock.Advance(1)
	c.Count("alice", usage.Make, usage.Blocked)
	mustFlush(t, c)
	for date, want := range map[string]usage.Tally{
		"2026-02-28": {Requests: 2, Charged: 2},
		"2026-03-01": {Requests: 1, Blocked: 1},
	} {
		at, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		days, err := c.Days(t.Context(), "alice", at, at)
		if err != nil || len(days) != 1 || days[0].Date != date || days[0].Make != want {
			t.Errorf("%s: %v, %v, want %v", date, days, err, want)
		}
		if got := monthOf(t, store, "alice", at).Make; got != want {
			t.Errorf("the month of %s: %v, want %v", date, got, want)
		}
	}
}

func TestDaysOfARange(t *testing.T) {
	lists := memory.New()
	for name, store := range map[string]backend.Backend{"a store that lists": lists, "a store that does not": struct{ backend.Backend }{memory.New()}} {
		t.Run(name, func(t *testing.T) {
			clock := leasetest.NewClock(noon)
			c := usage.New(store, usage.WithClock(clock))
			for range 400 { // days
				c.Count("alice", usage.AI, usage.Charged)
				c.Count("alice2", usage.AI, usage.Charged)
				clock.Advance(24 * time.Hour)
			}
			mustFlush(t, c)
			last := clock.Now().Add(-24 * time.Hour)
			for _, n := range []int{1, 2, 29, usage.MaxDays} {
				days, err := c.Days(t.Context(), "alice", last.AddDate(0, 0, 1-n), last)
				if err != nil || len(days) != n {
					t.Fatalf("%d days: %d, %v", n, len(days), err)
				}
				for i, d := range days {
					if want := last.AddDate(0, 0, i+1-n).Format(time.DateOnly); d.Date != want || d.AI != (usage.Tally{Requests: 1, Charged: 1}) {
						t.Errorf("day %d of %d: %v, want one charge on %s", i, n, d, want)
					}
				}
			}
			for name, from := range map[string]time.Time{"too many": last.AddDate(0, 0, -usage.MaxDays), "none": last.AddDate(0, 0, 1)} {
				if _, err := c.Days(t.Context(), "alice", from, last); !errors.Is(err, lease.ErrInvalid) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// TestReadsHaveTheServersOwnCounts before and after they are written, and never twice.
func TestReadsHaveTheServersOwnCounts(t *testing.T) {
	inner := memory.New()
	store, clock := leasetest.NewStore(inner), leasetest.NewClock(noon)
	c := usage.New(store, usage.WithClock(clock))
	want := func(n uint64, when string) {
		t.Helper()
		if got, err := c.Month(t.Context(), "alice", noon); err != nil || got.AI.Charged != n || got.AI.Requests != n {
			t.Errorf("%s: %v, %v, want %d", when, got.AI, err, n)
		}
	}
	c.Count("alice", usage.AI, usage.Charged)
	want(1, "gathered")
	store.LoseAnswer(1)
	ctx, cancel := context.WithCancel(t.Context())
	called := store.Called(store.Calls() + 2)
	flushed := make(chan error, 1)
	go func() { flushed <- c.Flush(ctx) }()
	<-called
	cancel()
	<-flushed
	want(1, "written, but the answer was lost")
	c.Count("alice", usage.AI, usage.Charged)
	want(2, "one in the store and one gathered behind it")
	mustFlush(t, c)
	want(2, "both in the store")
	if got := monthOf(t, inner, "alice", noon).AI.Charged; got != 2 {
		t.Errorf("%d in the store, want 2", got)
	}
}

// TestMemoryIsBounded while the store is away for long.
func TestMemoryIsBounded(t *testing.T) {
	store := leasetest.NewStore(memory.New())
	store.Cut()
	c := usage.New(store, usage.WithClock(leasetest.NewClock(noon)))
	for i := range usage.MostPlaces + 10 {
		for range 2 {
			c.Count(fmt.Sprintf("n%d", i), usage.AI, usage.Charged)
		}
	}
	if n := c.Lost(); n != 20 {
		t.Errorf("%d requests lost, want 20", n)
	}
	store.Heal()
	mustFlush(t, c)
	if got := monthOf(t, store, fmt.Sprintf("n%d", usage.MostPlaces-1), noon).AI.Charged; got != 2 {
		t.Errorf("%d in the store, want 2", got)
	}
	c.Count("n0", usage.AI, usage.Charged)
	if n := c.Lost(); n != 20 {
		t.Errorf("%d requests lost after the store was back, want 20", n)
	}
}
