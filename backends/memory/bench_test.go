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
