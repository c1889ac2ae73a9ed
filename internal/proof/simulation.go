package proof

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// Simulation is a few hosts that all want to do the same few pieces of work with lease.Do, on a day on which much goes wrong: the store loses requests and
// answers, delays them, and goes away; clocks differ; timers are late; functions are slow, fail, panic, or do not heed their context; callers give up; holders vanish.
// It is to run in a synctest bubble, where days take no time. The seed decides all but the order of what happens at one instant.
type Simulation struct {
	Seed     uint64
	Careless bool // the hosts do not know that their clocks differ

	random *rand.Rand
	begun  time.Time
	store  *memory.Store
	faulty *conformance.Faulty
	away   []outage
	skew   time.Duration

	mu     sync.Mutex
	stints []*stint
	told   []returned
	log    []string
}

type span struct{ from, to time.Duration }

// outage is when the store cannot be reached. Calls then fail soon, or hang until their contexts end.
type outage struct {
	span
	hangs bool
}

// stint is one run of a function under a lease, and how long its context was live meanwhile.
type stint struct {
	key     string
	attempt int
	token   uint64
	who     string
	live    span
	lost    bool // its context ended before it returned, because of the lease
	over    bool
}

// returned is what a call of Do returned.
type returned struct {
	key, result string
	err         error
}

// keys of a simulation; few, so that all want the same.
var simulatedKeys = []string{"k0", "k1"}

// Run runs the simulation and returns which promises were broken.
func (s *Simulation) Run() Broken {
	s.random = rand.New(rand.NewPCG(s.Seed, 1))
	s.begun, s.store = time.Now(), memory.New()
	s.faulty = conformance.NewFaulty(s.store, s.faults(), s.Seed)
	for range s.random.IntN(4) {
		from := s.upTo(20 * time.Second)
		s.away = append(s.away, outage{span{from, from + s.upTo(8*time.Second)}, s.random.IntN(3) == 0})
	}
	if s.random.IntN(3) > 0 {
		s.skew = s.upTo(2 * time.Second)
	}
	var hosts sync.WaitGroup
	for i := range 2 + s.random.IntN(3) {
		h := s.host(i)
		hosts.Go(h.run)
	}
	hosts.Wait()
	s.faulty.Heal()
	return s.check()
}

// faults are none on some days.
func (s *Simulation) faults() conformance.Faults {
	if s.random.IntN(5) == 0 {
		return conformance.Faults{}
	}
	return conformance.Faults{
		Refused: 0.04, LostRequest: 0.04, LostAnswer: 0.06, Late: 0.05, Duplicate: 0.05, Delay: 0.3, MaxDelay: time.Millisecond + s.upTo(3*time.Second),
	}
}

func (s *Simulation) upTo(d time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(d) + 1))
}

func (s *Simulation) since() time.Duration { return time.Since(s.begun) }

func (s *Simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%10v  ", s.since())+fmt.Sprintf(format, args...))
}

// check looks at what happened. A function whose context ended with its lease must have stopped being live before the next one began, by the simulated
// clock; one that returned, or whose caller was gone, at the latest then.
func (s *Simulation) check() Broken {
	var b Broken
	slices.SortStableFunc(s.stints, func(x, y *stint) int { return int(x.live.from - y.live.from) })
	last := map[string]*stint{}
	seen := map[string]string{}
	for _, now := range s.stints {
		if before := last[now.key]; before != nil {
			if now.live.from < before.live.to || before.lost && now.live.from == before.live.to {
				b.add("%s: two functions with a live context: %s (attempt %d) from %v to %v, %s (attempt %d) from %v",
					now.key, before.who, before.attempt, before.live.from, before.live.to, now.who, now.attempt, now.live.from)
			}
			if now.token <= before.token {
				b.add("%s: token %d after token %d", now.key, now.token, before.token)
			}
		}
		id := fmt.Sprint(now.key, " attempt ", now.attempt)
		if other := seen[id]; other != "" {
			b.add("%s was run twice: by %s and %s", id, other, now.who)
		}
		last[now.key], seen[id] = now, now.who
	}
	m, err := lease.NewManager(s.store)
	if err != nil {
		panic(err)
	}
	for _, key := range simulatedKeys {
		l, err := m.Result(context.Background(), key)
		if err != nil {
			b.add("%s: %v", key, err)
		}
		for _, t := range s.told {
			if t.key == key && t.err == nil && string(l.Result) != fmt.Sprintf("%q", t.result) {
				b.add("%s: somebody was told %q, and it is %s with %s", key, t.result, l.State, l.Result)
			}
		}
	}
	return b
}

// String is the history.
func (s *Simulation) String() string {
	return fmt.Sprintf("skew %v, the store is away %v\n%s", s.skew, s.away, strings.Join(s.log, "\n"))
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

func (h *host) observe(e lease.Event) {
	h.note("%s %s: %s, version %d, attempt %d, %v", h.name, e.Key, e.Kind, e.Version, e.Attempt, e.Err)
}

func (h *host) chance(n int) bool { return h.random.IntN(n) == 0 }

func (h *host) upTo(d time.Duration) time.Duration {
	return time.Duration(h.random.Int64N(int64(d) + 1))
}

// run does work in one or two goroutines. What they will do is drawn before they begin, so that the seed decides it.
func (h *host) run() {
	var plans [][]job
	for g := range 1 + h.random.IntN(2) {
		var plan []job
		for n := range 1 + h.random.IntN(2) {
			plan = append(plan, h.job(fmt.Sprintf("%s.%d.%d", h.name, g, n)))
		}
		plans = append(plans, plan)
	}
	var all sync.WaitGroup
	for _, plan := range plans {
		all.Go(func() {
			for _, j := range plan {
				time.Sleep(j.after)
				j.do(h)
			}
		})
	}
	all.Wait()
}

// job is one call of Do, and what its function will do.
type job struct {
	who, key  string
	after     time.Duration
	opt       []lease.DoOption
	ttl       time.Duration
	takes     time.Duration
	heedless  bool // it does not stop when its context ends
	end       string
	cancelled time.Duration // when the caller gives up; 0: never
	extend    time.Duration // it extends the lease itself by that; 0: not
	progress  bool
	vanish    bool // it acquires, and is never heard of again
}

func (h *host) job(who string) job {
	j := job{who: who, key: simulatedKeys[h.random.IntN(len(simulatedKeys))], after: h.upTo(4 * time.Second)}
	j.ttl = time.Second + h.upTo(5*time.Second)
	j.heedless = h.chance(3)
	j.end = []string{"result", "result", "error", "panic"}[h.random.IntN(4)]
	if h.chance(5) {
		j.cancelled = h.upTo(j.ttl) + 1
	}
	if h.chance(5) {
		j.extend = time.Second + h.upTo(8*time.Second)
		if h.chance(2) { // to much less than it had
			j.ttl, j.extend = 5*time.Second+h.upTo(10*time.Second), time.Second+h.upTo(time.Second)
		}
	}
	j.takes = h.upTo(2 * j.ttl)
	if h.chance(3) {
		j.takes = h.upTo(100 * time.Millisecond)
	}
	j.progress, j.vanish = h.chance(5), h.chance(8)
	j.opt = append(j.opt, lease.WithAcquireOptions(lease.AcquireOptions{TTL: j.ttl, RetryFailed: !h.chance(4), AtMostOnce: h.chance(6)}))
	if h.chance(6) {
		j.opt = append(j.opt, lease.WithoutWaiting())
	}
	if h.chance(3) {
		j.opt = append(j.opt, lease.WithLeaveOnCancel())
	}
	return j
}

func (j *job) do(h *host) {
	// A caller that waits for ever would end the simulation late.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if j.cancelled > 0 {
		time.AfterFunc(j.cancelled, cancel)
	}
	if j.vanish {
		l, acquired, err := h.m.Acquire(ctx, j.key, lease.AcquireOptions{TTL: j.ttl})
		h.note("%s %s: acquires without Do: %t, attempt %d, %v", j.who, j.key, acquired, l.Attempt, err)
		return
	}
	h.note("%s %s: Do with TTL %v, takes %v, heedless %t, %s, cancelled %v, extends %v", j.who, j.key, j.ttl, j.takes, j.heedless, j.end, j.cancelled, j.extend)
	result, err := j.guarded(ctx, h)
	h.note("%s %s: Do returned %q, %v", j.who, j.key, result, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, returned{j.key, result, err})
}

var errSimulated = errors.New("simulated")

func (j *job) guarded(ctx context.Context, h *host) (result string, err error) {
	defer func() {
		if p := recover(); p == errSimulated {
			err = errSimulated
		} else if p != nil {
			panic(p)
		}
	}()
	return lease.Do(ctx, h.m, j.key, func(ctx context.Context, held *lease.Held) (string, error) { return j.work(ctx, h, held) }, j.opt...)
}

func (j *job) work(ctx context.Context, h *host, held *lease.Held) (string, error) {
	st := &stint{key: j.key, attempt: held.Attempt(), token: held.Token(), who: j.who, live: span{from: h.since()}}
	h.mu.Lock()
	h.stints = append(h.stints, st)
	h.mu.Unlock()
	h.note("%s %s: begins attempt %d with token %d", j.who, j.key, st.attempt, st.token)
	ended := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !st.over {
			st.over, st.live.to, st.lost = true, h.since(), errors.Is(context.Cause(ctx), lease.ErrLost)
		}
	}
	stop := context.AfterFunc(ctx, ended)
	defer ended()
	defer stop()

	for _, pause := range []time.Duration{j.takes / 2, j.takes - j.takes/2} {
		if !j.sleep(ctx, pause) {
			return "", ctx.Err()
		}
		if j.extend > 0 {
			h.note("%s %s: extends: %v", j.who, j.key, held.Extend(ctx, j.extend))
		}
		if j.progress {
			h.note("%s %s: progress: %v", j.who, j.key, held.Progress(ctx, h.since()))
		}
	}
	h.note("%s %s: ends with %s, %v", j.who, j.key, j.end, context.Cause(ctx))
	switch j.end {
	case "error":
		return "", errSimulated
	case "panic":
		panic(errSimulated)
	}
	return fmt.Sprint(j.who, " attempt ", st.attempt), nil
}

func (j *job) sleep(ctx context.Context, d time.Duration) bool {
	if j.heedless {
		time.Sleep(d)
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// skewed is a clock that is off, and whose timers are late, as those of a busy machine are.
type skewed struct {
	offset time.Duration
	host   *host
}

func (c *skewed) Now() time.Time { return time.Now().Add(c.offset) }

func (c *skewed) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.host.mu.Lock()
	late := c.host.upTo(20 * time.Millisecond)
	c.host.mu.Unlock()
	return time.AfterFunc(d+late, f).Stop
}

// outages is a store that is away at times: calls are not sent then.
type outages struct {
	backend.Backend
	s *Simulation
}

func (o outages) reach(ctx context.Context) error {
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
	from, err := p.s.store.Watch(ctx, key)
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
