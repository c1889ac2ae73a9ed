package usage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Counters count requests, and add them to a store. They are safe for concurrent use. Close writes
// what is not written yet. No goroutine runs while there is nothing to write.
type Counters struct {
	backend     backend.Backend
	clock       lease.Clock
	log         *slog.Logger
	writer      string // the id of these Counters in entries, never used before
	mostWriters int

	turn       chan struct{} // held by whoever writes to the store
	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex // guards what follows; nobody calls the store with it
	gathered map[place]*batch
	pending  map[place]*batch // being written, or of unknown outcome
	number   uint64           // of the newest batch
	lost     uint64
	armed    bool // a write is planned or under way
	stop     func() bool
	closed   bool
	failing  bool // the last planned write has failed
}

// place is a namespace and a day.
type place struct {
	namespace string
	date      date
}

const (
	interval   = time.Second // from a count to the write, by the clock
	mostTime   = 10 * time.Second
	mostPlaces = 8192 // of gathered and pending together
)

// Option changes a default of [New].
type Option func(*Counters)

// WithClock sets the clock that says which day it is, and when to write: [lease.SystemClock] unless
// set.
func WithClock(clock lease.Clock) Option { return func(c *Counters) { c.clock = clock } }

// WithLogger sets where the Counters log that they cannot write, when it is over, and that counts
// were lost. Nowhere unless set.
func WithLogger(l *slog.Logger) Option { return func(c *Counters) { c.log = l } }

// New returns Counters on a store. It does not touch the store.
func New(b backend.Backend, opts ...Option) *Counters {
	c := &Counters{
		backend: b, clock: lease.SystemClock(), log: slog.New(slog.DiscardHandler),
		writer: rand.Text()[:16], mostWriters: mostWriters, turn: make(chan struct{}, 1),
		gathered: make(map[place]*batch), pending: make(map[place]*batch),
	}
	c.life, c.end = context.WithCancel(context.Background())
	for _, o := range opts {
		o(c)
	}
	return c
}

// Now is the time by the clock of the Counters.
func (c *Counters) Now() time.Time { return c.clock.Now() }

// Count counts a request. The namespace is that of a Manager. Count never waits for the store.
func (c *Counters) Count(namespace string, k Kind, o Outcome) {
	p := place{namespace, dateOf(c.clock.Now())}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.gathered[p]
	if b == nil {
		if c.closed || len(c.gathered)+len(c.pending) >= mostPlaces {
			c.lost++
			return
		}
		c.number++
		b = &batch{number: c.number}
		c.gathered[p] = b
		c.arm()
	}
	b.sums.count(k, o)
}

// Lost returns how many requests these Counters have counted that are not in the sums, nor will be.
func (c *Counters) Lost() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

// arm plans the next write. The caller holds the mutex.
func (c *Counters) arm() {
	if c.armed || c.closed {
		return
	}
	c.armed = true
	c.stop = c.clock.AfterFunc(interval, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.background.Go(c.writePlanned)
		}
	})
}

// writePlanned writes what has gathered, and plans the next write if something is left.
func (c *Counters) writePlanned() {
	ctx, cancel := context.WithTimeout(c.life, mostTime)
	defer cancel()
	err := c.writeAll(ctx)
	c.mu.Lock()
	begins, over := err != nil && !c.failing, err == nil && c.failing
	c.failing, c.armed = err != nil, false
	if len(c.gathered)+len(c.pending) > 0 {
		c.arm()
	}
	c.mu.Unlock()
	switch {
	case c.life.Err() != nil: // Close tells
	case begins:
		c.log.Warn("usage: counts cannot be written: they stay in memory", "err", err)
	case over:
		c.log.Info("usage: counts are written again")
	}
}

// Flush writes what was counted before the call, and returns once it is in the store. It tries
// again until its context ends. [backend.ErrClosed] and [lease.ErrUnreadable] end it at once.
func (c *Counters) Flush(ctx context.Context) error {
	c.mu.Lock()
	newest := c.number
	c.mu.Unlock()
	const shortest, longest = 5 * time.Millisecond, 500 * time.Millisecond
	for pause := shortest; ; pause = min(2*pause, longest) {
		err := c.writeAll(ctx)
		switch {
		case !c.holds(newest):
			return nil
		case err == nil:
			continue // what had gathered behind a pending batch is next
		case errors.Is(err, backend.ErrClosed), errors.Is(err, lease.ErrUnreadable):
			return fmt.Errorf("usage: flush: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("usage: flush: %w: %w", ctx.Err(), err)
		case <-time.After(pause):
		}
	}
}

// holds reports whether a batch up to newest is yet to be written.
func (c *Counters) holds(newest uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, batches := range []map[place]*batch{c.pending, c.gathered} {
		for _, b := range batches {
			if b.number <= newest {
				return true
			}
		}
	}
	return false
}

// Close writes what was counted, as Flush, and then ends. What is counted later, and what was not
// written when the context ended, is lost. Nothing is left running. Close may be called again and
// does nothing then. It does not close the store.
func (c *Counters) Close(ctx context.Context) error {
	c.mu.Lock()
	was := c.closed
	c.closed = true
	if c.stop != nil {
		c.stop()
	}
	c.mu.Unlock()
	if was {
		return nil
	}
	err := c.Flush(ctx)
	c.end()
	c.background.Wait()
	c.mu.Lock()
	var lost uint64
	for _, batches := range []map[place]*batch{c.pending, c.gathered} {
		for p, b := range batches {
			lost += b.sums.requests()
			delete(batches, p)
		}
	}
	c.lost += lost
	c.mu.Unlock()
	if lost > 0 {
		c.log.Warn("usage: counts are lost: they could not be written before the end", "requests", lost, "err", err)
	}
	return err
}
