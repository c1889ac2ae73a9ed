package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// smallStore is a store that is configured to take less than others.
type smallStore struct {
	*memory.Store
	most int
}

func (s smallStore) MaxValueBytes() int { return s.most }

// TestLimitsOfTheStore: limits by which a record could be too large are refused by NewManager.
func TestLimitsOfTheStore(t *testing.T) {
	for _, tt := range []struct {
		name   string
		most   int
		result int // WithMaxResultBytes
		ok     bool
	}{
		{"the default limits fit", 320 << 10, 256 << 10, true},
		{"a large result does not fit", 320 << 10, 512 << 10, false},
		{"it fits into a larger store", 1 << 20, 512 << 10, true},
		{"a small store with small limits", 192 << 10, 64 << 10, true},
		{"a store that claims more than a backend may", 8 << 20, 1 << 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := lease.NewManager(smallStore{memory.New(), tt.most}, lease.WithMaxResultBytes(tt.result))
			if tt.ok {
				if err != nil {
					t.Error(err)
				}
				return
			}
			isInvalid(t, err, "max_result_bytes", fmt.Sprintf("this backend takes %d", min(tt.most, backend.MaxValueBytes)))
		})
	}
}

// takesUpTo is a store that refuses larger records, though nobody knew when the Manager was made.
func takesUpTo(most int) *scriptedStore {
	s := newScriptedStore()
	s.always = func(w write) (uint64, error) {
		if len(w.value) > most {
			return 0, fmt.Errorf("%w: too large", backend.ErrInvalid)
		}
		return w.apply()
	}
	return s
}

// TestTheStoreRefusesTheRecord: that is the caller's error, and no reason to send it again.
func TestTheStoreRefusesTheRecord(t *testing.T) {
	s := takesUpTo(2 << 10)
	m, _ := newManager(t, s)
	l := mustTake(t, m, "k", nil)
	large := lease.Completion{Result: strings.Repeat("r", 4<<10)}
	_, err := m.Complete(ctx, "k", l.LeaseID, large)
	if !errors.Is(err, lease.ErrInvalid) || !errors.Is(err, backend.ErrInvalid) || errors.Is(err, lease.ErrUnavailable) {
		t.Errorf("complete: %v, want ErrInvalid of both packages", err)
	}
	if _, err := m.Complete(ctx, "k", l.LeaseID, lease.Completion{Result: "small"}); err != nil {
		t.Errorf("a smaller result: %v", err)
	}
}

// TestDoWithAResultThatTheStoreRefuses: the work was done, and is not done again.
func TestDoWithAResultThatTheStoreRefuses(t *testing.T) {
	s := takesUpTo(2 << 10)
	m, _ := newManager(t, s)
	_, err := lease.Do(ctx, m, "k", nil, func(context.Context) (string, error) { return strings.Repeat("r", 4<<10), nil })
	mustFail(t, err, "result")
	if !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("%v, want one that wraps ErrInvalid of the store", err)
	}
	if n := s.writes.Load(); n != 3 {
		t.Errorf("%d writes, want 3: acquire, complete and fail", n)
	}
	mustStand(t, m, "k", "failed 1 result")
	_, err = mustNotRun[string](t, ctx, m, "k", nil)
	mustFail(t, err, "result")
}
