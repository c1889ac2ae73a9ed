package proof

import (
	"testing"
	"time"
)

// BenchmarkWait is from Complete's return to Wait's return, beside its bare twin, in turns: from
// the return of a compare-and-set to the arrival of what it wrote on the channel of the store's own
// watch. x-bare is by how much the slowest of a hundred of ours is slower; it says little where the
// store's channel holds the state before the write returns, and a microsecond counts. The time of a
// round is that of ours, with an acquire, a watch that is begun and a completion.
func BenchmarkWait(b *testing.B) {
	for _, d := range deployments {
		b.Run(d.name, func(b *testing.B) {
			s := newStopwatch(b, d)
			var ours, bare []time.Duration
			b.ResetTimer()
			for range b.N {
				ours = append(ours, s.wait(b))
				b.StopTimer()
				bare = append(bare, s.bare(b))
				b.StartTimer()
			}
			b.StopTimer()
			ms := func(d time.Duration) float64 { return float64(max(d, 100*time.Nanosecond)) / 1e6 }
			p99, p99Bare := ms(percentile(ours, 0.99)), ms(percentile(bare, 0.99))
			b.ReportMetric(ms(percentile(ours, 0.5)), "p50-ms")
			b.ReportMetric(p99, "p99-ms")
			b.ReportMetric(ms(percentile(bare, 0.5)), "p50-bare-ms")
			b.ReportMetric(p99Bare, "p99-bare-ms")
			b.ReportMetric(p99/p99Bare, "x-bare")
		})
	}
}
