package lease

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// mostEvents bounds how many events wait for the observers and the logger.
const mostEvents = 1024

// events hands events to the observers and the logger, in order, by one goroutine at a time. It
// runs while there are any. No operation waits for it.
type events struct {
	mu      sync.Mutex
	queue   []delivery
	spare   []delivery // has no elements, and room for them
	running bool
	timer   *time.Timer // that runs the goroutine; nil if none is set
	dropped uint64
}

// lingerFor is how long events may wait for others, once some were delivered. To start the
// goroutine for each would cost an operation in memory a third of its time. To start it every
// millisecond would cost an operation on a NATS server close by a tenth.
const lingerFor = 10 * time.Millisecond

// delivery is an event on its way, or a call of Flush that waits for those before it.
type delivery struct {
	ctx     context.Context
	event   Event
	flushed chan struct{}
}

// enqueue has e delivered, or flushed closed if e is nil. It copies the event into the queue, and
// nobody has copied it before: an operation in memory does little else.
func (c *core) enqueue(ctx context.Context, e *Event, flushed chan struct{}) {
	q := &c.events
	q.mu.Lock()
	if e != nil && len(q.queue) >= mostEvents {
		q.dropped++
		q.mu.Unlock()
		return
	}
	q.queue = append(q.queue, delivery{})
	d := &q.queue[len(q.queue)-1]
	if d.ctx, d.flushed = ctx, flushed; e != nil {
		d.event = *e
		d.event.Dropped, q.dropped = q.dropped, 0
	}
	crowded := len(q.queue) == mostEvents/2
	if !q.running && (q.timer == nil || crowded || flushed != nil) {
		if q.timer != nil {
			q.timer.Stop()
		}
		q.running, q.timer = true, nil
		go c.deliver()
	}
	q.mu.Unlock()
	if crowded {
		runtime.Gosched() // all processors may be busy with operations
	}
}

func (c *core) deliver() {
	q := &c.events
	for {
		q.mu.Lock()
		batch := q.queue
		if len(batch) == 0 {
			q.running, q.timer = false, time.AfterFunc(lingerFor, c.deliverLater)
			q.mu.Unlock()
			return
		}
		q.queue, q.spare = q.spare, nil
		q.mu.Unlock()
		for i := range batch {
			c.deliverOne(&batch[i])
		}
		clear(batch)
		q.mu.Lock()
		q.spare = batch[:0]
		q.mu.Unlock()
	}
}

// deliverLater delivers what has come since the last delivery. If nothing has, the next event will
// not wait.
func (c *core) deliverLater() {
	q := &c.events
	q.mu.Lock()
	run := !q.running && len(q.queue) > 0
	if !q.running {
		q.running, q.timer = run, nil
	}
	if !run && !q.running {
		q.queue, q.spare = nil, nil
	}
	q.mu.Unlock()
	if run {
		c.deliver()
	}
}

func (c *core) deliverOne(d *delivery) {
	if d.flushed != nil {
		close(d.flushed)
		return
	}
	if c.logs {
		c.guarded(func() { c.log(d.ctx, &d.event) })
	}
	for _, observe := range c.observers {
		c.guarded(func() { observe(d.event) })
	}
}

// guarded calls f, which is not ours: its panic is reported, and goes no further.
func (c *core) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			defer func() { _ = recover() }() // it may be the logger that panics
			c.logger.Error("lease: an observer or the logger panicked", "panic", p)
		}
	}()
	f()
}

// Flush waits until observers and the logger have been told of all operations that have returned,
// or until ctx ends. A program that exits without it may lose the last events. Observers must not
// call it.
func (m *Manager) Flush(ctx context.Context) error {
	flushed := make(chan struct{})
	m.enqueue(ctx, nil, flushed)
	select {
	case <-flushed:
		return nil
	case <-ctx.Done():
		return &Error{Op: "flush", Err: ctx.Err()}
	}
}
