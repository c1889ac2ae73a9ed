package timeline_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/timeline"
)

// TestMain has the tests wait less for the disk. Benchmarks measure with it.
func TestMain(m *testing.M) {
	flag.Parse()
	natstest.SyncAlways = flag.Lookup("test.bench").Value.String() != ""
	os.Exit(m.Run())
}

var stores = []struct {
	name string
	open func(t testing.TB) backend.Backend
}{
	{"memory", func(testing.TB) backend.Backend { return memory.New() }},
	{"sqlite", func(t testing.TB) backend.Backend {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "leases.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}},
	{"nats", func(t testing.TB) backend.Backend {
		s, err := natskv.Open(t.Context(), natstest.Alone(t).ClientURL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}},
}

// onEach runs a test on each store, beside the others.
func onEach(t *testing.T, test func(t *testing.T, b backend.Backend)) {
	for _, store := range stores {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			test(t, store.open(t))
		})
	}
}

func mustOpen(t testing.TB, b backend.Backend, opts ...timeline.Option) *timeline.Store {
	t.Helper()
	s, err := timeline.New(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustManage(t testing.TB, b backend.Backend, opts ...lease.Option) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustAppend(t testing.TB, s *timeline.Store, entries ...timeline.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), entries...); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t testing.TB, s *timeline.Store, runID string) []timeline.Entry {
	t.Helper()
	entries, total, err := s.Read(t.Context(), "ns", runID, 0, timeline.MaxRead)
	if err != nil || total < len(entries) {
		t.Fatalf("%d entries of %d, error %v", len(entries), total, err)
	}
	return entries
}

// types are those of entries, with what tells them apart.
func types(entries []timeline.Entry) (all []string) {
	for _, e := range entries {
		all = append(all, e.Type+" "+e.Status)
	}
	return all
}
