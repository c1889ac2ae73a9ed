package runs_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// noAnswers applies one write of a record, and answers no write of one until a time.
type noAnswers struct {
	backend.Backend
	record string
	begins bool
	until  time.Time
}

func (s *noAnswers) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	n := time.Now()
	switch {
	case key != s.record:
	case s.begins:
		s.begins, s.until = false, n.Add(12*time.Second)
		if _, err := s.Backend.CompareAndSet(ctx, key, revision, value, keep); err != nil {
			return 0, err
		}
		return 0, errors.New("no answer")
	case n.Before(s.until):
		return 0, errors.New("no answer")
	}
	return s.Backend.CompareAndSet(ctx, key, revision, value, keep)
}

// A start replaces a run, and learns only later that it has. The end of the run that it has
// replaced stands in the timeline.
func TestTheEndOfARunThatWasReplacedByAWriteOfUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		slow := &noAnswers{Backend: store, record: "default/k"}
		m, err := lease.NewManager(slow)
		if err != nil {
			t.Fatal(err)
		}
		tl, err := timeline.New(store)
		if err != nil {
			t.Fatal(err)
		}
		r := runs.New(m, runs.WithTimeline(tl))
		mustStart(t, double, r, "k", request{1}, &runs.StartOptions{Delay: time.Hour})
		slow.begins = true
		began := time.Now()
		mustStart(t, double, r, "k", request{2}, &runs.StartOptions{Delay: time.Hour, Replace: true})
		if time.Since(began) < time.Second || slow.begins {
			t.Fatal("the start has learned at once what it did")
		}
		if got, want := told(t, r, "k"), "run_started run_finished/replaced"; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}
