package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// maxProgressBytes bounds a progress note. With the rest of the metadata it must fit into the Manager's limit too.
const maxProgressBytes = 1024

// Held is the lease under which [Do] runs a function. It is safe for concurrent use, and changes nothing any more when the function has returned.
type Held struct {
	m     *Manager
	key   string
	id    string // of the lease
	token uint64
	keeper
}

// Key is the lease's key.
func (h *Held) Key() string { return h.key }

// Token is the fencing token, see [Lease].Token: send it with every write that must not come from a holder who has lost the lease.
func (h *Held) Token() uint64 { return h.token }

// Attempt is 1 if the key was never acquired before, and one more each time.
func (h *Held) Attempt() int { return h.Lease().Attempt }

// Lease is the lease as it was last acknowledged.
func (h *Held) Lease() Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

// Extend sets the time left of the lease to ttl from now, and has Do extend it by as much from now on; see [Manager.Extend]. There is no need to
// call it for a lease of which the TTL is right: Do extends it.
//
// Errors: as for [Manager.Extend]. With [ErrLost], which may wrap [ErrNotFound] or [ErrFinished], the function's context has ended.
func (h *Held) Extend(ctx context.Context, ttl time.Duration) error {
	granted, err := h.m.grant(ttl)
	if err != nil {
		return &Error{Op: "extend", Key: h.key, Err: err}
	}
	return h.change(ctx, "extend", granted, nil)
}

// Progress shows a note to all who look at the lease: any JSON, up to 1024 bytes, as the member "progress" of its metadata, in place of the one before. It also
// extends the lease, and costs one write to the store.
//
// Errors: [ErrInvalid] if the note, or the metadata with it, is too long or cannot be encoded, else as for [Held.Extend].
func (h *Held) Progress(ctx context.Context, note any) error {
	metadata, err := h.withProgress(note)
	if err != nil {
		return &Error{Op: "progress", Key: h.key, Err: err}
	}
	return h.change(ctx, "progress", 0, metadata)
}

func (h *Held) withProgress(note any) (json.RawMessage, error) {
	encoded, err := encode(note)
	if err != nil {
		return nil, &FieldError{"progress", fmt.Sprintf("cannot be encoded: %v", err)}
	}
	if len(encoded) > maxProgressBytes {
		return nil, &FieldError{"progress", fmt.Sprintf("%d bytes, limit %d", len(encoded), maxProgressBytes)}
	}
	members := map[string]json.RawMessage{}
	if old := h.Lease().Metadata; old != nil {
		if err := json.Unmarshal(old, &members); err != nil {
			return nil, &FieldError{"metadata", err.Error()}
		}
	}
	members["progress"] = encoded
	metadata, err := encode(members)
	if err != nil {
		return nil, &FieldError{"metadata", err.Error()}
	}
	return compactObject("metadata", metadata, h.m.maxMetadataBytes)
}

// encode is json.Marshal, which makes six bytes of each '<', for the sake of HTML that nobody has asked for.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// change extends the lease, by its own TTL if ttl is 0.
func (h *Held) change(caller context.Context, op string, ttl time.Duration, metadata json.RawMessage) error {
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	unlink := context.AfterFunc(h.life, cancel)
	defer unlink()
	select {
	case <-h.changing:
		defer func() { h.changing <- struct{}{} }()
	case <-ctx.Done():
		return &Error{Op: op, Key: h.key, Err: h.whyNot(caller)}
	}
	asked := h.m.clock.Now()
	ttl, before, err := h.foresee(ttl, asked)
	if err != nil {
		return &Error{Op: op, Key: h.key, Err: err}
	}
	var l Lease
	err = h.m.try(ctx, min(ttl, before.ttl)/3, func(ctx context.Context) (err error) {
		l, err = h.m.extend(ctx, h.key, &command{leaseID: h.id, ttl: ttl, progress: metadata != nil, metadata: metadata, byDo: true})
		return err
	})
	if err == nil {
		h.extended(l, asked)
		return nil
	}
	e := relabel(op, h.key, err)
	foreseen := term{asked.Add(ttl), ttl}
	switch {
	case errors.Is(err, ErrLost), errors.Is(err, ErrNotFound), errors.Is(err, ErrFinished):
		e.Err = h.lose(e.Err)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, ErrUnknownOutcome): // says nothing about the store
		h.notExtended(nil, before, foreseen)
		e.Err = h.whyNot(caller)
	default:
		h.notExtended(e.Err, before, foreseen)
	}
	return e
}

// whyNot is why an extension was broken off: the caller's context has ended, or the lease is lost, or need not be kept any more.
func (h *Held) whyNot(caller context.Context) error {
	if err := caller.Err(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over()
}
