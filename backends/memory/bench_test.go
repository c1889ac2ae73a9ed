package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backends/memory"
)

// plain is what one would write first: a map behind one mutex, with values copied as they must be.
type plain struct {
	mu       sync.Mutex
	entries  map[string]plainEntry
	revision uint64
}

type plainEntry struct {
	value    []byte
	revision uint64
}

func (p *plain) compareAndSet(_ context.Context, key string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.entries[key].revision != expected {
		return 0, fmt.Errorf("conflict")
	}
	p.revision++
	p.entries[key] = plainEntry{bytes.Clone(value), p.revision}
	return p.revision, nil
}

// BenchmarkCompareAndSet has each caller write a key of its own again and again, against the plain
// map in the same run, in turns.
func BenchmarkCompareAndSet(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			value := make([]byte, 300)
			writer := func(set func(context.Context, string, uint64, []byte, time.Duration) (uint64, error)) func(n int) time.Duration {
				last := make([]uint64, callers)
				return func(n int) time.Duration {
					begun := time.Now()
					var wg sync.WaitGroup
					for c := range callers {
						wg.Go(func() {
							key := "default/worker_" + strconv.Itoa(c)
							for range (n + callers - 1) / callers {
								revision, err := set(context.Background(), key, last[c], value, time.Hour)
								if err != nil {
									b.Error(err)
									return
								}
								last[c] = revision
							}
						})
					}
					wg.Wait()
					return time.Since(begun)
				}
			}
			p := &plain{entries: make(map[string]plainEntry)}
			ours, theirs := writer(memory.New().CompareAndSet), writer(p.compareAndSet)
			const slice = 10_000
			var spent, twin time.Duration
			b.ResetTimer()
			for n := 0; n < b.N; n += slice {
				size := min(slice, b.N-n)
				spent += ours(size)
				b.StopTimer()
				twin += theirs(size)
				b.StartTimer()
			}
			b.ReportMetric(float64(b.N)/spent.Seconds(), "ops/s")
			b.ReportMetric(float64(twin)/float64(spent), "x-plain")
		})
	}
}

// BenchmarkList lists ten entries of one namespace beside many of another, and alone: a listing
// costs what it finds. x-alone is the ratio, in the same run, in turns.
func BenchmarkList(b *testing.B) {
	fill := func(s *memory.Store, namespace string, n int) {
		for i := range n {
			if _, err := s.CompareAndSet(context.Background(), namespace+"/"+strconv.Itoa(i), 0, nil, 0); err != nil {
				b.Fatal(err)
			}
		}
	}
	alone, beside := memory.New(), memory.New()
	fill(alone, "mine", 10)
	fill(beside, "mine", 10)
	fill(beside, "others", 1_000_000)
	list := func(s *memory.Store) time.Duration {
		begun, found := time.Now(), 0
		for _, err := range s.List(context.Background(), "mine/") {
			if found++; err != nil {
				b.Fatal(err)
			}
		}
		if found != 10 {
			b.Fatalf("found %d entries", found)
		}
		return time.Since(begun)
	}
	var spent, twin time.Duration
	for b.Loop() {
		spent += list(beside)
		twin += list(alone)
	}
	b.ReportMetric(float64(spent)/float64(twin), "x-alone")
}
