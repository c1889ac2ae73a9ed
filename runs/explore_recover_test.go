package runs

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// recoverAll is what workers do in the end, with markers alone, however long it takes.
func (p *play) recoverAll() error {
	m, steps := p.managerOn(direct{p}, 0)
	ctx := context.Background()
	for round := range 40 {
		e, ok := p.world.entries[markedKey]
		if !ok {
			fits := slices.IndexFunc(p.world.late, p.world.fits)
			if fits < 0 {
				break
			}
			p.do(step{lands, p.world.late[fits].id})
			continue
		}
		mk := readMarker(key, backend.Entry{Key: markedKey, Value: e.value, Revision: e.revision})
		l, err := look(ctx, steps, mk, fmt.Sprint("claim_end_", round), claimTTL)
		switch {
		case err != nil:
			return fmt.Errorf("a worker's look: %w", err)
		case l.claim != nil:
			c := l.claim.Lease.(lease.Lease)
			x := &execution{actor: -1, ticket: l.claim.sight.Lease.(lease.Lease).LeaseID, deadline: c.ExpiresAt}
			if err := p.checkBegin(x); err != nil {
				return err
			}
			x.returned = true
			p.executions = append(p.executions, x)
			if _, err := m.Complete(ctx, key, c.LeaseID, lease.Completion{}); err != nil {
				return fmt.Errorf("the last worker's completion: %w", err)
			}
			if err := finish(ctx, steps, l.claim); err != nil {
				return err
			}
		case !l.next.IsZero():
			p.clock.Advance(max(time.Nanosecond, l.next.Sub(p.clock.Now())))
		}
		if p.broken != nil {
			return p.broken
		}
	}
	return p.checkQuiet()
}

// direct is the store at once.
type direct struct{ p *play }

func (d direct) Get(_ context.Context, key string) (backend.Entry, error) {
	a := d.p.world.apply(call{kind: toGet, key: key})
	return a.entry, a.err
}

func (d direct) CompareAndSet(_ context.Context, key string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	a := d.p.apply(call{id: callID{-1, 0}, kind: toWrite, key: key, expected: expected, value: bytes.Clone(value)})
	return a.revision, a.err
}

func (d direct) CompareAndDelete(_ context.Context, key string, expected uint64) error {
	return d.p.apply(call{kind: toDelete, key: key, expected: expected}).err
}
