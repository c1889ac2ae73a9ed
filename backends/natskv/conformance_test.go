package natskv_test

import (
	"flag"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/internal/natstest"
)

var buckets atomic.Int64

// newBucket returns a name that no other test has.
func newBucket() string { return fmt.Sprintf("test_%d", buckets.Add(1)) }

// suite runs the conformance suite on a running server or cluster. crash stops it and starts it
// again. used makes the store that is tested of the one that was opened.
func suite(t *testing.T, url string, crash func(bucket string), used func(*natskv.Store) backend.Backend, how []conformance.Option, opts ...natskv.Option) {
	t.Helper()
	bucketOf := map[backend.Backend]string{}
	bound := func(t *testing.T, bucket string) backend.Backend {
		t.Helper()
		s := used(open(t, url, append(opts, natskv.WithBucket(bucket))...))
		bucketOf[s] = bucket
		return s
	}
	conformance.Run(t,
		func(t *testing.T) backend.Backend { return bound(t, newBucket()) },
		append(how,
			conformance.WithSecondHandle(func(t *testing.T, first backend.Backend) backend.Backend { return bound(t, bucketOf[first]) }),
			conformance.WithReopen(func(t *testing.T, crashed backend.Backend) backend.Backend {
				crash(bucketOf[crashed])
				return bound(t, bucketOf[crashed])
			}),
		)...,
	)
}

// TestConformance looks at half of the cases unless -rapid.checks is given.
func TestConformance(t *testing.T) {
	fewerCases(t, "50")
	o := natstest.Options(t.TempDir())
	o.Port = natstest.FreePort(t)
	server := natstest.Start(t, o)
	bare := func(s *natskv.Store) backend.Backend { return s }
	suite(t, server.ClientURL(), func(string) {
		natstest.Stop(server)
		server = natstest.Start(t, o)
	}, bare, nil)
}

// fewerCases sets how many cases a test looks at, unless the flag is given.
func fewerCases(t *testing.T, checks string) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		f.Value.Set(checks)
		t.Cleanup(func() { f.Value.Set(f.DefValue) })
	}
}

// TestConformanceOfACluster looks at a seventh of the cases unless -rapid.checks is given: a write
// takes four times as long. The cluster may elect meanwhile.
func TestConformanceOfACluster(t *testing.T) {
	t.Parallel()
	fewerCases(t, "15")
	c := natstest.StartCluster(t)
	patient := func(s *natskv.Store) backend.Backend { return natstest.Patient{Store: s} }
	suite(t, c.URL(), func(bucket string) {
		i := c.Leader(t, bucket)
		natstest.Stop(c.Servers[i])
		c.Leader(t, bucket)
		c.Restart(t, i)
	}, patient, []conformance.Option{conformance.WithPatience(20 * time.Second)}, natskv.WithReplicas(3))
}
