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

// newBucket is a name that no other test has.
func newBucket() natskv.Option { return natskv.WithBucket(fmt.Sprintf("test_%d", buckets.Add(1))) }

func TestConformance(t *testing.T) {
	url := alone(t).ClientURL()
	conformance.Run(t, func(t *testing.T) backend.Backend { return open(t, url, newBucket()) })
}

func TestConformanceOfACluster(t *testing.T) {
	url := startCluster(t).url()
	conformance.Run(t, func(t *testing.T) backend.Backend { return open(t, url, newBucket(), natskv.WithReplicas(3)) })
}
