package usage

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// writeAll tries to add to the store what has gathered. What it could not add stays pending.
func (c *Counters) writeAll(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var unreadable error
	for p, b := range c.take() {
		err := c.write(ctx, p, b)
		switch {
		case errors.Is(err, lease.ErrUnreadable):
			unreadable = errors.Join(unreadable, err) // the other entries may be well
			continue
		case errors.Is(err, backend.ErrInvalid):
			c.lose(b, err) // the store will never take it
		case err != nil:
			return err
		}
		c.mu.Lock()
		delete(c.pending, p)
		c.mu.Unlock()
	}
	return unreadable
}

// take makes pending what has gathered, where nothing is pending yet, and returns all that is.
func (c *Counters) take() map[place]*batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p, b := range c.gathered {
		if c.pending[p] == nil {
			c.pending[p] = b
			delete(c.gathered, p)
		}
	}
	all := make(map[place]*batch, len(c.pending))
	for p, b := range c.pending {
		all[p] = b
	}
	return all
}

// write adds a batch to the entry of its place. After an error the batch may be there or not, and
// the next write finds out.
//
// A write of unknown outcome may still land, but only at the revision that it expects. Either that
// revision still stands when the batch is sent again, and then one of the two lands. Or another
// revision stands, and the first can land no more: the entry tells whether it has.
func (c *Counters) write(ctx context.Context, p place, b *batch) error {
	key := entryKey(p.namespace, p.date)
	for conflicts := 0; ; conflicts++ {
		e, revision, err := c.load(ctx, key)
		if err != nil {
			return err
		}
		switch e.judge(c.writer, b) {
		case added:
			return nil
		case undecided:
			c.lose(b, errors.New("the entry does not tell whether they were written: too many others wrote since"))
			return nil
		}
		e.add(c.writer, b, c.mostWriters)
		c.mu.Lock()
		if b.first == 0 {
			b.first = e.Writes
		}
		c.mu.Unlock()
		_, err = c.backend.CompareAndSet(ctx, key, revision, e.encode(), keep)
		if !errors.Is(err, backend.ErrConflict) {
			return err
		}
		pause := rand.N(time.Millisecond << min(conflicts, 6))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (c *Counters) load(ctx context.Context, key string) (entry, uint64, error) {
	stored, err := c.backend.Get(ctx, key)
	if err != nil && !errors.Is(err, backend.ErrNotFound) {
		return entry{}, 0, err
	}
	e, err := decodeEntry(stored.Value)
	return e, stored.Revision, err
}

// lose gives a batch up.
func (c *Counters) lose(b *batch, cause error) {
	c.mu.Lock()
	c.lost += b.sums.requests()
	c.mu.Unlock()
	c.log.Warn("usage: counts are lost", "requests", b.sums.requests(), "err", cause)
}
