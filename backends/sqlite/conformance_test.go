package sqlite_test

import (
	"os"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/conformance"
)

func TestConformance(t *testing.T) {
	pathOf := map[backend.Backend]string{}
	at := func(t *testing.T, path string) backend.Backend {
		// The suite does not cut the power, and a hundred cases of each property would each wait
		// for the disk.
		s := open(t, path, sqlite.WithSynchronous(sqlite.Normal))
		pathOf[s] = path
		return s
	}
	conformance.Run(t,
		func(t *testing.T) backend.Backend { return at(t, newPath(t)) },
		conformance.WithSecondHandle(func(t *testing.T, first backend.Backend) backend.Backend { return at(t, pathOf[first]) }),
		conformance.WithReopen(func(t *testing.T, crashed backend.Backend) backend.Backend {
			return at(t, crashImage(t, pathOf[crashed]))
		}),
	)
}

// crashImage copies a file that is in use, with its log, as a crash of the process would leave it:
// nothing is closed or tidied up.
func crashImage(t *testing.T, path string) string {
	t.Helper()
	image := newPath(t)
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(image+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return image
}
