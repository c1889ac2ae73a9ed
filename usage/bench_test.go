package usage_test

import (
	"testing"

	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/usage"
)

// BenchmarkCount is what counting adds to an operation.
func BenchmarkCount(b *testing.B) {
	c := usage.New(memory.New())
	defer c.Close(b.Context())
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Count("default", usage.AI, usage.Charged)
		}
	})
}
