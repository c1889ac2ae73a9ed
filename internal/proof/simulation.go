package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// Simulation is a few hosts that all want to do the same few pieces of work with lease.Do, on a day
// on which much goes wrong. The store loses requests and answers, delays them, refuses what it has
// applied, and goes away. Clocks differ, and timers are late. Functions are slow, fail, panic, or
// do not heed their context. Callers give up, and holders vanish. Operators extend, release, cancel
// and forget leases by hand.
//
// It is to run in a synctest bubble, where days take no time. The seed decides all but the order of
// what happens at one instant.
type Simulation struct {
	Seed     uint64
	Careless bool // the hosts do not know that their clocks differ

	random *rand.Rand
	begun  time.Time
	calm   bool // the store has no bad day
	ledger *ledger
	faulty *conformance.Faulty
	away   []outage
	skew   time.Duration
	calls  atomic.Int64 // of the store

	mu     sync.Mutex
	stints []*stint
	told   []*call
	broken Broken // found while the day went on
	found  *judge // what the store tells of the day
	log    []note
}

type span struct{ from, to time.Duration }

// outage is when the store cannot be reached. Calls then fail soon, or hang until their contexts
// end.
type outage struct {
	span
	hangs bool
}

// note is a line of the log, formatted only if somebody reads it.
type note struct {
	at     time.Duration
	format string
	args   []any
}

// The keys of a simulation. They are few, so that all want the same.
const (
	onceKey  = "once"  // all who work on it say that it is at most once
	innerKey = "inner" // functions that hold another key work on it too
)

var outerKeys = []string{"k0", "k0", "k1", "k1", onceKey}

// Run runs the simulation and returns which promises were broken.
func (s *Simulation) Run() Broken {
	s.random = rand.New(rand.NewPCG(s.Seed, 1))
	s.begun, s.ledger = time.Now(), &ledger{Store: memory.New()}
	s.calm = s.random.IntN(4) == 0
	s.faulty = conformance.NewFaulty(s.ledger, s.faults(), s.Seed)
	for range s.random.IntN(4) {
		from := s.upTo(20 * time.Second)
		if o := (outage{span{from, from + s.upTo(8*time.Second)}, s.random.IntN(3) == 0}); !s.calm {
			s.away = append(s.away, o)
		}
	}
	if s.random.IntN(3) > 0 || s.Careless {
		s.skew = s.upTo(2 * time.Second)
	}
	var hosts sync.WaitGroup
	for i := range 2 + s.random.IntN(3) {
		h := s.host(i)
		hosts.Go(h.run)
	}
	hosts.Wait()
	s.faulty.Heal()
	time.Sleep(lateBy) // for goroutines that have been told to end at this instant
	last := s.calls.Load()
	time.Sleep(5 * time.Minute)
	if more := s.calls.Load() - last; more > 0 {
		s.broken.add("the store was called %d times after all had returned", more)
	}
	return append(s.broken, s.check()...)
}

func (s *Simulation) faults() conformance.Faults {
	most := s.upTo(3 * time.Second)
	if s.calm {
		return conformance.Faults{}
	}
	return conformance.Faults{
		Refused: 0.04, LostRequest: 0.04, LostAnswer: 0.06, Late: 0.05, Duplicate: 0.05, FalseConflict: 0.04,
		Delay: 0.3, MaxDelay: time.Millisecond + most,
	}
}

func (s *Simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(d) + 1))
}

func (s *Simulation) since() time.Duration { return time.Since(s.begun) }

func (s *Simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, note{s.since(), format, args})
}

// String is the history.
func (s *Simulation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "skew %v, the store is away %v, calm: %t\n", s.skew, s.away, s.calm)
	for _, n := range s.log {
		fmt.Fprintf(&b, "%14v  %s\n", n.at, fmt.Sprintf(n.format, n.args...))
	}
	for key, writes := range s.ledger.of() {
		for _, w := range writes {
			r := w.Record
			fmt.Fprintf(&b, "%s at %v by %+v: deleted %t, %s %s version %d token %d attempt %d failures %d until %v, code %q, retryable %t, checkpoint %s\n",
				key, w.At.Sub(s.begun), w.By, w.Deleted, r.State, short(r.LeaseID), r.Version, w.token(), r.Attempt, r.Failures,
				r.Deadline.Sub(s.begun), r.ErrorCode, r.Retryable, r.Checkpoint)
		}
	}
	return b.String()
}

// host is a process with a clock and a Manager of its own.
type host struct {
	*Simulation
	name   string
	random *rand.Rand
	m      *lease.Manager
}

func (s *Simulation) host(i int) *host {
	h := &host{Simulation: s, name: fmt.Sprint("host", i), random: rand.New(rand.NewPCG(s.Seed, uint64(i)+2))}
	offset := time.Duration(0)
	if s.skew > 0 {
		offset = time.Duration(h.random.Int64N(int64(s.skew)+1)) - s.skew/2
	}
	store := backend.Backend(outages{s.faulty, s})
	if h.random.IntN(2) == 0 {
		store = pushing{outages{s.faulty, s}, h}
	}
	known := s.skew
	if s.Careless {
		known = 0
	}
	m, err := lease.NewManager(store, lease.WithClock(&skewed{offset: offset, host: h}), lease.WithClockSkew(known), lease.WithObserver(h.observe))
	if err != nil {
		panic(err)
	}
	h.m = m
	h.note("%s is %v ahead", h.name, offset)
	return h
}

// observe is called some time after the event, by a goroutine of the Manager.
func (h *host) observe(e lease.Event) {
	h.note("%s %s: %s, version %d, attempt %d, %v", h.name, e.Key, e.Kind, e.Version, e.Attempt, e.Err)
}

func (h *host) chance(n int) bool { return h.random.IntN(n) == 0 }

func (h *host) upTo(d time.Duration) time.Duration {
	return time.Duration(h.random.Int64N(int64(d) + 1))
}

// run does work in one or two goroutines. What they will do is drawn before they begin, so that the
// seed decides it.
func (h *host) run() {
	var plans [][]*job
	for g := range 1 + h.random.IntN(2) {
		var plan []*job
		for n := range 1 + h.random.IntN(2) {
			plan = append(plan, h.job(fmt.Sprintf("%s.%d.%d", h.name, g, n), outerKeys[h.random.IntN(len(outerKeys))]))
		}
		plans = append(plans, plan)
	}
	var all sync.WaitGroup
	for _, plan := range plans {
		all.Go(func() {
			for _, j := range plan {
				time.Sleep(j.after)
				j.do(context.Background(), h)
			}
		})
	}
	all.Wait()
}

// skewed is a clock that is off, and whose timers are late, as those of a busy machine are.
type skewed struct {
	offset time.Duration
	host   *host
}

// lateBy is the most that a timer is late.
const lateBy = 20 * time.Millisecond

func (c *skewed) Now() time.Time { return time.Now().Add(c.offset) }

func (c *skewed) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.host.mu.Lock()
	late := c.host.upTo(lateBy)
	c.host.mu.Unlock()
	return time.AfterFunc(d+late, f).Stop
}

// outages is a store that is away at times: calls are not sent then.
type outages struct {
	backend.Backend
	s *Simulation
}

func (o outages) reach(ctx context.Context) error {
	o.s.calls.Add(1)
	now := o.s.since()
	for _, a := range o.s.away {
		if now < a.from || a.to <= now {
			continue
		}
		refused := time.After(500 * time.Millisecond)
		if a.hangs {
			refused = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-refused:
			return fmt.Errorf("%w: away", backend.ErrUnavailable)
		}
	}
	return nil
}

func (o outages) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := o.reach(ctx); err != nil {
		return backend.Entry{}, err
	}
	return o.Backend.Get(ctx, key)
}

func (o outages) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := o.reach(ctx); err != nil {
		return 0, err
	}
	return o.Backend.CompareAndSet(ctx, key, expected, value, keep)
}

// pushing watches too, late, and not for ever.
type pushing struct {
	outages
	host *host
}

func (p pushing) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if err := p.reach(ctx); err != nil {
		return nil, err
	}
	p.host.mu.Lock()
	lag, lasts := p.host.upTo(300*time.Millisecond), time.Second+p.host.upTo(10*time.Second)
	p.host.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lasts)
	from, err := p.s.ledger.Watch(ctx, key)
	if err != nil {
		cancel()
		return nil, err
	}
	to := make(chan backend.Entry)
	go func() {
		defer cancel()
		defer close(to)
		for e := range from {
			select {
			case <-time.After(lag):
			case <-ctx.Done():
				return
			}
			select {
			case to <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to, nil
}
