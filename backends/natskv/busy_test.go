package natskv_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestNoConflictWithoutAnother: a replicated stream acknowledges a write a moment before it takes the next one under the same key. Whoever is alone on a
// key must not be told of a conflict for that.
func TestNoConflictWithoutAnother(t *testing.T) {
	s := open(t, natstest.StartCluster(t).URL(), natskv.WithReplicas(3))
	const writers, each = 32, 100
	var conflicts, writes atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			key := fmt.Sprint("k", w)
			var revision uint64
			for n := range each {
				if n%5 == 4 {
					err := s.CompareAndDelete(ctx, key, revision)
					switch {
					case errors.Is(err, backend.ErrConflict):
						conflicts.Add(1)
						return
					case err != nil:
						t.Error(err)
						return
					}
					revision = 0
				}
				next, err := s.CompareAndSet(ctx, key, revision, []byte("v"), time.Hour)
				switch {
				case errors.Is(err, backend.ErrConflict):
					conflicts.Add(1)
					return
				case err != nil:
					t.Error(err)
					return
				}
				revision = next
				writes.Add(1)
			}
		})
	}
	wg.Wait()
	if n := conflicts.Load(); n > 0 {
		t.Errorf("%d of %d callers, each alone on its key, were told of a conflict within %d writes", n, writers, writes.Load())
	}
}
