package natskv

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestSilence(t *testing.T) {
	heard := func(ago time.Duration) *jetstream.PeerInfo { return &jetstream.PeerInfo{Active: ago} }
	never, offline := heard(0), &jetstream.PeerInfo{Active: time.Second, Offline: true}
	for _, tt := range []struct {
		name    string
		cluster *jetstream.ClusterInfo
		want    time.Duration
	}{
		{"no cluster", nil, 0},
		{"no replicas", &jetstream.ClusterInfo{}, 0},
		{"three, of which the better of two counts", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(9 * time.Second), heard(time.Second)}}, time.Second},
		{"three, of which one was never heard of", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{never, heard(2 * time.Second)}}, 2 * time.Second},
		{"three, all alone", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{never, offline}}, electionTimeout},
		{"five, of which two others are needed", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(3 * time.Second), heard(1 * time.Second), heard(2 * time.Second), heard(4 * time.Second)}}, 2 * time.Second},
		{"two, which are both needed", &jetstream.ClusterInfo{Replicas: []*jetstream.PeerInfo{heard(5 * time.Second)}}, 5 * time.Second},
	} {
		if got := silence(tt.cluster); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
