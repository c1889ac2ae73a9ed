package runs_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/runs"
)

// refusing refuses the records of one key once the first is written.
type refusing struct {
	backend.Backend
	key     string
	written atomic.Bool
	refused atomic.Int32
}

func (s *refusing) Unwrap() backend.Backend { return s.Backend }

func (s *refusing) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	if key == s.key && s.written.Swap(true) {
		s.refused.Add(1)
		return 0, backend.ErrInvalid
	}
	return s.Backend.CompareAndSet(ctx, key, revision, value, keep)
}

// lines are those of a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A run whose record the store does not take any more, as too large, ends no worker.
func TestARunThatTheStoreRefusesKeepsNoWorkerFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		defer store.Close()
		refuses := &refusing{Backend: store, key: "default/large"}
		m, err := lease.NewManager(refuses)
		if err != nil {
			t.Fatal(err)
		}
		log := &lines{}
		r := runs.New(m, runs.WithConcurrency(1), runs.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		double.Handle(r, twice)
		defer work(t, r)()
		mustStart(t, double, r, "large", request{1}, nil)
		time.Sleep(5*time.Minute + time.Second)
		if n := refuses.refused.Load(); n != 6 {
			t.Errorf("the run was looked at %d times, want 6, once a minute", n)
		}
		mustStart(t, double, r, "k", request{21}, nil)
		if got, err := double.Wait(within(t, time.Minute), r, "k"); err != nil || got.Double != 42 {
			t.Errorf("%+v, error %v", got, err)
		}
		if text := log.String(); !strings.Contains(text, "cannot be worked on") || strings.Contains(text, "large") {
			t.Errorf("the log has %q", text)
		}
	})
}
