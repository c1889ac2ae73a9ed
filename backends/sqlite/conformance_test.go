package sqlite_test

import (
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) backend.Backend {
		// The suite does not cut the power, and a hundred cases of each property would each wait for the disk.
		return open(t, newPath(t), sqlite.WithSynchronous(sqlite.Normal))
	})
}
