package sqlite

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// gathering is a gatherer with a clock of its own. A yield lasts for as long as the test says, and
// brings one more caller.
type gathering struct {
	gatherer
	time    time.Time
	lasts   time.Duration // a yield
	brings  int           // callers with each yield
	present int
	yields  int
}

func newGathering() *gathering {
	g := &gathering{time: time.Unix(1_000_000, 0), brings: 1}
	g.now = func() time.Time { return g.time }
	g.yield = func() {
		g.yields++
		g.time = g.time.Add(g.lasts)
		g.present += g.brings
	}
	return g
}

// transaction is one of a millisecond, after which there are so many callers.
func (g *gathering) transaction(callers int) {
	begun := g.time
	g.time = g.time.Add(time.Millisecond)
	g.ended(begun, g.time, callers)
	g.present = 1
}

// wantYields gathers once and tells how often that may have yielded.
func (g *gathering) wantYields(t *testing.T, want int) {
	t.Helper()
	g.yields = 0
	g.gather(func() int { return g.present })
	if g.yields != want {
		t.Errorf("it yielded %d times, want %d", g.yields, want)
	}
}

func TestGather(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, g *gathering)
	}{
		{"the first transaction does not wait for others", func(t *testing.T, g *gathering) {
			g.wantYields(t, 0)
		}},
		{"a lone caller does not wait for others", func(t *testing.T, g *gathering) {
			g.transaction(1)
			g.wantYields(t, 0)
		}},
		{"a transaction after one of several waits until they are back", func(t *testing.T, g *gathering) {
			g.transaction(3)
			g.wantYields(t, 2)
		}},
		{"it does not wait if they are all there", func(t *testing.T, g *gathering) {
			g.transaction(3)
			g.present = 3
			g.wantYields(t, 0)
		}},
		{"it gives up on callers that do not come back", func(t *testing.T, g *gathering) {
			g.transaction(100)
			g.brings = 0
			g.wantYields(t, gatherRounds)
		}},
		{"it does not wait if they had as much time as a transaction takes", func(t *testing.T, g *gathering) {
			g.transaction(3)
			g.time = g.time.Add(time.Millisecond + 1)
			g.wantYields(t, 0)
		}},
		{"a yield that takes longer than a transaction is the last for that time", func(t *testing.T, g *gathering) {
			g.transaction(100)
			g.lasts = 20 * time.Millisecond
			g.wantYields(t, 1)
			for range 19 {
				g.transaction(100)
				g.wantYields(t, 0)
			}
			g.transaction(100)
			g.wantYields(t, 1)
		}},
		{"yields that go on being slow take less than a hundredth of the time", func(t *testing.T, g *gathering) {
			g.lasts = 80 * time.Millisecond
			slow := 0
			pass := func(d time.Duration) {
				for end := g.time.Add(d); g.time.Before(end); slow += g.yields {
					g.transaction(100)
					g.yields = 0
					g.gather(func() int { return g.present })
				}
			}
			pass(time.Minute) // the doubling is over
			slow = 0
			pass(time.Hour)
			if spent := time.Duration(slow) * g.lasts; slow == 0 || spent > time.Hour/100 {
				t.Errorf("%d yields took %v of an hour", slow, spent)
			}
		}},
		{"after a yield that was quick again, the next slow one counts as the first", func(t *testing.T, g *gathering) {
			g.lasts = 20 * time.Millisecond
			for range 100 {
				g.transaction(100)
				g.gather(func() int { return g.present })
			}
			g.time = g.rest
			g.lasts = 0
			g.transaction(2)
			g.wantYields(t, 1)
			g.transaction(100)
			g.lasts = 20 * time.Millisecond
			g.wantYields(t, 1)
			if rest := g.rest.Sub(g.time); rest != 20*time.Millisecond {
				t.Errorf("it rests for %v", rest)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newGathering()) })
	}
}

// TestOnlySeveralWritersYield is about a real store. Beside goroutines that compute, one yield can
// cost a lease.
func TestOnlySeveralWritersYield(t *testing.T) {
	s, _ := openInside(t)
	yielded := make(chan struct{}, 1)
	s.group.gatherer.yield = func() {
		select {
		case yielded <- struct{}{}:
		default:
		}
		runtime.Gosched()
	}
	write := func(key string, expected uint64) uint64 {
		revision, err := s.CompareAndSet(context.Background(), key, expected, nil, 0)
		if err != nil {
			t.Error(err)
		}
		return revision
	}

	var revision uint64
	for range 50 {
		revision = write("alone", revision)
	}
	select {
	case <-yielded:
		t.Error("a lone writer yielded")
	default:
	}

	var done atomic.Bool
	var wg sync.WaitGroup
	for c := range 16 {
		wg.Go(func() {
			for revision := uint64(0); !done.Load(); {
				revision = write(strconv.Itoa(c), revision)
			}
		})
	}
	select {
	case <-yielded:
	case <-time.After(30 * time.Second):
		t.Error("sixteen writers did not yield to each other in 30 s")
	}
	done.Store(true)
	wg.Wait()
}
