package sqlite

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// Bounds of one transaction. Its first request is always taken.
const (
	maxBatch      = 1024
	maxBatchBytes = 4 << 20
)

// group turns concurrent requests into transactions of many. It has no goroutine of its own:
//
//   - The first to come leads, which is to say it runs the transaction.
//   - Those that come meanwhile wait in the queue.
//   - When the transaction has ended, the leader answers those that it took along, and hands the
//     lead to the first of the queue.
type group struct {
	// begin opens a transaction. If it fails, nothing was written. finish carries out the requests
	// in the transaction, ends it, and leaves a verdict in each. Only the leader calls them.
	begin  func(ctx context.Context) error
	finish func(batch []*request)

	gatherer gatherer // used by the leader alone

	mu     sync.Mutex
	led    bool       // somebody leads
	queue  []*request // those that wait, in order of arrival, all in state queued; empty unless led
	closed bool
	idle   chan struct{} // closed when closed and nobody leads any more
}

type request struct {
	key      string
	value    []byte
	expected int64
	keep     time.Duration
	remove   bool

	appends bool // these, and nothing else
	entries []backend.JournalEntry

	// Written by the leader, read by the caller once it is answered.
	offset   int64  // which change of its transaction it is, from 1; 0: none
	revision uint64 // of the change
	err      error

	state state         // guarded by group.mu
	wake  chan struct{} // gets one message: the request is answered, or leads; nil for one that leads from the start
}

type state uint8

const (
	queued  state = iota // can be withdrawn
	leading              // its caller was given the lead
	taken                // is in a transaction
)

func newGroup(begin func(context.Context) error, finish func([]*request)) *group {
	return &group{begin: begin, finish: finish, gatherer: newGatherer(), idle: make(chan struct{})}
}

// do carries out r and returns its verdict.
func (g *group) do(ctx context.Context, r *request) error {
	if ctx.Err() != nil {
		return withdrawn(ctx)
	}
	if ctx.Done() != nil {
		// The caller may return, and reuse its value, while a leader still reads it.
		r.value, r.entries = bytes.Clone(r.value), kept(r.entries)
	}
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return backend.ErrClosed
	}
	if !g.led {
		g.led = true
		g.mu.Unlock()
		return g.leadFor(ctx, r)
	}
	r.wake = make(chan struct{}, 1)
	g.queue = append(g.queue, r)
	g.mu.Unlock()

	select {
	case <-r.wake:
		if r.state == leading { // written before wake was sent, and nobody else changes it now
			return g.leadFor(ctx, r)
		}
		return r.err
	case <-ctx.Done():
		return g.abandon(ctx, r)
	}
}

// abandon answers a caller whose context ended while it waited.
func (g *group) abandon(ctx context.Context, r *request) error {
	g.mu.Lock()
	switch r.state {
	case queued:
		i := slices.Index(g.queue, r)
		g.queue = slices.Delete(g.queue, i, i+1)
		g.mu.Unlock()
		return withdrawn(ctx)
	case leading:
		g.mu.Unlock()
		g.handOver()
		return withdrawn(ctx)
	}
	g.mu.Unlock()
	select {
	case <-r.wake:
		return r.err
	default:
		return ctx.Err() // its transaction is under way: the outcome is unknown
	}
}

// leadGrace is for how long after its context's end a caller waits for the transaction that it
// leads. The transaction seldom takes as long.
const leadGrace = 50 * time.Millisecond

// leadFor leads on behalf of a caller who can go away, however long the disk takes.
func (g *group) leadFor(ctx context.Context, r *request) error {
	if ctx.Done() == nil {
		return g.lead(ctx, r)
	}
	led := make(chan error, 1)
	go func() { led <- g.lead(ctx, r) }()
	select {
	case err := <-led:
		return err
	case <-ctx.Done():
	}
	grace := time.NewTimer(leadGrace)
	defer grace.Stop()
	select {
	case err := <-led:
		return err
	case <-grace.C:
		return ctx.Err() // its transaction is under way: the outcome is unknown
	}
}

// lead runs one transaction, with r and whoever waits.
func (g *group) lead(ctx context.Context, r *request) error {
	var batch []*request
	defer func() { // also after a panic of the driver: others wait
		for _, q := range batch {
			if q.wake != nil && q != r {
				q.wake <- struct{}{}
			}
		}
		g.handOver()
	}()

	g.gatherer.gather(g.present)
	if err := g.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return withdrawn(ctx) // of no concern to the others: the next of them tries
		}
		// Everybody who waits is told now. If each waited for the lock anew, the last would wait
		// as many times the busy timeout as there are callers.
		batch = g.take(r, false)
		for _, q := range batch {
			q.err = unavailable(err)
		}
		return r.err
	}
	begun := time.Now()
	batch = g.take(r, true)
	g.finish(batch)
	g.gatherer.ended(begun, time.Now(), len(batch)-1+g.present())
	return r.err
}

// present returns how many requests there are: the leader's and those that wait.
func (g *group) present() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return 1 + len(g.queue)
}

// take moves requests from the queue to the leader's transaction.
func (g *group) take(r *request, bounded bool) []*request {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	rows, size := r.weight()
	for ; n < len(g.queue); n++ {
		more, larger := g.queue[n].weight()
		rows, size = rows+more, size+larger
		if bounded && (rows > maxBatch || size > maxBatchBytes) {
			break
		}
	}
	batch := make([]*request, 0, n+1)
	batch = append(append(batch, r), g.queue[:n]...)
	for _, q := range batch {
		q.state, q.err = taken, errNoVerdict
	}
	g.queue = slices.Delete(g.queue, 0, n)
	return batch
}

// weight is how many rows and bytes a request writes.
func (r *request) weight() (rows, size int) {
	size = len(r.value)
	for i := range r.entries {
		size += len(r.entries[i].Data)
	}
	return max(1, len(r.entries)), size
}

// handOver ends the caller's lead.
func (g *group) handOver() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > 0 {
		next := g.queue[0]
		g.queue = slices.Delete(g.queue, 0, 1)
		next.state = leading
		next.wake <- struct{}{}
		return
	}
	g.led = false
	if g.closed {
		close(g.idle)
	}
}

// close refuses new requests and waits for those under way. It must be called once.
func (g *group) close() {
	g.mu.Lock()
	g.closed = true
	if !g.led {
		close(g.idle)
	}
	g.mu.Unlock()
	<-g.idle
}
