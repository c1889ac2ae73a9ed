package natskv

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// How servers elect (raft.go in their sources): a follower that has not heard from its leader for this long, or up to twice as long,
// may make itself the new one.
const electionTimeout = 4 * time.Second

// clockMargin is more than any process's monotonic clock goes wrong, or a message is late, within electionTimeout.
const clockMargin = 500 * time.Millisecond

// leader tells whether whoever answers for a replicated stream still leads it.
//
// A leader that is cut off from the others does not notice for ten to twenty seconds. Until then it answers reads, and refuses writes, by what it
// knows, while the others elect a new one and go on. Only a write that it takes would show it, since that needs a majority. But no other
// leader can be elected until electionTimeout after a majority last heard from this one, and when that was it tells with the stream's information. So one such
// request vouches for all answers of the next seconds.
//
// An election that begins although the leader is well, by a server that alone is cut off from it, is not seen for up to a second, the time of a heartbeat.
type leader struct {
	stream jetstream.Stream

	asking chan struct{} // holds one token; who has it asks

	mu    sync.Mutex
	until time.Time // up to here no other leader can have been elected
}

func newLeader(stream jetstream.Stream) *leader {
	l := &leader{stream: stream, asking: make(chan struct{}, 1)}
	l.asking <- struct{}{}
	return l
}

// vouch is to be called after an answer has come, and returns an error unless it is certain to be the leader's.
func (l *leader) vouch(ctx context.Context) error {
	if l.vouched() {
		return nil
	}
	select {
	case <-l.asking:
		defer func() { l.asking <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	}
	if l.vouched() { // another has asked
		return nil
	}
	asked := time.Now()
	info, err := l.stream.Info(ctx)
	if err != nil {
		return readFailed(err)
	}
	until := asked.Add(electionTimeout - clockMargin - silence(info.Cluster))
	l.mu.Lock()
	l.until = until
	l.mu.Unlock()
	if !l.vouched() {
		return errNoMajority
	}
	return nil
}

func (l *leader) vouched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

var errNoMajority = fmt.Errorf("%w: the server that leads the bucket has lost touch with the majority of its replicas: another may lead by now", backend.ErrUnavailable)

// silence is for how long the leader has not heard from a majority, itself included.
func silence(c *jetstream.ClusterInfo) time.Duration {
	if c == nil || len(c.Replicas) == 0 {
		return 0
	}
	var since []time.Duration
	for _, r := range c.Replicas {
		if r.Active > 0 && !r.Offline { // 0 is never
			since = append(since, r.Active)
		}
	}
	others := (len(c.Replicas) + 1) / 2 // how many make a majority with the leader
	if len(since) < others {
		return electionTimeout
	}
	slices.Sort(since)
	return since[others-1]
}
