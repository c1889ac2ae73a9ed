package timeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
)

func TestTheLifeOfALease(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		m := mustManage(t, b, lease.WithNamespace("ns"), lease.WithObserver(s.Observe))
		ctx := t.Context()
		begin := time.Now().Truncate(time.Microsecond)
		metadata := []byte(`{"run_id":"run/1","agent_id":"a1","secret":"hunter2"}`)
		l, _, err := m.Acquire(ctx, "k", &lease.AcquireOptions{Metadata: metadata})
		if err != nil {
			t.Fatal(err)
		}
		_, extendErr := m.Extend(ctx, "k", l.LeaseID, nil)
		_, releaseErr := m.Release(ctx, "k", l.LeaseID)
		l, acquired, err := m.Acquire(ctx, "k", &lease.AcquireOptions{Metadata: metadata})
		_, completeErr := m.Complete(ctx, "k", l.LeaseID, lease.Completion{Result: "hunter2"})
		if err := errors.Join(extendErr, releaseErr, err, completeErr, m.Flush(ctx)); err != nil || !acquired {
			t.Fatal(acquired, err)
		}
		entries := mustRead(t, s, "run/1")
		if got, want := types(entries), []string{
			"lease:acquired acquired", "lease:extended in_progress", "lease:released released",
			"lease:acquired taken_over", "lease:completed completed",
		}; !slices.Equal(got, want) {
			t.Fatalf("the timeline is %q, want %q", got, want)
		}
		for i, e := range entries {
			if e.Namespace != "ns" || e.RunID != "run/1" || e.Key != "k" || e.AgentID != "a1" || e.Token == 0 || e.Attempt != 1+i/3 {
				t.Errorf("entry %d is %+v", i, e)
			}
			if e.Time.Before(begin) || e.Time.After(time.Now()) || i > 0 && e.Time.Before(entries[i-1].Time) {
				t.Errorf("entry %d has the time %v", i, e.Time)
			}
		}
		page, err := b.(backend.Journal).ReadNewest(ctx, "", 0, 10)
		if err != nil || len(page) != 5 {
			t.Fatal(len(page), err)
		}
		for _, e := range page {
			if data := string(e.Data); strings.Contains(data, "hunter2") || strings.Contains(data, "lease_") {
				t.Errorf("the journal has %s", data)
			}
		}
	})
}

// Each case does one thing to the key "k" of m, and tells the timeline that comes of it.
func TestEventsInATimeline(t *testing.T) {
	type party struct {
		m  *lease.Manager
		id string // of the lease, acquired for a minute
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, p party) error
		want string
	}{
		{"replaced", func(t *testing.T, p party) error {
			_, _, err := p.m.Acquire(t.Context(), "k", &lease.AcquireOptions{InputHash: "i2", Replace: true})
			return err
		}, "lease:acquired replaced"},
		{"failed", func(t *testing.T, p party) error {
			_, err := p.m.Fail(t.Context(), "k", p.id, lease.Failure{Code: "timeout"})
			return err
		}, "lease:failed failed timeout"},
		{"canceled", func(t *testing.T, p party) error {
			_, err := p.m.Cancel(t.Context(), "k", p.id, "why")
			return err
		}, "lease:failed failed canceled:why"},
		{"lost", func(t *testing.T, p party) error {
			if _, err := p.m.Extend(t.Context(), "k", "another", nil); !errors.Is(err, lease.ErrLost) {
				return errors.New("not lost")
			}
			return nil
		}, "lease:lost in_progress"},
		{"locked", func(t *testing.T, p party) error {
			_, _, err := p.m.CheckLock(t.Context(), "k", nil)
			return err
		}, "lock:checked locked"},
		{"polled", func(t *testing.T, p party) error {
			_, _, err := p.m.Acquire(t.Context(), "k", nil)
			return err
		}, ""},
		{"seen expired", func(t *testing.T, p party) error {
			time.Sleep(time.Hour)
			_, err := p.m.Status(t.Context(), "k")
			return err
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := memory.New()
				s := mustOpen(t, b)
				m := mustManage(t, b, lease.WithNamespace("ns"), lease.WithObserver(s.Observe))
				l, _, err := m.Acquire(t.Context(), "k", &lease.AcquireOptions{TTL: time.Minute, InputHash: "i1"})
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(tt.do(t, party{m, l.LeaseID}), m.Flush(t.Context())); err != nil {
					t.Fatal(err)
				}
				entries := mustRead(t, s, "k")
				if len(entries) == 0 || entries[0].Type != "lease:acquired" {
					t.Fatalf("the timeline is %+v", entries)
				}
				var got []string
				for _, e := range entries[1:] {
					got = append(got, strings.TrimSpace(e.Type+" "+e.Status+" "+e.ErrorCode))
				}
				if got := strings.Join(got, ", "); got != tt.want {
					t.Errorf("the timeline goes on with %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestLocksAreTold(t *testing.T) {
	b := memory.New()
	s := mustOpen(t, b)
	m := mustManage(t, b, lease.WithNamespace("ns"), lease.WithObserver(s.Observe))
	for _, nonce := range []string{"n", "n", "", ""} { // the second repeats the first
		if _, _, err := m.CheckLock(t.Context(), "k", &lease.LockOptions{Nonce: nonce, Metadata: []byte(`{"run_id":"r"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := types(mustRead(t, s, "r")), []string{"lock:checked locked", "lock:checked duplicate", "lock:checked duplicate"}; !slices.Equal(got, want) {
		t.Errorf("the timeline is %q, want %q", got, want)
	}
}

// What a worker does with its claims is told by package runs. Of the lease itself a timeline shows
// one start, one end, and nothing in between that would read as another of them.
func TestARunHasOneStartAndOneEnd(t *testing.T) {
	for _, tt := range []struct {
		name     string
		do       func(ctx context.Context, attempt int) error // an attempt
		attempts int
		want     []string
	}{
		{"that completes at once", func(context.Context, int) error { return nil }, 1,
			[]string{"lease:acquired acquired", "lease:completed completed"}},
		{"that completes at the second attempt, and is extended", func(_ context.Context, attempt int) error {
			if time.Sleep(time.Minute); attempt == 1 {
				return errors.New("not yet")
			}
			return nil
		}, 2, []string{"lease:acquired acquired", "lease:completed completed"}},
		{"that fails too often", func(context.Context, int) error { return errors.New("never") }, 2,
			[]string{"lease:acquired acquired", "lease:failed failed"}},
		{"that fails for good", func(context.Context, int) error { return lease.Permanent(errors.New("never")) }, 1,
			[]string{"lease:acquired acquired", "lease:failed failed"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := memory.New()
				s := mustOpen(t, b)
				m := mustManage(t, b, lease.WithNamespace("ns"), lease.WithObserver(s.Observe))
				r := runs.New(m)
				task := runs.Task[int, int]{Name: "task", Attempts: 2}
				attempts := 0
				task.Handle(r, func(ctx context.Context, in int) (int, error) {
					attempts++
					return in, tt.do(ctx, attempts)
				})
				ctx, stop := context.WithCancel(t.Context())
				stopped := make(chan error)
				go func() { stopped <- r.Work(ctx) }()
				_, started, startErr := task.Start(t.Context(), r, "k", 1, &runs.StartOptions{Metadata: []byte(`{"run_id":"r"}`)})
				_, waitErr := task.Wait(t.Context(), r, "k")
				stop()
				if err := errors.Join(startErr, <-stopped, m.Flush(t.Context())); err != nil || !started || attempts != tt.attempts {
					t.Fatal(started, attempts, err)
				}
				if fails := strings.Contains(tt.name, "fails"); errors.Is(waitErr, lease.ErrFailed) != fails {
					t.Errorf("the run ended with %v", waitErr)
				}
				if got := types(mustRead(t, s, "r")); !slices.Equal(got, tt.want) {
					t.Errorf("the timeline is %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// Events are told by whoever has caused them, each after its write, and the next may be faster.
func TestEventsThatAreToldLate(t *testing.T) {
	s := mustOpen(t, memory.New())
	at := time.Now()
	tell := func(kind lease.EventKind, version uint64, at time.Time) {
		s.Observe(lease.Event{Kind: kind, Namespace: "ns", Key: "k", At: at, Version: version, State: lease.StateInProgress})
	}
	s.Note(note("k", 0))
	tell(lease.EventCompleted, 3, at.Add(time.Second))
	s.Observe(lease.Event{Kind: lease.EventAcquired, Namespace: "ns", Key: "another", At: at, Version: 1})
	tell(lease.EventExtended, 2, at)
	tell(lease.EventAcquired, 1, at)
	want := []string{"note 0", "lease:acquired acquired", "lease:extended in_progress", "lease:completed completed"}
	if got := types(mustRead(t, s, "k")); !slices.Equal(got, want) {
		t.Errorf("the timeline is %q, want %q", got, want)
	}
}

// Events that the Manager has dropped, because the observers were slow, count as dropped entries.
func TestDroppedEventsCount(t *testing.T) {
	s := mustOpen(t, memory.New())
	s.Observe(lease.Event{Kind: lease.EventConflictRetried, Namespace: "ns", Key: "k", Dropped: 3})
	if n := s.Dropped(); n != 3 {
		t.Errorf("%d were dropped, want 3", n)
	}
}
