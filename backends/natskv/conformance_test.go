package natskv_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/conformance"
)

var buckets atomic.Int64

func newBucket() string { return fmt.Sprintf("test_%d", buckets.Add(1)) } // a name that no other test has

// suite runs the conformance suite on a running server or cluster, whose crash and restart is brought about by crash.
func suite(t *testing.T, url string, crash func(bucket string), opts ...natskv.Option) {
	t.Helper()
	bucketOf := map[backend.Backend]string{}
	bound := func(t *testing.T, bucket string) backend.Backend {
		t.Helper()
		s := open(t, url, append(opts, natskv.WithBucket(bucket))...)
		bucketOf[s] = bucket
		return s
	}
	conformance.Run(t,
		func(t *testing.T) backend.Backend { return bound(t, newBucket()) },
		conformance.WithSecondHandle(func(t *testing.T, first backend.Backend) backend.Backend { return bound(t, bucketOf[first]) }),
		conformance.WithReopen(func(t *testing.T, crashed backend.Backend) backend.Backend {
			crash(bucketOf[crashed])
			return bound(t, bucketOf[crashed])
		}),
	)
}

func TestConformance(t *testing.T) {
	o := options(t.TempDir())
	o.Port = freePort(t)
	server := start(t, o)
	suite(t, server.ClientURL(), func(string) {
		stop(server)
		server = start(t, o)
	})
}

func TestConformanceOfACluster(t *testing.T) {
	c := startCluster(t)
	suite(t, c.url(), func(bucket string) {
		i := c.leader(t, bucket)
		stop(c.servers[i])
		c.leader(t, bucket)
		c.restart(t, i)
	}, natskv.WithReplicas(3))
}
