package timeline_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/timeline"
)

// lives has callers acquire and complete n leases in all, and returns how long that took, with all
// that it brought about.
type lives struct {
	m *lease.Manager
	s *timeline.Store // nil: without a timeline
	n int
}

func (l *lives) run(t testing.TB, callers, n int) time.Duration {
	t.Helper()
	ctx := context.Background()
	opts := &lease.AcquireOptions{TTL: time.Hour, Metadata: []byte(`{"customer_id":"c_1","priority":"high"}`)}
	done := lease.Completion{Result: []byte(`{"messages":15,"resolution":"password reset"}`)}
	begin := time.Now()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n; i += callers {
				key := fmt.Sprint("chat_", l.n+i)
				held, _, err := l.m.Acquire(ctx, key, opts)
				if err == nil {
					_, err = l.m.Complete(ctx, key, held.LeaseID, done)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	l.n += n
	if l.s != nil {
		if err := l.m.Flush(ctx); err != nil {
			t.Error(err)
		}
		if err := l.s.Flush(ctx); err != nil {
			t.Error(err)
		}
	}
	return time.Since(begin)
}

// BenchmarkLives is a lease's whole life, acquired and completed, with its timeline and without, in
// turns on two stores of one kind. x-without is the median of the rounds' ratios of throughput, and
// dropped the share of entries that did not get into the journal.
func BenchmarkLives(b *testing.B) {
	for _, store := range stores {
		for _, callers := range []int{1, runtime.GOMAXPROCS(0), 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", store.name, callers), func(b *testing.B) {
				with, without := twoLives(b, store.open)
				each := max(1, min(b.N, max(400, b.N/20)))
				var ratios []float64
				var spent time.Duration
				b.ResetTimer()
				for left, round := b.N, 0; left > 0; left, round = left-each, round+1 {
					x := inTurns(b, with, without, callers, min(left, each), round)
					ratios, spent = append(ratios, float64(x[1])/float64(x[0])), spent+x[1]
				}
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "x-without")
				b.ReportMetric(float64(with.s.Dropped())/float64(2*b.N), "dropped")
				b.ReportMetric(float64(b.N)/spent.Seconds(), "without/s")
			})
		}
	}
}

// twoLives are on two stores of one kind, one with a timeline.
func twoLives(t testing.TB, open func(testing.TB) backend.Backend) (with, without *lives) {
	t.Helper()
	b := open(t)
	s := mustOpen(t, b)
	return &lives{m: mustManage(t, b, lease.WithObserver(s.Observe)), s: s}, &lives{m: mustManage(t, open(t))}
}

// inTurns has both live n lives, and tells how long each took. They take turns in beginning.
func inTurns(t testing.TB, with, without *lives, callers, n, round int) (spent [2]time.Duration) {
	t.Helper()
	both := [2]*lives{with, without}
	for i := range both {
		which := (i + round) % 2
		spent[which] = both[which].run(t, callers, n)
	}
	return spent
}
