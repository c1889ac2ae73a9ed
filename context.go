package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/ailease/lease/internal/testhook"
)

// What a function under a lease finds in its context.

// holder is a lease that a context carries.
type holder interface {
	snapshot() Lease // as it was last acknowledged
	ticket() string  // of the run that it is a claim of; "" if it is none
	ended() error    // why it is not held any more; nil if it is
	save(ctx context.Context, v json.RawMessage) error
	note(v json.RawMessage)
	within() context.Context // the one around its own, to search outwards
}

type holderKey struct{}

func holderOf(ctx context.Context) (holder, bool) {
	h, ok := ctx.Value(holderKey{}).(holder)
	return h, ok
}

// FromContext returns the innermost lease under which the caller works, as it was last
// acknowledged. ok is false outside of [Do]. It does not ask the store.
func FromContext(ctx context.Context) (l Lease, ok bool) {
	h, ok := holderOf(ctx)
	if !ok {
		return Lease{}, false
	}
	l = h.snapshot()
	l.Metadata, l.Progress, l.Checkpoint = bytes.Clone(l.Metadata), bytes.Clone(l.Progress), bytes.Clone(l.Checkpoint)
	return l, true
}

// Token returns the fencing token of key, for a write that must not come from a holder who has lost
// the lease. It looks for a lease of that key from the innermost outwards, and does not ask the
// store. If this context holds no lease of key, or none any more, the error is [ErrNoLease].
func Token(ctx context.Context, key string) (uint64, error) {
	for h, ok := holderOf(ctx); ok; h, ok = holderOf(h.within()) {
		l := h.snapshot()
		if l.Key != key {
			continue
		}
		if why := h.ended(); why != nil {
			return 0, &Error{Op: "token", Key: key, Err: fmt.Errorf("%w: %w", ErrNoLease, why), Lease: l}
		}
		return l.Token, nil
	}
	return 0, &Error{Op: "token", Key: key, Err: ErrNoLease}
}

// Save stores v as the checkpoint of the innermost lease: JSON of up to 64 KiB, in place of the
// checkpoint before. The next attempt finds it with [Load], after a failure too. It goes when the
// lease completes. Save also extends the lease, and costs one write.
//
// Once the function's context has ended, because the caller has gone, Save still works for as long
// as the lease is held. So a loop looks at ctx.Err() itself. Before that, the end of a derived
// context breaks Save off.
//
// Errors: [ErrNoLease] outside of [Do] and of handlers of runs; [ErrInvalid] if v cannot be encoded
// or is too large; [ErrFinished] if the function has returned; [ErrLost], [ErrUnavailable],
// [ErrUnreadable], [ErrUnknownOutcome].
func Save(ctx context.Context, v any) error {
	h, ok := holderOf(ctx)
	if !ok {
		return &Error{Op: "save", Err: ErrNoLease}
	}
	encoded, err := encode(v)
	switch {
	case err != nil:
		err = &FieldError{"checkpoint", fmt.Sprintf("cannot be encoded as JSON: %v", err)}
	case len(encoded) > maxCheckpointBytes:
		err = &FieldError{"checkpoint", fmt.Sprintf("%d bytes, limit %d", len(encoded), maxCheckpointBytes)}
	default:
		err = h.save(ctx, encoded)
	}
	if err != nil {
		return relabel("save", h.snapshot().Key, err)
	}
	return nil
}

// Load decodes the checkpoint of the innermost lease into v: what this attempt saved last, or else
// what an earlier one did. It returns false, and leaves v alone, if there is none. It does not ask
// the store. Errors: [ErrNoLease] as from [Save]; [ErrResultType] if the checkpoint cannot be
// decoded into v.
func Load(ctx context.Context, v any) (bool, error) {
	h, ok := holderOf(ctx)
	if !ok {
		return false, &Error{Op: "load", Err: ErrNoLease}
	}
	l := h.snapshot()
	if len(l.Checkpoint) == 0 {
		return false, nil
	}
	if err := unmarshal(l.Checkpoint, v); err != nil {
		err = fmt.Errorf("%w: a checkpoint of %d bytes cannot be decoded as %v: %w", ErrResultType, len(l.Checkpoint), elem(v), err)
		return false, &Error{Op: "load", Key: l.Key, Err: err, Lease: l}
	}
	return true, nil
}

// Progress shows v, any JSON of up to 1024 bytes, to all who look at the innermost lease, as
// [Lease].Progress. It returns at once: the note rides on the next write of the lease, and causes
// one at most once a second. Instead of what cannot be shown, the note says why. Outside of [Do] it
// does nothing.
func Progress(ctx context.Context, v any) {
	h, ok := holderOf(ctx)
	if !ok {
		return
	}
	encoded, err := encode(v)
	if err == nil && len(encoded) > maxProgressBytes {
		err = fmt.Errorf("%d bytes, limit %d", len(encoded), maxProgressBytes)
	}
	if err != nil {
		encoded, _ = encode(fmt.Sprintf("progress cannot be shown: %.200v", err)) // a string always encodes
	}
	h.note(encoded)
}

// Package leasetest makes contexts of leases that no Manager has granted.
func init() {
	testhook.Context = func(ctx context.Context, l any) context.Context {
		return context.WithValue(ctx, holderKey{}, &looseHolder{around: ctx, lease: l.(Lease)})
	}
}
