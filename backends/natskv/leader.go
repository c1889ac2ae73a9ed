package natskv

import (
	"context"
	"errors"
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

// window is for how long after a write that a majority took nobody but the server that led then can lead.
const window = electionTimeout - clockMargin

// deposedFor is more than the time for which a server goes on believing that it leads after the others have elected another: it looks every ten seconds whether it has
// heard from a majority in the last ten.
const deposedFor = 30 * time.Second

// leader tells whether whoever answers for a replicated stream still leads it.
//
// A leader that is cut off from the others does not notice for ten to twenty seconds. Until then it answers reads, and refuses writes, by what it
// knows, while the others elect a new one and go on. When the cut heals it hears from them, and is still not at once aware of what that means, so that what it says about itself is
// no proof. Only a write that it takes is, since that needs a majority; and two may answer at once, so that it must also be known whose answer it was.
//
// So there are two ways to be sure. One is to have a write of no consequence, the fence, compared with the very number that was read: what takes it leads, and agrees. That is
// good for one answer. The other is good for all answers until window after a write, any write, was sent that has been taken: the stream's information names a leader that has this write, and
// it has led for so long that none before it can still believe that it leads.
//
// An election that begins although the leader is well, by a server that alone is cut off from it, is not seen for up to a second, the time of a heartbeat.
type leader struct {
	info  func(ctx context.Context) (*jetstream.StreamInfo, error)
	fence func(ctx context.Context, name string, number uint64) (written, error) // backend.ErrConflict if it is another number

	asking chan struct{} // holds one token; who has it asks

	mu         sync.Mutex
	replicated bool
	latest     written
	until      time.Time // up to here all answers are the leader's
	young      time.Time // up to here another may believe that it leads
}

// written is a write that was taken.
type written struct {
	sent   time.Time // or a moment before
	number uint64
}

func newLeader(s *Store, replicated bool) *leader {
	l := &leader{
		info:       func(ctx context.Context) (*jetstream.StreamInfo, error) { return s.stream.Info(ctx) },
		fence:      s.fence,
		asking:     make(chan struct{}, 1),
		replicated: replicated,
	}
	l.asking <- struct{}{}
	return l
}

// took is to be told of every write that was taken.
func (l *leader) took(w written) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.sent.After(l.latest.sent) {
		l.latest = w
	}
}

// vouch is to be called after an answer has come that number is the last under name. It returns backend.ErrConflict if it is not, and another error unless the answer is certain to be the leader's.
func (l *leader) vouch(ctx context.Context, name string, number uint64) error {
	if l.vouched() {
		return nil
	}
	if !l.isYoung() {
		select {
		case <-l.asking:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
		}
		release := sync.OnceFunc(func() { l.asking <- struct{}{} })
		defer release()
		if !l.vouched() && !l.isYoung() { // else another has asked
			if err := l.ask(ctx); err != nil {
				return err
			}
		}
		if l.vouched() {
			return nil
		}
		if l.isYoung() {
			release() // what one finds out is of no use to the next
		}
	}
	w, err := l.fence(ctx, name, number)
	switch {
	case err == nil:
		l.took(w)
	case errors.Is(err, errFull): // so nobody writes, and what the leader says about itself has to do
		return l.ask(ctx)
	}
	return err
}

// ask looks whether all answers can be vouched for, for a while. An error says that there is no leader.
func (l *leader) ask(ctx context.Context) error {
	l.mu.Lock()
	latest := l.latest
	l.mu.Unlock()
	asked := time.Now()
	info, err := l.info(ctx)
	if err != nil {
		return readFailed(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replicated = info.Cluster != nil && len(info.Cluster.Replicas) > 0
	switch {
	case !l.replicated:
		l.until = asked.Add(window)
	case silence(info.Cluster) >= window:
		return errNoMajority
	case info.State.LastSeq < latest.number: // it has led once
	default:
		l.young = asked.Add(deposedFor - leads(info))
		if !asked.Before(l.young) {
			l.until = latest.sent.Add(window) // which may have passed
		}
	}
	return nil
}

func (l *leader) vouched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.until)
}

func (l *leader) isYoung() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(l.young)
}

func (l *leader) isReplicated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.replicated
}

var errNoMajority = fmt.Errorf("%w: the server that leads the bucket has lost touch with the majority of its replicas: another may lead by now", backend.ErrUnavailable)

// errDeposed is the conflict of a write that should have had none.
var errDeposed = fmt.Errorf("%w: refused by a server that leads the bucket no more", backend.ErrUnavailable)

// leads is for how long the leader has led, by its own clock. Servers before 2.12 do not tell; then it is 0.
func leads(info *jetstream.StreamInfo) time.Duration {
	if since := info.Cluster.LeaderSince; since != nil {
		return info.TimeStamp.Sub(*since)
	}
	return 0
}

// silence is for how long the leader has not heard from a majority, itself included. That it has heard may mean that it is told of another.
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
