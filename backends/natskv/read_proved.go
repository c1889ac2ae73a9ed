package natskv

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// rounds answers the reads of a replicated bucket, many at a time. Callers join the round that
// gathers. When the fence before has been acknowledged, the round sends its own: its number N is
// above that of every write that was acknowledged before the round's callers came. Then one
// request asks any replica for the last messages of all names, and for the last fence.
//
// If that fence's number is N or above, a message that is found is the last one of its name that
// was acknowledged before, or a newer one. For a replica stores messages in the order of their
// numbers, each in place of its predecessor. One that catches up from the leader's present store
// first removes what had been replaced when the leader's state was taken, and then gets the rest
// in order. In between it lacks messages: the leader no longer has those that were replaced
// meanwhile. So a name without a message proves nothing, and is compared.
type rounds struct {
	s *Store

	mu      sync.Mutex
	next    map[string]*pending // the round that gathers, by name
	running bool                // somebody sends fences
}

// How long a round waits before its names are compared instead.
const (
	fenceWait      = 500 * time.Millisecond // for its fence
	fenceStoreWait = 500 * time.Millisecond // for a replica to store the fence
)

func (r *rounds) read(ctx context.Context, name string) (state, error) {
	r.mu.Lock()
	if r.next == nil {
		r.next = map[string]*pending{}
	}
	p := r.next[name]
	if p == nil {
		p = newPending()
		r.next[name] = p
	}
	start := !r.running
	r.running = true
	r.mu.Unlock()
	if start {
		if err := r.s.background(r.run); err != nil {
			r.fail(err)
		}
	}
	return p.wait(ctx)
}

// fail ends the round that gathers.
func (r *rounds) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
	for _, p := range r.next {
		p.finish(state{}, err)
	}
	r.next = nil
}

// take returns the round that gathers, or nil if nobody waits.
func (r *rounds) take() map[string]*pending {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.next
	r.next = nil
	r.running = taken != nil
	return taken
}

// run sends one fence after the other as long as somebody waits.
func (r *rounds) run(ctx context.Context) {
	for {
		waiting := r.take()
		if waiting == nil {
			return
		}
		if len(waiting) <= fewNames {
			// In a closed Store the fence fails, and so does the round.
			r.s.background(func(ctx context.Context) { r.lookAhead(ctx, waiting) })
		}
		fencing, cancel := context.WithTimeout(ctx, fenceWait)
		number, err := r.s.fence(fencing)
		cancel()
		if err := r.s.background(func(ctx context.Context) { r.answer(ctx, waiting, number, err) }); err != nil {
			for _, p := range waiting {
				p.finish(state{}, err)
			}
		}
	}
}

// answer reads all names of a round after its fence, whose number and error it is given.
func (r *rounds) answer(ctx context.Context, waiting map[string]*pending, number uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.s.timeout)
	defer cancel()
	names := slices.Collect(maps.Keys(waiting))
	var found map[string]message
	if err == nil {
		found = r.s.readAfter(ctx, number, names)
	}
	var rest sync.WaitGroup
	for name, p := range waiting {
		if m, ok := found[name]; ok {
			p.finish(state{message: m, asOf: m.sequence}, nil)
			continue
		}
		likely := uint64(0)
		if err != nil { // nothing was read
			likely = unknownNumber
		}
		if p.claim() {
			rest.Go(func() { p.finish(r.s.comparisons.read(ctx, name, likely)) })
		}
	}
	rest.Wait()
}

// fewNames is the size of the largest round that looks ahead.
const fewNames = 4

// lookAhead asks, while the fence of a small round is under way, which names are likely to be
// absent, and has them compared at once. A lone reader of an absent key then waits for one write of
// the majority, and not for two.
func (r *rounds) lookAhead(ctx context.Context, waiting map[string]*pending) {
	ctx, cancel := context.WithTimeout(ctx, r.s.timeout)
	defer cancel()
	found, err := r.s.snapshot(ctx, slices.Collect(maps.Keys(waiting)))
	if err != nil {
		return
	}
	var rest sync.WaitGroup
	for name, p := range waiting {
		if _, ok := found[name]; !ok && p.claim() {
			rest.Go(func() { p.finish(r.s.comparisons.read(ctx, name, 0)) })
		}
	}
	rest.Wait()
}

// readAfter returns the messages of names that are proved to be the last: a server has answered
// that also has the fence with this number, or a later one.
func (s *Store) readAfter(ctx context.Context, number uint64, names []string) map[string]message {
	if len(names) > mostNames {
		found := s.readAfter(ctx, number, names[:mostNames])
		maps.Copy(found, s.readAfter(ctx, number, names[mostNames:]))
		return found
	}
	end := time.Now().Add(fenceStoreWait)
	for p := (pauses{}); ; {
		found, err := s.snapshot(ctx, append(slices.Clip(names), fenceName))
		if err == errCut && len(names) > 1 {
			half := len(names) / 2
			found := s.readAfter(ctx, number, names[:half])
			maps.Copy(found, s.readAfter(ctx, number, names[half:]))
			return found
		}
		if err == nil && found[fenceName].sequence >= number {
			delete(found, fenceName)
			return found
		}
		if time.Now().After(end) || p.wait(ctx) != nil {
			return map[string]message{}
		}
	}
}
