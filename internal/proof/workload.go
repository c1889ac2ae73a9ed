package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/leasetest"
)

// Workload is what clients do to leases, and what is done to them. The seed decides all but how the
// clients interleave.
type Workload struct {
	Seed    uint64
	Clients int
	Keys    int
	Each    int // operations of each client
	Faults  conformance.Faults
	Hurry   time.Duration // some operations are given no more time than this; 0: none are

	// Disturb, if set, is called from time to time while the clients are at work.
	Disturb func(f *conformance.Faulty, r *Recorder)
}

// History is what came of it.
type History struct {
	Operations []Operation
	Writes     []Write
	Injected   map[string]int
	Takeovers  int
	Manager    *lease.Manager // without faults, and at the clock's last time
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// run is a workload under way.
type run struct {
	Workload
	clock    *leasetest.Clock
	faulty   *conformance.Faulty
	recorder *Recorder
	order    atomic.Int64
	number   atomic.Int64

	mu   sync.Mutex
	ops  []Operation
	seen map[string][]string // lease ids that others have seen, of each key
}

// Do runs the workload on the store behind r, and then looks at every key once more, when the bad
// days are over.
func (w Workload) Do(r *Recorder) (*History, error) {
	x := &run{
		Workload: w, clock: leasetest.NewClock(epoch), recorder: r,
		faulty: conformance.NewFaulty(r, w.Faults, w.Seed), seen: map[string][]string{},
	}
	var clients sync.WaitGroup
	for c := range w.Clients {
		m, err := x.manager(x.faulty)
		if err != nil {
			return nil, err
		}
		clients.Go(func() { newClient(x, c, m).work() })
	}
	clients.Wait()
	x.faulty.Heal()
	r.underWay.Wait()

	m, err := x.manager(r)
	if err != nil {
		return nil, err
	}
	for k := range w.Keys {
		x.do(m, Operation{Client: w.Clients, Verb: Status, Key: key(k)})
	}
	h := &History{Operations: x.ops, Writes: r.Writes(), Injected: x.faulty.Injected(), Manager: m}
	for i, now := range h.Writes {
		if i > 0 && h.Writes[i-1].Key == now.Key && h.Writes[i-1].Record.State == inProgress && h.Writes[i-1].Record.LeaseID != now.Record.LeaseID {
			h.Takeovers++
		}
	}
	return h, nil
}

func key(k int) string { return fmt.Sprintf("k%d", k) }

// manager keeps records for as long as the workload may last by its clock, unless a lease has a
// retention of its own.
func (x *run) manager(b backend.Backend) (*lease.Manager, error) {
	return lease.NewManager(b, lease.WithClock(x.clock), lease.WithRetention(10*365*24*time.Hour))
}

// client does what a seeded source of chance says.
type client struct {
	*run
	number int
	m      *lease.Manager
	random *rand.Rand
	mine   map[string]string    // its last lease id of each key
	asked  map[string]Operation // its last acquire of each key, to be repeated
	ended  map[string]Operation // its last end of each key, to be repeated
}

func newClient(x *run, number int, m *lease.Manager) *client {
	return &client{
		run: x, number: number, m: m, random: rand.New(rand.NewPCG(x.Seed, uint64(number)+1)),
		mine: map[string]string{}, asked: map[string]Operation{}, ended: map[string]Operation{},
	}
}

func (c *client) chance(n int) bool { return c.random.IntN(n) == 0 }

// retention is that of some leases. Now and then so much time passes at once.
const retention = 2 * time.Minute

func (c *client) work() {
	for range c.Each {
		switch {
		case c.chance(60):
			c.clock.Advance(retention)
		case c.chance(5):
			c.clock.Advance(time.Duration(c.random.IntN(20)) * time.Second)
		}
		if c.Disturb != nil && c.chance(25) {
			c.Disturb(c.faulty, c.recorder)
		}
		o := c.do(c.m, c.next(c.random.IntN(c.Keys)), c.hurry())
		if o.Acquired {
			c.mine[o.Key] = o.Lease.LeaseID
			c.show(o.Key, o.Lease.LeaseID)
		}
		switch o.Verb {
		case Acquire:
			c.asked[o.Key] = o.again()
		case Release, Complete, Fail, Cancel:
			c.ended[o.Key] = o.again()
		}
	}
}

// again is the same call once more.
func (o Operation) again() Operation {
	return Operation{
		Client: o.Client, Verb: o.Verb, Key: o.Key, Nonce: o.Nonce, Input: o.Input, Retention: o.Retention,
		Retry: o.Retry, Once: o.Once, Replace: o.Replace, LeaseID: o.LeaseID, TTL: o.TTL, Metadata: o.Metadata,
		Mark: o.Mark, Retryable: o.Retryable, Err: o.Err,
	}
}

// next is what the client does to a key.
func (c *client) next(k int) Operation {
	key := key(k)
	if last, ok := c.asked[key]; ok && last.Nonce != "" && c.chance(4) || errors.Is(last.Err, lease.ErrUnknownOutcome) && c.chance(2) {
		return last // without a nonce it is a call of its own
	}
	if last, ok := c.ended[key]; ok && (c.chance(6) || errors.Is(last.Err, lease.ErrUnknownOutcome) && c.chance(2)) {
		return last
	}
	id := c.mine[key]
	if c.chance(8) {
		id = c.anyID(key, c.random) // somebody else's, or an old one
	}
	verbs := []Verb{Acquire, Acquire, Status}
	if id != "" {
		verbs = []Verb{Extend, Extend, Extend, Release, Complete, Fail, Cancel, Acquire, Status}
	}
	o := Operation{Client: c.number, Verb: verbs[c.random.IntN(len(verbs))], Key: key}
	switch o.Verb {
	case Acquire:
		c.acquire(&o, k)
	case Extend:
		o.LeaseID = id
		c.extend(&o)
	case Release:
		o.LeaseID = id
	case Complete, Fail, Cancel:
		// Few ends, so that the same end comes twice.
		o.LeaseID, o.Mark = id, fmt.Sprint("end", c.random.IntN(2))
		o.Retryable = o.Verb == Fail && !c.chance(3)
		if o.Verb == Cancel {
			o.Mark = "canceled:" + o.Mark
		}
	}
	return o
}

func (c *client) ttl() time.Duration { return time.Duration(1+c.random.IntN(20)) * time.Second }

// acquire fills in what is asked for. The key says of what there is any: k0 of neither input nor
// retention, k1 of input, k2 of both, and so on.
func (c *client) acquire(o *Operation, k int) {
	o.TTL, o.Retry, o.Once = c.ttl(), c.chance(3), c.chance(6)
	if !c.chance(4) {
		o.Nonce = fmt.Sprintf("nonce %d.%d", c.number, c.random.Uint32())
	}
	if c.chance(4) {
		o.Metadata = fmt.Sprintf(`{"n":%d}`, c.random.IntN(100))
	}
	if k%3 > 0 && !c.chance(4) {
		o.Input = fmt.Sprint("input", c.random.IntN(3))
		o.Replace = !o.Once && c.chance(3)
	}
	if k%3 > 1 && !c.chance(3) {
		o.Retention = retention
	}
}

func (c *client) extend(o *Operation) {
	if !c.chance(4) {
		o.TTL = c.ttl()
	}
	if c.chance(6) {
		o.Metadata = fmt.Sprintf(`{"n":%d}`, c.random.IntN(100))
	}
	if c.chance(2) {
		o.Checkpoint = fmt.Sprint(c.random.IntN(1000))
		if !c.chance(3) {
			o.Seq = uint64(1 + c.random.IntN(3))
		}
	}
}

func (c *client) hurry() time.Duration {
	if c.Hurry > 0 && c.chance(6) {
		return time.Duration(c.random.Int64N(int64(c.Hurry)))
	}
	return 0
}

func (x *run) show(k, id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen[k] = append(x.seen[k], id)
}

func (x *run) anyID(k string, chance *rand.Rand) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if all := x.seen[k]; len(all) > 0 {
		return all[chance.IntN(len(all))]
	}
	return ""
}

// do runs one operation and writes it down.
func (x *run) do(m *lease.Manager, o Operation, within ...time.Duration) Operation {
	o.Number = int(x.number.Add(1))
	ctx := asking(context.Background(), Asked{Operation: o.Number, Retry: o.Retry, Replace: o.Replace})
	if len(within) > 0 && within[0] > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within[0])
		defer cancel()
	}
	o.Called, o.Since = x.order.Add(1), x.clock.Now()
	o.call(ctx, m)
	o.Until, o.Returned = x.clock.Now(), x.order.Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ops = append(x.ops, o)
	return o
}

// call calls the method of m that o is about.
func (o *Operation) call(ctx context.Context, m *lease.Manager) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	switch o.Verb {
	case Acquire:
		o.Lease, o.Acquired, o.Err = m.Acquire(ctx, o.Key, &lease.AcquireOptions{
			TTL: o.TTL, Metadata: raw(o.Metadata), Nonce: o.Nonce, InputHash: o.Input, Retention: o.Retention,
			RetryFailed: o.Retry, AtMostOnce: o.Once, Replace: o.Replace,
		})
	case Extend:
		o.Lease, o.Err = m.Extend(ctx, o.Key, o.LeaseID, &lease.ExtendOptions{
			TTL: o.TTL, Metadata: raw(o.Metadata), Checkpoint: raw(o.Checkpoint), CheckpointSeq: o.Seq,
		})
	case Release:
		o.Lease, o.Err = m.Release(ctx, o.Key, o.LeaseID)
	case Complete:
		o.Lease, o.Err = m.Complete(ctx, o.Key, o.LeaseID, lease.Completion{Result: o.Mark, ResultHash: o.Mark})
	case Fail:
		o.Lease, o.Err = m.Fail(ctx, o.Key, o.LeaseID, lease.Failure{Code: o.Mark, Retryable: o.Retryable})
	case Cancel:
		o.Lease, o.Err = m.Cancel(ctx, o.Key, o.LeaseID, o.Mark[len("canceled:"):])
	case Status:
		o.Lease, o.Err = m.Status(ctx, o.Key)
	}
}
