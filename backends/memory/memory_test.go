package memory_test

import (
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

func TestConformance(t *testing.T) {
	// A store in memory has one handle, which all share.
	same := func(_ *testing.T, first backend.Backend) backend.Backend { return first }
	conformance.Run(t, func(t *testing.T) backend.Backend { return memory.New() }, conformance.WithSecondHandle(same))
}
