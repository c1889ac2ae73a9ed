package timeline

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// TestWhoHasGoneLeavesNothingBehind: callers that give up while the store is away fill no memory,
// and what was noted before and after them is written when it is back.
func TestWhoHasGoneLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := leasetest.NewStore(memory.New())
		s, err := New(b)
		if err != nil {
			t.Fatal(err)
		}
		b.Cut()
		s.Note(Entry{Namespace: "ns", RunID: "run", Type: "before", ID: "1"})
		time.Sleep(time.Second) // the writer has it in hand
		for range 100 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			if err := s.Append(ctx, Entry{Namespace: "ns", RunID: "run", Type: "gone"}, Entry{Namespace: "ns", RunID: "run", Type: "gone"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, lease.ErrUnknownOutcome) {
				t.Errorf("error %v", err)
			}
			if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
			cancel()
		}
		s.Note(Entry{Namespace: "ns", RunID: "run", Type: "after"})
		s.mu.Lock()
		if n := len(s.queue); n != 1 {
			t.Errorf("%d entries wait, want the one that was noted", n)
		}
		s.mu.Unlock()
		b.Heal()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries, total, err := s.Read(t.Context(), "ns", "run", 0, 10)
		if err != nil || total != 2 || entries[0].Type != "before" || entries[1].Type != "after" {
			t.Errorf("%+v, error %v", entries, err)
		}
	})
}
