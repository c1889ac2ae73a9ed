package runs_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// With the journal away nobody waits long: the bound is that of one call to it.
const oneCall = 5 * time.Second

func TestACancelDoesNotWaitForAJournalThatIsAway(t *testing.T) {
	inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, faulty *leasetest.Store) {
		r := runs.New(m, runs.WithTimeline(tl))
		mustStart(t, double, r, "k", request{1}, &runs.StartOptions{Delay: time.Hour})
		faulty.Cut()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // else a failure of this test hangs
		defer cancel()
		began := time.Now()
		if err := r.Cancel(ctx, "k", "why"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > oneCall {
			t.Errorf("the cancel has taken %v", took)
		}
		if l, err := m.Status(t.Context(), "k"); err != nil || l.ErrorCode != "canceled:why" {
			t.Errorf("%s, error code %q, error %v", l.State, l.ErrorCode, err)
		}
	})
}

// Markers of runs that have ended stay until the journal is back. They keep no worker from others.
func TestEndedRunsDoNotDelayOthersWhileTheJournalIsAway(t *testing.T) {
	inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, faulty *leasetest.Store) {
		const ended = 60
		r := runs.New(m, runs.WithTimeline(tl), runs.WithConcurrency(2))
		double.Handle(r, twice)
		faulty.Cut()
		for i := range ended {
			key := fmt.Sprint("ended", i)
			l := mustStart(t, double, r, key, request{1}, nil)
			if _, err := m.Cancel(t.Context(), key, l.LeaseID, ""); err != nil {
				t.Fatal(err)
			}
		}
		stop := work(t, r)
		defer stop()
		time.Sleep(time.Minute)
		for i := range 3 {
			key := fmt.Sprint("k", i)
			began := time.Now()
			mustStart(t, double, r, key, request{21}, nil)
			if _, err := double.Wait(t.Context(), r, key); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*oneCall {
				t.Errorf("run %d has taken %v", i, took)
			}
		}
		faulty.Heal()
		if got := told(t, r, "ended0"); got != "run_started run_finished/canceled" {
			t.Errorf("once the journal answers again, a reader is told %q", got)
		}
		time.Sleep(time.Minute)
		stop()
		for i := range ended {
			entries, _, err := tl.Read(t.Context(), "default", fmt.Sprint("ended", i), 0, 10)
			if err != nil || len(entries) != 2 || entries[1].Type != "run_finished" {
				t.Fatalf("run %d: %+v, error %v", i, entries, err)
			}
		}
	})
}

// Where a run has ended, another can be started though the journal is away, once the end is told.
func TestStartsOverRunsThatHaveEndedWhileTheJournalIsAway(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("the end is told: %t", told), func(t *testing.T) {
			inStory(t, func(t *testing.T, m *lease.Manager, tl *timeline.Store, faulty *leasetest.Store) {
				r := runs.New(m, runs.WithTimeline(tl))
				double.Handle(r, func(context.Context, request) (result, error) {
					return result{}, lease.Permanent(errors.New("no"))
				})
				if !told {
					faulty.Cut()
				}
				stop := work(t, r)
				mustStart(t, double, r, "k", request{1}, nil)
				if _, err := double.Wait(t.Context(), r, "k"); !errors.Is(err, lease.ErrFailed) {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the marker is cleared if it can be
				stop()
				faulty.Cut()
				began := time.Now()
				_, started, err := double.Start(t.Context(), r, "k", request{1}, &runs.StartOptions{RetryFailed: true})
				if took := time.Since(began); took > oneCall {
					t.Errorf("the start has taken %v", took)
				}
				if started != told || told != (err == nil) || err != nil && (!errors.Is(err, lease.ErrUnavailable) || errors.Is(err, lease.ErrUnknownOutcome)) {
					t.Errorf("started is %t, error %v", started, err)
				}
			})
		})
	}
}

// A worker whose store is away stops before a service manager gives it up, after 10 seconds.
func TestAShutdownWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		faulty := leasetest.NewStore(store)
		m, err := lease.NewManager(faulty)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := timeline.New(faulty)
		if err != nil {
			t.Fatal(err)
		}
		r := runs.New(m, runs.WithTimeline(tl))
		noted := make(chan bool)
		double.Handle(r, func(ctx context.Context, _ request) (result, error) {
			<-noted
			runs.Note(ctx, timeline.Entry{Type: "tool_call"}) // is waited for before the end
			<-ctx.Done()
			return result{}, ctx.Err()
		})
		stop := work(t, r)
		mustStart(t, double, r, "k", request{1}, nil)
		time.Sleep(2 * time.Second)
		faulty.Cut()
		close(noted)
		mustStart(t, double, runs.New(healthy(t, store)), "another", request{1}, nil)
		time.Sleep(2 * time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 9*time.Second {
			t.Errorf("the shutdown has taken %v", took)
		}
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		_ = tl.Close(ended)
		faulty.Heal()
	})
}

func healthy(t *testing.T, store *memory.Store) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
