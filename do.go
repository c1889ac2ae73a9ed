package lease

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Do runs work under the lease of key, once among all who call it with that key, and returns its result to all of them.
//
// Whoever acquires the lease runs work, keeps the lease alive meanwhile, and completes it with the result as JSON, or fails it with the code that the error's method
// ErrorCode() string returns, else "error", and "result" if the result cannot be stored. For
// everybody else Do waits until then and returns the stored result, or a [*FailedError]; a lease that expires meanwhile is acquired and the
// work done here. If the key has ended already, Do returns at once. With RetryFailed, see [WithAcquireOptions], a failure is no end: each caller works itself then, one
// after the other, until one has a result.
//
// The TTL is for how long all others wait if this process dies; Do extends the lease as long as work runs. A result comes to the others as JSON has it: what a type leaves out when it
// is encoded is not there.
//
// work must stop when its context ends, for one of two reasons. The caller's context has ended: then an error of work cancels the lease, with code
// "canceled:" and the cause's (see [WithLeaveOnCancel]). Or the lease is lost, taken over, ended or forgotten by another, or, since the store could not be reached in
// time, may soon be: [context.Cause] is then an error that wraps [ErrLost], and says why. That comes before anyone else can acquire the lease, by as much as [WithGrace] says,
// and at once if the store tells of it (see package backend: Watcher). If work returns an error then, the lease is left as it is, and Do's error wraps
// both. If it returns a result, Do tries to complete the lease all the same, which succeeds as long as nobody took over: the work is done.
//
// A panic of work, or the exit of its goroutine, fails the lease with code "panic", and goes on.
//
// The store may be away for as long as the lease holds: extending it, which is due each third of its TTL, and ending it are tried again until then. The
// time is that of the monotonic clock. A machine that was suspended may find out late that it has lost the lease; [Held.Token] guards what must not suffer from that.
//
// Calling Do within work with the same key waits for itself.
//
// Errors: what work returned, as it is, unless its failure could not be recorded; [*FailedError]; [ErrLost]; [ErrInProgress] with [WithoutWaiting]; [ErrResultType]; those of
// [Manager.Acquire] and [Manager.Complete], and the context's. With an error from Complete, work was done, and its result is returned too; with [ErrUnavailable] and
// [ErrUnknownOutcome] the lease could not be ended.
func Do[T any](ctx context.Context, m *Manager, key string, work func(ctx context.Context, h *Held) (T, error), opts ...DoOption) (T, error) {
	var result T
	if work == nil {
		return result, &Error{Op: "do", Key: key, Err: &FieldError{"work", "must not be nil"}}
	}
	d, err := newDoing(m, key, opts)
	if err != nil {
		return result, err
	}
	h, l, err := d.begin(ctx)
	switch {
	case err != nil:
		e := relabel("do", key, err)
		if l.State != "" {
			e.Lease = l
		}
		return result, e
	case h != nil:
		return perform(ctx, h, work)
	case l.State == StateFailed:
		return result, &FailedError{Key: key, Code: l.ErrorCode, Lease: l}
	case len(l.Result) == 0: // completed by other means
		return result, nil
	}
	if err := json.Unmarshal(l.Result, &result); err != nil {
		err = fmt.Errorf("%w: %d bytes cannot be read as %v: %w", ErrResultType, len(l.Result), reflect.TypeFor[T](), err)
		return result, &Error{Op: "do", Key: key, Err: err, Lease: l}
	}
	return result, nil
}

// perform runs work under the lease of h, and ends it.
func perform[T any](ctx context.Context, h *Held, work func(ctx context.Context, h *Held) (T, error)) (result T, err error) {
	returned := false
	defer func() {
		if !returned { // it panics, and goes on to: recovering would lose where
			h.endPanicked(ctx)
		}
	}()
	result, err = work(h.ctx, h)
	if err != nil {
		returned = true
		return result, h.endFailed(ctx, h.codeOf(err), err)
	}
	encoded, err := encode(result) // which may panic too
	returned = true
	if err != nil {
		err = &FieldError{"result", fmt.Sprintf("cannot be encoded as JSON: %v", err)}
		return result, h.endFailed(ctx, codeResult, &Error{Op: "do", Key: h.key, Err: err})
	}
	return result, h.endCompleted(ctx, encoded)
}

// DoOption changes what [Do] does.
type DoOption func(*doSettings)

type doSettings struct {
	acquire       AcquireOptions
	grace         time.Duration
	dontWait      bool
	leaveOnCancel bool
	errorText     bool
}

// WithAcquireOptions sets how the lease is acquired: its TTL, metadata and so on. RequestID must be empty: Do has its own.
func WithAcquireOptions(o AcquireOptions) DoOption { return func(s *doSettings) { s.acquire = o } }

// WithoutWaiting returns an [ErrInProgress] at once if the lease is in progress elsewhere. The [Error] carries how it stands.
func WithoutWaiting() DoOption { return func(s *doSettings) { s.dontWait = true } }

// WithLeaveOnCancel leaves the lease to expire, for another to take over, when the caller's context has ended and work returns an error. Otherwise it is cancelled, which is
// a failure that stands.
func WithLeaveOnCancel() DoOption { return func(s *doSettings) { s.leaveOnCancel = true } }

// WithErrorText stores also the text of the error that fails the lease, its first 1024 bytes, for all who may read the lease. Otherwise only its
// code and SHA-256 are.
func WithErrorText() DoOption { return func(s *doSettings) { s.errorText = true } }

// WithGrace sets how long before the lease can be taken over the context of work ends if it could not be extended, so that work has that long to stop; a tenth of the
// TTL but at most 1 second unless set, or 0, from 1 ms to a third of the TTL.
func WithGrace(d time.Duration) DoOption { return func(s *doSettings) { s.grace = d } }

// doing is one call of Do.
type doing struct {
	doSettings
	m   *Manager
	key string
}

func newDoing(m *Manager, key string, opts []DoOption) (*doing, error) {
	d := &doing{m: m, key: key}
	for _, o := range opts {
		o(&d.doSettings)
	}
	ttl, err := m.grant(d.acquire.TTL)
	switch {
	case err != nil: // Acquire says it too, but the next cases need a TTL
	case d.acquire.RequestID != "":
		err = &FieldError{"request_id", fmt.Sprintf("%d bytes, must be empty: Do has its own", len(d.acquire.RequestID))}
	case d.grace == 0:
	case d.grace < time.Millisecond || d.grace > ttl/3:
		err = &FieldError{"grace", fmt.Sprintf("%v, must be from 1ms to %v, a third of the TTL", d.grace, ttl/3)}
	}
	if err != nil {
		return nil, &Error{Op: "do", Key: key, Err: err}
	}
	d.acquire.RequestID = "do_" + rand.Text()
	return d, nil
}

// graceOf is how long before its end a lease of the given TTL is given up.
func (s *doSettings) graceOf(ttl time.Duration) time.Duration {
	if s.grace > 0 {
		return min(s.grace, ttl/3)
	}
	return min(ttl/10, time.Second)
}

// begin acquires the lease, or returns how it has ended. The Lease that comes with ErrInProgress is the one that stands in the way.
func (d *doing) begin(ctx context.Context) (*Held, Lease, error) {
	r := retries{clock: d.m.clock}
	waited := false
	for {
		asked := d.m.clock.Now()
		var l Lease
		acquired := false
		err := d.m.try(ctx, tryFor, func(ctx context.Context) (err error) {
			l, acquired, err = d.m.Acquire(ctx, d.key, d.acquire)
			return err
		})
		switch {
		case errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrUnavailable) && (r.tried || waited):
			// The lease may be ours: the request id makes asking again safe, and nobody else would work for a whole TTL. Or we have waited for it long
			// enough not to give up for a moment.
			if !r.pause(ctx, storeAwayFor) {
				return nil, Lease{}, err
			}
			continue
		case errors.Is(err, ErrLost): // acquired, and taken over before the answer came
			continue
		case err != nil:
			return nil, Lease{}, err
		case acquired:
			h := d.hold(ctx, l, asked)
			if h == nil { // the answer took so long that the lease is about over
				asked = d.m.clock.Now()
				if l, err = d.m.Extend(ctx, d.key, l.LeaseID, l.TTL); err == nil {
					h = d.hold(ctx, l, asked)
				}
			}
			if h != nil {
				return h, l, nil
			}
			if !r.pause(ctx, 0) {
				return nil, Lease{}, ctx.Err()
			}
			continue
		case l.State != StateInProgress:
			return nil, l, nil
		case d.dontWait:
			return nil, l, fmt.Errorf("%w: attempt %d, at most %v left", ErrInProgress, l.Attempt, l.TTLLeft.Round(time.Second))
		}
		r, waited = retries{clock: d.m.clock}, true // the store has answered
		l, err = d.m.Wait(ctx, d.key)
		switch {
		case err == nil && (l.State == StateCompleted || l.State == StateFailed && !d.acquire.RetryFailed):
			return nil, l, nil
		case err != nil && !errors.Is(err, ErrUnavailable):
			return nil, Lease{}, err
		}
	}
}

// relabel returns err, perhaps of another operation, as an error of op.
func relabel(op, key string, err error) *Error {
	if e, ok := err.(*Error); ok {
		return &Error{Op: op, Key: key, Err: e.Err, Lease: e.Lease}
	}
	return &Error{Op: op, Key: key, Err: err}
}
