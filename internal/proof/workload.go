package proof

import (
	"context"
	"encoding/json"
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

// Workload is what clients do to leases, and what is done to them. The seed decides all but how the clients interleave.
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

// Do runs the workload on the store behind r, and then looks at every key once more, when the bad days are over.
func (w Workload) Do(r *Recorder) (*History, error) {
	x := &run{Workload: w, clock: leasetest.NewClock(epoch), recorder: r, faulty: conformance.NewFaulty(r, w.Faults, w.Seed), seen: map[string][]string{}}
	var clients sync.WaitGroup
	for c := range w.Clients {
		m, err := x.manager(x.faulty)
		if err != nil {
			return nil, err
		}
		clients.Go(func() { x.client(c, m) })
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
		if i > 0 && h.Writes[i-1].Key == now.Key && h.Writes[i-1].Record.State == lease.StateInProgress && h.Writes[i-1].Record.LeaseID != now.Record.LeaseID {
			h.Takeovers++
		}
	}
	return h, nil
}

func key(k int) string { return fmt.Sprintf("k%d", k) }

// manager keeps records for as long as the workload may last by its clock.
func (x *run) manager(b backend.Backend) (*lease.Manager, error) {
	return lease.NewManager(b, lease.WithClock(x.clock), lease.WithRetention(10*365*24*time.Hour))
}

// client does what a seeded source of chance says.
func (x *run) client(c int, m *lease.Manager) {
	chance := rand.New(rand.NewPCG(x.Seed, uint64(c)+1))
	mine := map[string]string{} // lease ids
	for range x.Each {
		k := key(chance.IntN(x.Keys))
		if chance.IntN(5) == 0 {
			x.clock.Advance(time.Duration(chance.IntN(20)) * time.Second)
		}
		if x.Disturb != nil && chance.IntN(25) == 0 {
			x.Disturb(x.faulty, x.recorder)
		}
		o := Operation{Client: c, Key: k, TTL: time.Duration(1+chance.IntN(20)) * time.Second}
		id := mine[k]
		if chance.IntN(8) == 0 {
			id = x.anyID(k, chance) // somebody else's, or an old one
		}
		verbs := []Verb{Acquire, Acquire, Status}
		if id != "" {
			verbs = []Verb{Extend, Extend, Extend, Complete, Fail, Cancel, Acquire, Status}
		}
		switch o.Verb = verbs[chance.IntN(len(verbs))]; o.Verb {
		case Acquire:
			o.Retry, o.Once = chance.IntN(2) == 0, chance.IntN(6) == 0
		case Extend:
			o.LeaseID = id
		case Complete, Fail, Cancel:
			// Few ends, so that the same end comes twice.
			o.LeaseID, o.Mark = id, fmt.Sprint("end", chance.IntN(2))
		}
		o = x.do(m, o, x.hurry(chance))
		if o.Acquired {
			mine[k] = o.Lease.LeaseID
			x.show(k, o.Lease.LeaseID)
		}
	}
}

func (x *run) hurry(chance *rand.Rand) time.Duration {
	if x.Hurry > 0 && chance.IntN(6) == 0 {
		return time.Duration(chance.Int64N(int64(x.Hurry)))
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
	ctx := context.WithValue(context.Background(), operationKey{}, o.Number)
	if len(within) > 0 && within[0] > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, within[0])
		defer cancel()
	}
	o.Called, o.Since = x.order.Add(1), x.clock.Now()
	switch o.Verb {
	case Acquire:
		o.Lease, o.Acquired, o.Err = m.Acquire(ctx, o.Key, lease.AcquireOptions{TTL: o.TTL, RetryFailed: o.Retry, AtMostOnce: o.Once})
	case Extend:
		o.Lease, o.Err = m.Extend(ctx, o.Key, o.LeaseID, o.TTL)
	case Complete:
		o.Lease, o.Err = m.Complete(ctx, o.Key, o.LeaseID, lease.Completion{Result: json.RawMessage(fmt.Sprintf("%q", o.Mark)), ResultHash: o.Mark})
	case Fail:
		o.Lease, o.Err = m.Fail(ctx, o.Key, o.LeaseID, lease.Failure{Code: o.Mark})
	case Cancel:
		o.Lease, o.Err = m.Cancel(ctx, o.Key, o.LeaseID, o.Mark)
		o.Mark = "canceled:" + o.Mark
	case Status:
		o.Lease, o.Err = m.Status(ctx, o.Key)
	}
	o.Until, o.Returned = x.clock.Now(), x.order.Add(1)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ops = append(x.ops, o)
	return o
}
