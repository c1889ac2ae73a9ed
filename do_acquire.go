package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// doing is one call of Do.
type doing struct {
	DoOptions
	m       *Manager
	key     string
	ttl     time.Duration // as granted
	acquire AcquireOptions
	input   string   // hash; "" if none is stated
	limit   int      // so many failures of the key end it; 0 before the first look
	pauses  doubling // between attempts
}

func newDoing(m *Manager, key string, opts *DoOptions) (*doing, error) {
	d := &doing{m: m, key: key, pauses: betweenAttempts}
	if opts != nil {
		d.DoOptions = *opts
	}
	ttl, ttlErr := m.grant(cmp.Or(d.TTL, max(defaultDoTTL, m.minTTL)))
	d.ttl = ttl
	d.acquire = AcquireOptions{
		TTL: ttl, Metadata: d.Metadata, Input: d.Input, Retention: d.Retention,
		RetryFailed: d.RetryFailed, AtMostOnce: d.AtMostOnce, Replace: d.Replace,
	}
	input, inputErr := d.acquire.input()
	d.acquire.Input, d.acquire.InputHash, d.input = nil, input, input
	err := cmp.Or(ttlErr, inputErr)
	switch {
	case err != nil:
	case d.Grace != 0 && (d.Grace < time.Millisecond || d.Grace > ttl/3):
		err = &FieldError{"grace", fmt.Sprintf("%v, must be from 1ms to %v, a third of the TTL", d.Grace, ttl/3)}
	case d.Attempts < 0:
		err = &FieldError{"attempts", fmt.Sprintf("%d, must not be negative", d.Attempts)}
	}
	if err != nil {
		return nil, &Error{Op: "do", Key: key, Err: err}
	}
	d.renew()
	return d, nil
}

// renew draws a new nonce. Each acquire needs one of its own once the last has held, or has been
// overtaken: with the old one it would be taken for that.
func (d *doing) renew() { d.acquire.Nonce = newID("do_") }

// looked notes the first answer of the store. What RetryFailed and Replace ask for is asked once.
func (d *doing) looked(failures int) {
	if d.limit == 0 {
		d.limit = failures + max(1, d.Attempts)
	}
	d.acquire.RetryFailed, d.acquire.Replace = false, false
}

// begin acquires the lease, or returns how it has ended. The Lease that comes with ErrInProgress is
// the one that stands in the way.
func (d *doing) begin(ctx context.Context) (*hold, Lease, error) {
	r := retries{clock: d.m.clock}
	waited := false
	var unknown error // of an earlier try: what it has written may stand
	if l, itself := d.wouldReplaceItself(ctx); itself {
		return nil, l, errItself
	}
	for {
		asked := d.m.clock.Now()
		var l Lease
		acquired := false
		err := d.m.try(ctx, tryFor, func(ctx context.Context) (err error) {
			l, acquired, err = d.m.acquire(ctx, d.key, &d.acquire, d.limit)
			return err
		})
		switch {
		case isClosed(err):
			return nil, Lease{}, err
		case errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrUnavailable) && (r.tried || waited):
			// The lease may be ours: the nonce makes asking again safe, and nobody else would work
			// for a whole TTL. Or we have waited for it long enough not to give up for a moment.
			if errors.Is(err, ErrUnknownOutcome) {
				unknown = err
			}
			if !r.pause(ctx, storeAwayFor) {
				return nil, Lease{}, cmp.Or(unknown, err)
			}
			continue
		case errors.Is(err, ErrLost) && !d.acquire.Replace: // acquired, and taken over before the answer came
			d.renew()
			continue
		case err != nil:
			return nil, Lease{}, err
		}
		d.looked(l.Failures)
		unknown = nil
		switch {
		case acquired:
			h := d.hold(ctx, l, asked)
			if h == nil { // the answer took so long that the lease is about over
				asked = d.m.clock.Now()
				if extended, err := d.m.Extend(ctx, d.key, l.LeaseID, &ExtendOptions{TTL: d.ttl}); err == nil {
					h = d.hold(ctx, extended, asked)
				}
			}
			if h != nil {
				return h, l, nil
			}
			if !r.pause(ctx, 0) {
				return nil, Lease{}, d.giveBack(ctx, l.LeaseID)
			}
			continue
		case l.State != StateInProgress:
			return nil, l, d.checkInput(&l)
		case holds(ctx, l.LeaseID):
			return nil, l, errItself
		case d.NoWait:
			return nil, l, fmt.Errorf("%w: attempt %d, at most %v left", ErrInProgress, l.Attempt, l.TTLLeft.Round(time.Second))
		}
		r, waited = retries{clock: d.m.clock}, true // the store has answered
		l, err = d.m.Wait(ctx, d.key)
		switch {
		case isClosed(err):
			return nil, Lease{}, err
		case errors.Is(err, ErrUnavailable):
		case err != nil:
			return nil, Lease{}, err
		case l.State == StateFailed && l.Retryable && l.Failures < d.limit && (l.AtMostOnce || !d.AtMostOnce):
			if !d.pause(ctx) {
				return nil, Lease{}, ctx.Err()
			}
		case l.State == StateCompleted || l.State == StateFailed:
			return nil, l, d.checkInput(&l)
		case l.Released:
			d.renew() // it may be the lease of this nonce, whose answer was lost
		}
	}
}

// checkInput refuses the end of work on other input.
func (d *doing) checkInput(l *Lease) error {
	if d.input != "" && l.InputHash != "" && d.input != l.InputHash {
		return fmt.Errorf("%w: the key stands for input hash %q, not %q", ErrInputMismatch, l.InputHash, d.input)
	}
	return nil
}

// again tells whether the caller, whose function has failed, tries again, and waits until then.
func (d *doing) again(ctx context.Context, h *hold) bool {
	l, retry := h.failedFor(ctx)
	if !retry || l.Failures >= d.limit {
		return false
	}
	d.renew()
	return d.pause(ctx)
}

// pause waits before the next attempt. It returns false if ctx ends before.
func (d *doing) pause(ctx context.Context) bool {
	return sleep(ctx, d.m.clock, spread(d.pauses.next()))
}

var errItself = fmt.Errorf("%w: by the caller itself, who would wait for itself", ErrInProgress)

// wouldReplaceItself tells whether Replace would take a lease that ctx carries. That has to be
// known before the store is asked for it.
func (d *doing) wouldReplaceItself(ctx context.Context) (Lease, bool) {
	if _, nested := holderOf(ctx); !nested || !d.acquire.Replace {
		return Lease{}, false
	}
	var l Lease
	err := d.m.try(ctx, tryFor, func(ctx context.Context) (err error) {
		l, err = d.m.Status(ctx, d.key)
		return err
	})
	return l, err == nil && l.State == StateInProgress && holds(ctx, l.LeaseID)
}

// holds tells whether ctx carries the lease of that id, still held. Work that a claim stands for is
// known to others by its ticket.
func holds(ctx context.Context, leaseID string) bool {
	for h, ok := holderOf(ctx); ok; h, ok = holderOf(h.within()) {
		if (h.snapshot().LeaseID == leaseID || h.ticket() == leaseID) && h.ended() == nil {
			return true
		}
	}
	return false
}

// giveBack releases a lease under which nothing was done, for a caller whose context has ended. It
// returns why it did.
func (d *doing) giveBack(ctx context.Context, leaseID string) error {
	err := d.m.try(context.WithoutCancel(ctx), endFor, func(ctx context.Context) error {
		_, err := d.m.Release(ctx, d.key, leaseID)
		return err
	})
	if err == nil || errors.Is(err, ErrLost) {
		return ctx.Err()
	}
	return fmt.Errorf("%w (and the lease could not be released: %w)", ctx.Err(), err)
}
