package natskv_test

import (
	"flag"
	"os"
	"testing"

	"github.com/ailease/lease/internal/natstest"
)

// TestMain has the tests wait less. No server of theirs loses its power, and a write that waits for
// the disk takes ten times as long. Benchmarks measure it with the disk, and so do the tests that
// stop servers under writers. Tests that wait for elections and for answers that do not come do so
// beside each other, more of them than there are processors. Under the race detector the servers
// compute too much for that.
func TestMain(m *testing.M) {
	flag.Parse()
	natstest.SyncAlways = flag.Lookup("test.bench").Value.String() != ""
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue && !raceEnabled {
		f.Value.Set("8")
	}
	os.Exit(m.Run())
}
