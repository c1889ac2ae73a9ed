package natskv

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// How servers elect (raft.go in their sources): a follower that has not heard from its leader for
// this long, or up to twice as long, may make itself the new one.
const electionTimeout = 4 * time.Second

// clockMargin is more than any process's monotonic clock goes wrong, or a message is late, within
// electionTimeout.
const clockMargin = 500 * time.Millisecond

// window is for how long after a write that a majority took nobody but the server that led then can
// lead.
const window = electionTimeout - clockMargin

// deposedFor is more than the time for which a server goes on believing that it leads after the
// others have elected another: it looks every ten seconds whether it has heard from a majority in
// the last ten.
const deposedFor = 30 * time.Second

// leader tells whether whoever answers for a replicated stream still leads it.
//
// A leader that is cut off from the others does not notice for ten to twenty seconds. Until then it
// answers reads, and refuses writes, by what it knows, while the others elect a new one and go on.
// When the cut heals it hears from them, and is still not at once aware of what that means, so that
// what it says about itself is no proof. Only a write that it takes is, since that needs a
// majority; and two may answer at once, so that it must also be known whose answer it was.
//
// So there are two ways to be sure. One is to have a write of no consequence, the fence, compared
// with the very number that was read: what takes it leads, and agrees. That is good for one answer.
// The other is good for all answers until window after a write, any write, was sent that has been
// taken: the stream's information names a leader that has this write, and it has led for so long
// that none before it can still believe that it leads.
//
// An election that begins although the leader is well, by a server that alone is cut off from it,
// is not seen for up to a second, the time of a heartbeat. Nor is it noticed if a server that was
// stopped for longer than deposedFor, and asked just as it goes on, answers before it has heard
// from the others.
type leader struct {
	info  func(ctx context.Context) (*jetstream.StreamInfo, error)
	fence func(ctx context.Context, name string, number uint64) (written, error) // backend.ErrConflict if it is another number

	asking turn
	fences [fenceLanes]lane

	mu         sync.Mutex
	replicated bool
	latest     written
	until      time.Time // up to here all answers are the leader's
	young      time.Time // up to here another may believe that it leads
}

// fenceLanes is how many fences are under way at once, at most.
const fenceLanes = 64

// lane is where the fences of some names go one after the other: the server does not compare two at
// once that are about the same name.
type lane struct {
	turn
	name   string // of the last fence
	number uint64
}

// turn is for what one does at a time, for all who wait: what it comes to is good for all who have
// come before it was begun.
type turn struct {
	token chan struct{} // holds one; who has it uses what follows
	begun time.Time     // the last that came to an end
	err   error
}

func newTurn() turn {
	t := turn{token: make(chan struct{}, 1)}
	t.token <- struct{}{}
	return t
}

func (t *turn) take(ctx context.Context) error {
	select {
	case <-t.token:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	}
}

func (t *turn) give() { t.token <- struct{}{} }

// note notes what was done, unless it came to nothing for a reason that is the caller's alone, and
// reports whether it did.
func (t *turn) note(ctx context.Context, begun time.Time, err error) bool {
	if err != nil && ctx.Err() != nil {
		return false
	}
	t.begun, t.err = begun, err
	return true
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
		asking:     newTurn(),
		replicated: replicated,
	}
	for i := range l.fences {
		l.fences[i].turn = newTurn()
	}
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

// vouch is to be called after an answer has come, to what was asked then, that number is the last
// under name. It returns backend.ErrConflict if it is not, and another error unless the answer is
// certain to be the leader's.
func (l *leader) vouch(ctx context.Context, asked time.Time, name string, number uint64) error {
	if l.vouched() {
		return nil
	}
	if !l.isYoung() {
		if err := l.asking.take(ctx); err != nil {
			return err
		}
		release := sync.OnceFunc(l.asking.give)
		defer release()
		if l.asking.err != nil && !l.asking.begun.Before(asked) {
			return l.asking.err
		}
		if !l.vouched() && !l.isYoung() { // else another has asked
			begun := time.Now()
			err := l.ask(ctx)
			l.asking.note(ctx, begun, err)
			if err != nil {
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
	err := l.compare(ctx, asked, name, number)
	if errors.Is(err, errFull) { // so nobody writes, and what the leader says about itself has to do
		return l.ask(ctx)
	}
	return err
}

var laneSeed = maphash.MakeSeed()

// compare has number compared by a fence that was sent after asked.
func (l *leader) compare(ctx context.Context, asked time.Time, name string, number uint64) error {
	lane := &l.fences[maphash.String(laneSeed, name)%fenceLanes]
	if err := lane.take(ctx); err != nil {
		return err
	}
	defer lane.give()
	same := lane.name == name && lane.number == number
	away := lane.err != nil && !errors.Is(lane.err, backend.ErrConflict) // for any name
	if (same || away) && !lane.begun.Before(asked) {
		return lane.err
	}
	begun := time.Now()
	w, err := l.fence(ctx, name, number)
	if err == nil {
		l.took(w)
	}
	if lane.note(ctx, begun, err) {
		lane.name, lane.number = name, number
	}
	return err
}

// ask looks whether all answers can be vouched for, for a while. An error says that there is no
// leader.
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

// leads is for how long the leader has led, by its own clock. Servers before 2.12 do not tell; then
// it is 0.
func leads(info *jetstream.StreamInfo) time.Duration {
	if since := info.Cluster.LeaderSince; since != nil {
		return info.TimeStamp.Sub(*since)
	}
	return 0
}

// silence is for how long the leader has not heard from a majority, itself included. That it has
// heard may mean that it is told of another.
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
