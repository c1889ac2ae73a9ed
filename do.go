package lease

import (
	"context"
	"encoding/json"
	"time"
)

// defaultDoTTL is the TTL of a lease under Do: Do extends it, so it may be short.
const defaultDoTTL = 30 * time.Second

// DoOptions are the options of [Do] and [Exec]. nil stands for the zero value.
type DoOptions struct {
	// TTL is how long all others wait if this process dies; 30 seconds unless set. Do extends the
	// lease while the function runs. The limits are those of [AcquireOptions].TTL.
	TTL time.Duration

	// Grace is how much time the function gets to stop, if the lease could not be extended, before
	// another can take it over. 1 ms to a third of the TTL; unless set a tenth, at most a second.
	Grace time.Duration

	Metadata  json.RawMessage // as in [AcquireOptions], like the next two
	Input     any
	Retention time.Duration

	// Attempts is how many failures during the call, whoever has them, end it: until then who
	// failed, and those who wait, try again, after ever longer pauses. 0: the first is shared.
	Attempts int

	AtMostOnce  bool // as in [AcquireOptions]; a failure is permanent unless marked [Retryable]
	RetryFailed bool // works anew also if a permanent failure stood when Do was called; one that comes later is shared
	Replace     bool // as in [AcquireOptions]; asked for once, not after Do has waited
	NoWait      bool // returns [ErrInProgress] at once if another holds the key, and leaves it

	// Finish keeps the function's context alive when the caller's ends, as if a client hangs up: Do
	// goes on until the function returns. Who waits for another's work stops waiting.
	Finish bool

	ErrorText bool // stores the first 1024 bytes of the error's text too, for all who may read the lease
}

// Do runs work under the lease of key, once among all who call it with that key, and returns its
// result to all of them.
//
//  1. Callers with one key share one run. The first acquires the lease and runs work; the others
//     wait, on whichever host they are. All of them get the same value, the first too, as decoded
//     from the JSON that was stored; a variable that work sets tells who ran it. A result that
//     cannot be stored, such as one above 256 KiB, or not decoded, is a permanent failure with code
//     "result".
//  2. A failure is shared by those who were waiting. Whoever calls later tries again, unless work
//     marked its error [Permanent]. With AtMostOnce a failure is permanent unless work marked its
//     error [Retryable]. All of them get an error that is [ErrFailed], of which [Code] tells the
//     code: what the error's method ErrorCode() string returns, else "error". Where work ran,
//     errors.As finds the original too.
//  3. If the caller's context ends, so does work's. Once work has returned with an error, the lease
//     is released: the next caller goes on at once, with the checkpoint. With AtMostOnce it fails,
//     permanently, with code "canceled:" and the cause's. With Finish work and Do go on.
//  4. work's context ends before anyone else can acquire the lease, by as much as Grace says. Its
//     [context.Cause] wraps [ErrLost] and says why. Three things are told only after they have
//     happened: [Manager.Forget], Replace, and an end by whoever has the lease id. What work
//     returns all the same is stored if nobody took over.
//  5. Do fails at once, with [ErrInProgress], if work calls it again for a key whose lease its
//     context holds. Two pairs of Do that nest two keys in opposite order wait for each other.
//  6. If work panics or exits its goroutine, the lease fails with code "panic", and the panic goes
//     on. Whatever the methods of its error or result do, the lease ends.
//  7. With Input, a key that stands for other input is [ErrInputMismatch] at once.
//  8. Nothing but the store and the scheduler delays the extension of the lease, which is due after
//     each third of the TTL. A store that is away is asked again until the lease is over.
//
// work must stop when its context ends: until it returns, Do does not, and the lease is extended.
// In the context [FromContext], [Token], [Save], [Load] and [Progress] find the lease.
//
// Errors: [ErrFailed]; [ErrLost]; [ErrInProgress]; [ErrResultType] for what others have stored;
// those of [Manager.Acquire] and [Manager.Complete]; and the context's. Test for the first two
// first: they may wrap what work returned, such as the end of a context. With an error from
// Complete work was done, and its result is returned too.
func Do[T any](ctx context.Context, m *Manager, key string, opts *DoOptions, work func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if work == nil {
		return none, &Error{Op: "do", Key: key, Err: &FieldError{"work", "must not be nil"}}
	}
	d, err := newDoing(m, key, opts)
	if err != nil {
		return none, err
	}
	for {
		h, l, err := d.begin(ctx)
		if err != nil {
			e := relabel("do", key, err)
			if l.State != "" {
				e.Lease = l
			}
			return none, e
		}
		if h == nil {
			var result T
			if err := l.decode(&result); err != nil {
				return none, &Error{Op: "do", Key: key, Err: err, Lease: l}
			}
			return result, nil
		}
		result, err := perform(ctx, h, work)
		if err == nil || !d.again(ctx, h) {
			return result, err
		}
	}
}

// Exec is [Do] for work without a result. A lease that was completed with a result serves as well.
func Exec(ctx context.Context, m *Manager, key string, opts *DoOptions, work func(ctx context.Context) error) error {
	if work == nil {
		return &Error{Op: "do", Key: key, Err: &FieldError{"work", "must not be nil"}}
	}
	_, err := Do(ctx, m, key, opts, func(ctx context.Context) (struct{}, error) { return struct{}{}, work(ctx) })
	return err
}

// Await waits as [Manager.Wait] does, and returns the result of what is mostly somebody else's
// work. Errors: those of Manager.Wait and [Lease.DecodeResult].
func Await[T any](ctx context.Context, m *Manager, key string) (T, error) {
	var none, result T
	l, err := m.Wait(ctx, key)
	if err == nil {
		if err = l.decode(&result); err == nil {
			return result, nil
		}
		err = &Error{Err: err, Lease: l}
	}
	return none, relabel("await", key, err)
}

// perform runs work under the lease of h, and ends it.
func perform[T any](ctx context.Context, h *hold, work func(ctx context.Context) (T, error)) (result T, err error) {
	var none T
	if h.Finish { // whether the caller still waits does not matter from here on
		ctx = context.WithoutCancel(ctx)
	}
	broken := verdictOf{code: codePanic, retryable: !h.AtMostOnce} // what breaks off what follows
	ended := false
	defer func() {
		if !ended { // it panics or exits, and goes on to: recovering would lose where
			h.endBroken(ctx, broken)
		}
	}()
	value, err := work(h.ctx)
	if err != nil {
		err = h.endFailed(ctx, err)
		ended = true
		return none, err
	}
	broken = verdictOf{code: codeResult} // the work was done
	encoded, result, err := storable(h.m, value)
	if err != nil {
		err = h.endUnstorable(ctx, err)
		ended = true
		return none, err
	}
	err = h.endCompleted(ctx, encoded)
	ended = true
	return result, err
}
