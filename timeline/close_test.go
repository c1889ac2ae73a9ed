package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

func TestClose(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b)
		s.Note(note("r", 0))
		for range 2 {
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		s.Note(note("r", 1))
		if err := s.Append(t.Context(), note("r", 2)); !errors.Is(err, backend.ErrClosed) || !errors.Is(err, lease.ErrUnavailable) {
			t.Errorf("append after close: %v", err)
		}
		mustFlush(t, s)
		if got := types(mustRead(t, s, "r")); !slices.Equal(got, numbers(0, 1)) || s.Dropped() != 1 {
			t.Errorf("the timeline is %q, and %d were dropped", got, s.Dropped())
		}
	})
}

// Close with an end to its patience drops what the store does not take, and leaves nothing running:
// the bubble would notice.
func TestCloseWhileTheStoreIsAway(t *testing.T) {
	for name, fail := range map[string]func(int, func() error) error{
		"away":      func(int, func() error) error { return backend.ErrUnavailable },
		"no answer": func(int, func() error) error { return leasetest.ErrNoAnswer },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := mustOpen(t, newScripted(fail))
				for n := range 3 {
					e := note("r", n)
					e.ID = fmt.Sprint(n)
					s.Note(e)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := s.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || s.Dropped() != 3 {
					t.Errorf("error %v, and %d were dropped", err, s.Dropped())
				}
			})
		})
	}
}

func TestTheBackendIsClosed(t *testing.T) {
	b := memory.New()
	s := mustOpen(t, b)
	b.Close()
	s.Note(note("r", 0))
	if err := s.Append(t.Context(), note("r", 1)); !errors.Is(err, backend.ErrClosed) || !errors.Is(err, lease.ErrUnavailable) || s.Dropped() != 1 {
		t.Errorf("append: %v, and %d were dropped", err, s.Dropped())
	}
	if _, _, err := s.Read(t.Context(), "ns", "r", 0, 1); !errors.Is(err, backend.ErrClosed) || !errors.Is(err, lease.ErrUnavailable) {
		t.Errorf("read: %v", err)
	}
}
