package explore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// TestBrokenStoresAreFound runs the explorer on stores that break one promise of backend.Backend
// each. It must find a rule that does not hold then.
func TestBrokenStoresAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		wrap func(backend.Backend) backend.Backend
		row
		rule string
	}{
		{
			"compare-and-set ignores the revision",
			func(b backend.Backend) backend.Backend { return blind{b} },
			row{programs: []string{"acquire", "acquire"}},
			versionsGrow,
		},
		{
			"compare-and-set is a read and then a write",
			func(b backend.Backend) backend.Backend { return readThenWrite{b} },
			row{programs: []string{"acquire", "acquire"}},
			versionsGrow,
		},
		{
			"an acknowledged write may be lost",
			func(b backend.Backend) backend.Backend { return hasty{b} },
			row{programs: []string{"acquire complete"}, bounds: bounds{faults: 1}},
			sameOutcome,
		},
		{
			"a write of unknown outcome is called unavailable",
			func(b backend.Backend) backend.Backend { return confident{b} },
			row{programs: []string{"acquire"}, bounds: bounds{faults: 1}},
			nothingAfter,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &search{row: &c.row, wrap: c.wrap}
			s.all(t)
			if s.broken == nil {
				t.Fatalf("nothing found in %d schedules", s.schedules)
			}
			report := s.report(t)
			t.Log(report)
			if rule := s.broken.(*violation).rule; rule != c.rule {
				t.Errorf("the broken rule is not %q", c.rule)
			}
		})
	}
}

// blind writes whatever the revision is.
type blind struct{ backend.Backend }

func (b blind) CompareAndSet(ctx context.Context, key string, _ uint64, value []byte, keep time.Duration) (uint64, error) {
	return b.Backend.CompareAndSet(ctx, key, whatever, value, keep)
}

// readThenWrite compares in one step and writes in another.
type readThenWrite struct{ backend.Backend }

func (b readThenWrite) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	e, err := b.Get(ctx, key)
	if err != nil && !errors.Is(err, backend.ErrNotFound) {
		return 0, err
	}
	if e.Revision != expected {
		return 0, backend.ErrConflict
	}
	return b.Backend.CompareAndSet(ctx, key, whatever, value, keep)
}

// hasty acknowledges a write before it is safe.
type hasty struct{ backend.Backend }

func (b hasty) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	revision, err := b.Backend.CompareAndSet(ctx, key, expected, value, keep)
	if errors.Is(err, errBroken) {
		return expected + 1, nil
	}
	return revision, err
}

// confident says that nothing was written when it does not know.
type confident struct{ backend.Backend }

func (b confident) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	revision, err := b.Backend.CompareAndSet(ctx, key, expected, value, keep)
	if errors.Is(err, errBroken) {
		return 0, backend.ErrUnavailable
	}
	return revision, err
}
