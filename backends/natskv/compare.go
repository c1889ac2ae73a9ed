package natskv

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/ailease/lease/backend"
)

// comparisons reads names of a replicated bucket one at a time: the leader's answer counts if a
// fence is taken on the condition that the name's last number is the one that was read. This proof
// needs nothing but the server's own compare-and-set.
//
// The server refuses to compare the same name twice at a time. So the callers who read one name
// share a comparison: those who come while one runs wait for the next.
type comparisons struct {
	s *Store

	mu     sync.Mutex
	byName map[string]*comparison
}

type comparison struct {
	next   *pending // nil if nobody waits
	likely uint64
}

// unknownNumber stands for a number that has to be asked for first.
const unknownNumber = math.MaxUint64

// read returns the state of name. likely is the number that it is likely to have: 0, for a name
// that is likely to be absent, or unknownNumber.
func (c *comparisons) read(ctx context.Context, name string, likely uint64) (state, error) {
	c.mu.Lock()
	if c.byName == nil {
		c.byName = map[string]*comparison{}
	}
	one := c.byName[name]
	start := one == nil
	if start {
		one = &comparison{}
		c.byName[name] = one
	}
	if one.next == nil {
		one.next, one.likely = newPending(), likely
	}
	p := one.next
	c.mu.Unlock()
	if start {
		if err := c.s.background(func(ctx context.Context) { c.run(ctx, name, one) }); err != nil {
			for last, _, ok := c.take(name, one); ok; last, _, ok = c.take(name, one) {
				last.finish(state{}, err)
			}
		}
	}
	return p.wait(ctx)
}

// take returns those who wait for the next comparison. Without any it forgets the name.
func (c *comparisons) take(name string, one *comparison) (p *pending, likely uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, likely = one.next, one.likely
	one.next = nil
	if p == nil {
		delete(c.byName, name)
	}
	return p, likely, p != nil
}

func (c *comparisons) run(ctx context.Context, name string, one *comparison) {
	for {
		p, likely, ok := c.take(name, one)
		if !ok {
			return
		}
		p.finish(c.s.compare(ctx, name, likely))
	}
}

// compare reads name until a fence proves what was read.
func (s *Store) compare(ctx context.Context, name string, likely uint64) (state, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var m message
	ask := likely == unknownNumber
	for p := (pauses{}); ; {
		if ask {
			var err error
			if m, err = s.lastOfLeader(ctx, name); err != nil {
				return state{}, err
			}
		}
		number, err := s.fenceIf(ctx, name, m.sequence)
		switch {
		case err == nil && m.sequence == 0:
			return state{asOf: number}, nil
		case err == nil:
			return state{message: m, asOf: m.sequence}, nil
		case full(err):
			m, err = s.lastOfLeader(ctx, name)
			return state{message: m, asOf: m.sequence}, err
		case !errors.Is(err, backend.ErrConflict):
			return state{}, err
		}
		// It was written meanwhile, or the answer was not that of the leader.
		if ask && p.wait(ctx) != nil {
			return state{}, errNoLeader
		}
		ask = true
	}
}
