package proof

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/internal/natstest"
)

// whole is a store that can do all that a store may.
type whole interface {
	backend.Backend
	backend.Lister
	backend.Watcher
	backend.PrefixWatcher
	backend.Journal
}

// deployment is a store as one host or several have it. They end with the test.
type deployment struct {
	name   string
	open   func(t testing.TB) []whole // the same data, through a handle for each host
	pushes bool                       // each host is told at once of what the others do
}

var twoOnOneFile = deployment{"sqlite, two on one file", sqliteFile(2), false}

var deployments = []deployment{
	{"memory", func(testing.TB) []whole { return []whole{memory.New()} }, true},
	{"sqlite", sqliteFile(1), true},
	twoOnOneFile,
	{"nats", natsServer(1), true},
	{"nats, two connections", natsServer(2), true},
	{"nats, a cluster of three", natsCluster, true},
}

// ends are two of the hosts, which are one if there are no two.
func (d *deployment) ends(t testing.TB) (here, there whole) {
	all := d.open(t)
	return all[0], all[len(all)-1]
}

func sqliteFile(handles int) func(t testing.TB) []whole {
	return func(t testing.TB) (all []whole) {
		path := filepath.Join(t.TempDir(), "leases.db")
		for range handles {
			s, err := sqlite.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			all = append(all, s)
		}
		return all
	}
}

func natsServer(connections int) func(t testing.TB) []whole {
	return func(t testing.TB) []whole { return natsHandles(t, natstest.Alone(t).ClientURL(), connections) }
}

func natsCluster(t testing.TB) []whole {
	all := natsHandles(t, natstest.StartCluster(t).URL(), 3, natskv.WithReplicas(3))
	for i, s := range all {
		all[i] = natstest.Patient{Store: s}
	}
	return all
}

func natsHandles(t testing.TB, url string, connections int, opts ...natskv.Option) (all []whole) {
	t.Helper()
	for range connections {
		s, err := natskv.Open(t.Context(), url, opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		all = append(all, s)
	}
	return all
}

func managerOn(t testing.TB, b backend.Backend, opts ...lease.Option) *lease.Manager {
	t.Helper()
	m, err := lease.NewManager(b, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func mustAcquire(t testing.TB, m *lease.Manager, key string, ttl time.Duration) lease.Lease {
	t.Helper()
	l, acquired, err := m.Acquire(t.Context(), key, &lease.AcquireOptions{TTL: ttl})
	if err != nil || !acquired {
		t.Fatalf("acquire %q: acquired is %t, error %v", key, acquired, err)
	}
	return l
}
