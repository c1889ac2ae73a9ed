package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// ErrInjected is wrapped by the errors that [Faulty] makes up, but for those that say
// ErrUnavailable. As of any error that is none of package backend's, the outcome is unknown.
var ErrInjected = errors.New("injected fault")

// Faults are the probabilities, from 0 to 1, with which a call meets each kind of fault. At most
// one kind meets a call; their sum must not exceed 1.
type Faults struct {
	Refused     float64 // the call fails with backend.ErrUnavailable, and does nothing
	LostRequest float64 // the call fails with an unknown outcome; it never was or will be applied
	LostAnswer  float64 // the call fails with an unknown outcome; it was applied
	Late        float64 // the call fails with an unknown outcome; it is delivered within MaxDelay
	Duplicate   float64 // the call is applied, and delivered a second time within MaxDelay
	Delay       float64 // the call takes up to MaxDelay longer
	// A write is applied and fails with backend.ErrConflict, which no backend may do: whoever looks
	// into conflicts survives it.
	FalseConflict float64

	Stale float64 // Get returns an older state, which no backend may do: the test must notice

	MaxDelay time.Duration // 1 ms if it is 0
}

// Faulty is a backend with bad days, for tests of what is built on one. It passes calls on to
// another, and has some of them meet faults, drawn from a seed. It lists, watches keys and
// prefixes, and has a journal if the other does, which [backend.As] finds. It is safe for
// concurrent use.
type Faulty struct {
	faults Faults
	late   sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand // for the three methods of a Backend
	reads    *rand.Rand // for the other calls: whoever watches changes no other call's faults
	injected map[string]int
	healed   bool
	older    map[string]backend.Entry // a state of each key that was read, for Stale

	gate     sync.RWMutex // held for reading while a call is with the store
	store    backend.Backend
	life     context.Context // ends with the next crash; guarded by gate, like store
	end      context.CancelFunc
	crashing bool // guarded by mu
}

var _ backend.Backend = (*Faulty)(nil)

// NewFaulty returns a backend that passes calls on to b. The same seed and order of calls give the
// same faults. It panics if the probabilities make no sense.
func NewFaulty(b backend.Backend, f Faults, seed uint64) *Faulty {
	sum := 0.0
	for _, p := range f.table() {
		if p.probability < 0 {
			panic(fmt.Sprintf("conformance: the probability of %q is %v", p.name, p.probability))
		}
		sum += p.probability
	}
	if sum > 1 {
		panic(fmt.Sprintf("conformance: the probabilities of faults add up to %v", sum))
	}
	if f.MaxDelay == 0 {
		f.MaxDelay = time.Millisecond
	}
	life, end := context.WithCancel(context.Background())
	return &Faulty{
		faults: f, store: b, life: life, end: end,
		random: rand.New(rand.NewPCG(seed, 0)), reads: rand.New(rand.NewPCG(seed, 1)),
		injected: map[string]int{}, older: map[string]backend.Entry{},
	}
}

type kind string

const (
	fine        kind = ""
	refused     kind = "refused"
	lostRequest kind = "lost request"
	lostAnswer  kind = "lost answer"
	lateKind    kind = "late"
	duplicate   kind = "duplicate"
	delay       kind = "delay"
	stale       kind = "stale"
	untrue      kind = "false conflict"
)

type chance struct {
	name        kind
	probability float64
}

func (f *Faults) table() []chance {
	return []chance{
		{refused, f.Refused}, {lostRequest, f.LostRequest}, {lostAnswer, f.LostAnswer}, {lateKind, f.Late},
		{duplicate, f.Duplicate}, {delay, f.Delay}, {untrue, f.FalseConflict}, {stale, f.Stale},
	}
}

// draw returns what a call meets, and for how long something is delayed. The fault is counted under
// its name, with the call before it if it is not one of the three methods.
func (f *Faulty) draw(random *rand.Rand, call string) (kind, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.healed {
		return fine, 0
	}
	x, wait := random.Float64(), time.Duration(random.Int64N(int64(f.faults.MaxDelay)+1))
	for _, c := range f.faults.table() {
		if x < c.probability {
			f.injected[call+string(c.name)]++
			return c.name, wait
		}
		x -= c.probability
	}
	return fine, wait
}

// Injected returns how many faults of each kind there have been, under names such as "lost answer",
// "list: lost answer", "watch: lost answer", "watch prefix: lost answer", "append: lost answer",
// "journal: refused" and "crash".
func (f *Faulty) Injected() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.injected)
}

// Heal ends the bad days: what is late lands before it returns, and no call meets a fault any more.
func (f *Faulty) Heal() {
	f.mu.Lock()
	f.healed = true
	f.mu.Unlock()
	f.late.Wait()
}

// Crash replaces the store by what reopen makes of it. Calls that are with the store at that moment
// lose their answers, and those that come meanwhile wait. Listings and watches end.
func (f *Faulty) Crash(reopen func(crashed backend.Backend) backend.Backend) {
	f.setCrashing(true)
	f.gate.Lock()
	defer f.gate.Unlock()
	f.store = reopen(f.store)
	f.end()
	f.life, f.end = context.WithCancel(context.Background())
	f.setCrashing(false)
}

func (f *Faulty) setCrashing(c bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashing = c; c {
		f.injected["crash"]++
	}
}

func unknown(k kind) error { return fmt.Errorf("%w: %s", ErrInjected, k) }

// with makes a call of the store, unless a crash comes in between.
func (f *Faulty) with(call func(b backend.Backend) error) error {
	f.gate.RLock()
	defer f.gate.RUnlock()
	err := call(f.store)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashing {
		return unknown("crash")
	}
	return err
}

// Get implements [backend.Backend].
func (f *Faulty) Get(ctx context.Context, key string) (e backend.Entry, err error) {
	k, wait := f.draw(f.random, "")
	switch k {
	case refused:
		return e, fmt.Errorf("%w: injected", backend.ErrUnavailable)
	case lostRequest, lostAnswer, lateKind:
		return e, unknown(k)
	case delay, duplicate:
		if err := sleep(ctx, wait); err != nil {
			return e, err
		}
	}
	err = f.with(func(b backend.Backend) (err error) { e, err = b.Get(ctx, key); return err })
	if err != nil {
		return e, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.older[key]; ok && k == stale {
		return backend.Entry{Key: key, Value: bytes.Clone(old.Value), Revision: old.Revision}, nil
	}
	if _, ok := f.older[key]; f.faults.Stale > 0 && (!ok || f.random.IntN(4) == 0) {
		f.older[key] = backend.Entry{Value: bytes.Clone(e.Value), Revision: e.Revision}
	}
	return e, nil
}

// CompareAndSet implements [backend.Backend].
func (f *Faulty) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (revision uint64, err error) {
	value = bytes.Clone(value) // it may be delivered after the call
	err = f.write(ctx, func(ctx context.Context, b backend.Backend) (err error) {
		revision, err = b.CompareAndSet(ctx, key, expected, value, keep)
		return err
	}, func(ctx context.Context, b backend.Backend) {
		b.CompareAndSet(ctx, key, expected, value, keep)
	})
	if err != nil {
		revision = 0
	}
	return revision, err
}

// CompareAndDelete implements [backend.Backend].
func (f *Faulty) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	return f.write(ctx, func(ctx context.Context, b backend.Backend) error {
		return b.CompareAndDelete(ctx, key, expected)
	}, func(ctx context.Context, b backend.Backend) {
		b.CompareAndDelete(ctx, key, expected)
	})
}

// write makes a call that changes something; again delivers it once more, when nobody waits for it
// any longer.
func (f *Faulty) write(ctx context.Context, call func(context.Context, backend.Backend) error, again func(context.Context, backend.Backend)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	deliverLater := func(wait time.Duration) {
		ctx := context.WithoutCancel(ctx)
		f.late.Go(func() {
			time.Sleep(wait)
			f.with(func(b backend.Backend) error { again(ctx, b); return nil })
		})
	}
	apply := func() error { return f.with(func(b backend.Backend) error { return call(ctx, b) }) }
	switch k, wait := f.draw(f.random, ""); k {
	case refused:
		return fmt.Errorf("%w: injected", backend.ErrUnavailable)
	case lostRequest:
		return unknown(k)
	case lostAnswer:
		// A refusal for its arguments, or by a closed store, is not lost: the client checks these
		// before it sends anything.
		if err := apply(); errors.Is(err, backend.ErrInvalid) || errors.Is(err, backend.ErrClosed) {
			return err
		}
		return unknown(k)
	case lateKind:
		deliverLater(wait)
		return unknown(k)
	case duplicate:
		err := apply()
		deliverLater(wait)
		return err
	case untrue:
		if err := apply(); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w: %s", backend.ErrConflict, ErrInjected, k)
	case delay:
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return apply()
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
