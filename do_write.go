package lease

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// save implements [holder]. The caller of Do may have gone: then only the lease bounds it.
func (h *hold) save(caller context.Context, v json.RawMessage) error {
	if err := caller.Err(); err != nil && h.ctx.Err() == nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(caller))
	defer cancel()
	defer context.AfterFunc(caller, func() {
		if h.ctx.Err() == nil { // a context of the function's own
			cancel()
		}
	})()
	err := h.write(ctx, v)
	if err != nil && ctx.Err() != nil && err == ctx.Err() && h.ctx.Err() == nil {
		return caller.Err()
	}
	return err
}

// note implements [holder].
func (h *hold) note(v json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over() == nil {
		h.pending = v
		h.wake()
	}
}

// write extends the lease, with a checkpoint unless it is nil, and the pending note.
func (h *hold) write(ctx context.Context, checkpoint json.RawMessage) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	select {
	case <-h.writing:
		defer func() { h.writing <- struct{}{} }()
	case <-ctx.Done():
		return h.whyNot(ctx)
	}
	c, most, err := h.prepare(checkpoint)
	if err != nil {
		return err
	}
	var l Lease
	err = h.m.try(ctx, most, func(ctx context.Context) (err error) {
		l, err = h.m.extend(ctx, h.key, c, nil)
		return err
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.arm(h.m.clock.Now()) }()
	if err == nil {
		h.lease, h.wrote = l, h.m.clock.Now()
		h.term.granted(l.Version)
		return nil
	}
	why := relabel("extend", h.key, err).Err
	if c.progress != nil && h.pending == nil {
		h.pending = c.progress
	}
	switch {
	case errors.Is(err, ErrLost), errors.Is(err, ErrNotFound), errors.Is(err, ErrFinished), isClosed(err):
		return h.lose(why)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, ErrUnknownOutcome):
		h.term.failed(nil)
		if why := h.over(); why != nil {
			return why
		}
		return ctx.Err()
	}
	h.term.failed(why)
	return why
}

// prepare is the command of the next extension, and how long a try of it may take.
func (h *hold) prepare(checkpoint json.RawMessage) (c *command, most time.Duration, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.over(); err != nil {
		return nil, 0, err
	}
	now := h.m.clock.Now()
	most = min(h.term.ttl, h.term.earliest().ttl) / 3
	h.term.ask(now)
	h.arm(now)
	if err := h.over(); err != nil {
		return nil, 0, err
	}
	// Writes take turns, and a late one cannot be applied after another: checkpoints need no
	// number.
	c = &command{leaseID: h.lease.LeaseID, ttl: h.term.ttl, progress: h.pending, checkpoint: checkpoint, byDo: true}
	h.pending = nil
	return c, most, nil
}

// whyNot is why a write was not begun: the lease need not be kept any more, or ctx has ended.
func (h *hold) whyNot(ctx context.Context) error {
	if why := h.ended(); why != nil {
		return why
	}
	return ctx.Err()
}
