package lease

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ailease/lease/backend"
)

// Manager grants leases on the keys of one namespace of a store. It is safe for concurrent use.
// There is nothing to close: it runs goroutines only while [Do], Wait or Watch is under way or
// events are delivered. All methods on a key may return [ErrInvalid], [ErrUnavailable],
// [ErrUnreadable] and the context's error, and those that write [ErrUnknownOutcome]. Their own
// comments name the others.
type Manager struct {
	*core
	namespace string
}

// NewManager returns a Manager on b. It does not touch the store. An option out of range is
// [ErrInvalid], and so are limits by which a record could be larger than the store takes; see
// [backend.ValueLimiter].
func NewManager(b backend.Backend, opts ...Option) (*Manager, error) {
	s := defaults()
	for _, o := range opts {
		o(&s)
	}
	if b == nil {
		return nil, &Error{Op: "new manager", Err: &FieldError{"backend", "must not be nil"}}
	}
	most := backend.MaxValueBytes
	if v, ok := backend.As[backend.ValueLimiter](b); ok {
		most = min(most, v.MaxValueBytes())
	}
	if err := s.check(most); err != nil {
		return nil, &Error{Op: "new manager", Err: err}
	}
	return &Manager{newCore(b, s), s.namespace}, nil
}

// InNamespace returns a Manager like m for another namespace of the same store, with the limits of
// [WithNamespace]. It is cheap.
func (m *Manager) InNamespace(name string) (*Manager, error) {
	if err := checkNamespace(name); err != nil {
		return nil, &Error{Op: "in namespace", Err: err}
	}
	return &Manager{m.core, name}, nil
}

// storeKey is where the lease of key lies. A namespace has no slash, so no two pairs share a store
// key.
func (m *Manager) storeKey(key string) string { return m.namespace + "/" + key }

// Acquire asks for the lease of key. If acquired is true, the caller is its only holder until
// [Lease].ExpiresAt. It must do the work and then call Complete, Fail, Cancel or Release with the
// LeaseID. Otherwise the lease is in progress elsewhere, or has completed or failed for good, and
// is returned as it stands, with its result.
//
// Errors: [ErrInputMismatch]; [ErrLost] if the lease was acquired, but taken over or replaced
// before the store's lost answer could be had again.
func (m *Manager) Acquire(ctx context.Context, key string, opts *AcquireOptions) (l Lease, acquired bool, err error) {
	return m.acquire(ctx, key, opts, 0)
}

// acquire is Acquire. A failure stands if the key has failed so many times; 0 is no limit.
func (m *Manager) acquire(ctx context.Context, key string, opts *AcquireOptions, limit int) (l Lease, acquired bool, err error) {
	var o AcquireOptions
	if opts != nil {
		o = *opts
	}
	ttl, ttlErr := m.grant(o.TTL)
	metadata, metadataErr := compactObject("metadata", o.Metadata, m.maxMetadataBytes)
	input, inputErr := o.input()
	err = cmp.Or(
		m.checkKey(key),
		ttlErr,
		metadataErr,
		checkString("nonce", o.Nonce, maxIDBytes),
		inputErr,
		m.grantRetention(o.Retention),
	)
	l, out, err := m.change(ctx, "acquire", key, &command{
		verb:           verbAcquire,
		leaseID:        newID("lease_"),
		ttl:            ttl,
		metadata:       metadata,
		nonce:          o.Nonce,
		inputHash:      input,
		leaseRetention: o.Retention,
		limit:          limit,
		retryFailed:    o.RetryFailed,
		atMostOnce:     o.AtMostOnce,
		replace:        o.Replace,
	}, err)
	return l, err == nil && (out.writes() || out == outAcquiredAgain), err
}

// Extend sets the time left of a lease; it never adds to it. It works past the deadline too, unless
// somebody took over. Errors: [ErrNotFound], [ErrLost], [ErrFinished].
func (m *Manager) Extend(ctx context.Context, key, leaseID string, opts *ExtendOptions) (Lease, error) {
	var o ExtendOptions
	if opts != nil {
		o = *opts
	}
	ttl := o.TTL
	var ttlErr error
	if ttl != 0 {
		ttl, ttlErr = m.grant(ttl)
	}
	metadata, metadataErr := compactObject("metadata", o.Metadata, m.maxMetadataBytes)
	checkpoint, checkpointErr := compact("checkpoint", o.Checkpoint, maxCheckpointBytes)
	err := cmp.Or(ttlErr, metadataErr, checkpointErr)
	if err == nil && o.CheckpointSeq != 0 && checkpoint == nil {
		err = &FieldError{"checkpoint_seq", fmt.Sprintf("%d without a checkpoint", o.CheckpointSeq)}
	}
	return m.extend(ctx, key, &command{leaseID: leaseID, ttl: ttl, metadata: metadata, checkpoint: checkpoint, checkpointSeq: o.CheckpointSeq}, err)
}

func (m *Manager) extend(ctx context.Context, key string, c *command, err error) (Lease, error) {
	c.verb = verbExtend
	l, _, err := m.change(ctx, "extend", key, c, cmp.Or(m.checkKey(key), checkLeaseID(c.leaseID), err))
	return l, err
}

// Release gives a lease back without an end: nothing more will be done under it, and the next to
// ask acquires it at once, with the checkpoint. For an at-most-once lease it also says that nothing
// was done. It counts past the deadline, and may be repeated. Errors: as for [Manager.Extend].
func (m *Manager) Release(ctx context.Context, key, leaseID string) (Lease, error) {
	return m.end(ctx, "release", key, &command{verb: verbRelease, leaseID: leaseID}, nil)
}

// Complete ends a lease as completed, past the deadline too, unless somebody took over: the work is
// done. Repeating it with the same arguments changes nothing. Errors: as for [Manager.Extend].
func (m *Manager) Complete(ctx context.Context, key, leaseID string, done Completion) (Lease, error) {
	result, err := m.encodeResult(done.Result)
	return m.end(ctx, "complete", key, &command{
		verb:       verbComplete,
		leaseID:    leaseID,
		result:     result,
		resultHash: done.ResultHash,
	}, cmp.Or(err, checkString("result_hash", done.ResultHash, maxIDBytes)))
}

// Fail ends a lease as failed. It counts past the deadline, and may be repeated, as Complete.
// Errors: as for [Manager.Extend].
func (m *Manager) Fail(ctx context.Context, key, leaseID string, f Failure) (Lease, error) {
	c, err := m.failing(leaseID, f)
	return m.end(ctx, "fail", key, c, err)
}

func (m *Manager) failing(leaseID string, f Failure) (*command, error) {
	err := cmp.Or(
		checkString("error_code", f.Code, m.maxErrorCodeBytes),
		checkString("error_hash", f.Hash, maxIDBytes),
		checkString("error_text", f.Text, maxErrorTextBytes),
	)
	if f.Code == "" {
		err = &FieldError{"error_code", fmt.Sprintf("0 bytes, must be from 1 to %d", m.maxErrorCodeBytes)}
	}
	return &command{
		verb: verbFail, leaseID: leaseID,
		errorCode: f.Code, errorHash: f.Hash, errorText: f.Text, retryable: f.Retryable,
	}, err
}

// Cancel ends a lease as failed for good, with the error code "canceled", or "canceled:" and the
// reason, of up to 256 bytes unless set otherwise. Errors: as for [Manager.Extend].
func (m *Manager) Cancel(ctx context.Context, key, leaseID, reason string) (Lease, error) {
	code := "canceled"
	if reason != "" {
		code += ":" + reason
	}
	c := &command{verb: verbFail, leaseID: leaseID, errorCode: code, cancel: true}
	return m.end(ctx, "cancel", key, c, checkString("reason", reason, m.maxReasonBytes))
}

// end runs a command that ends or releases a lease.
func (m *Manager) end(ctx context.Context, op, key string, c *command, err error) (Lease, error) {
	l, _, err := m.change(ctx, op, key, c, cmp.Or(m.checkKey(key), checkLeaseID(c.leaseID), err))
	return l, err
}

// Status tells how the lease of key stands, with its result. That there is none is an answer,
// [StateNotFound], and not an error.
func (m *Manager) Status(ctx context.Context, key string) (Lease, error) {
	err := m.checkKey(key)
	if err == nil {
		var s stored
		if s, err = m.load(ctx, m.storeKey(key)); err == nil {
			l := m.view(key, s.rec, m.clock.Now())
			if l.State == StateExpired {
				m.tell(ctx, &Event{Kind: EventExpiredSeen}, m.storeKey(key), s.rec, time.Time{})
			}
			return l, nil
		}
	}
	return Lease{}, &Error{Op: "status", Key: key, Err: err}
}

// Forget erases the lease of key, in whatever state, for an operator who knows that nobody works on
// it. The key can be acquired as if new; a holder learns of it at its next call. Unreadable records
// are removed too. A key without a lease is [ErrNotFound]. To redo what has failed, RetryFailed is
// better: it takes no lease that has begun meanwhile, and keeps the checkpoint.
func (m *Manager) Forget(ctx context.Context, key string) error {
	return m.forget(ctx, "forget", key, m.storeKey(key))
}

func (m *Manager) forget(ctx context.Context, op, key, storeKey string) error {
	err := m.checkKey(key)
	if err == nil {
		err = m.erase(ctx, storeKey)
	}
	if err != nil {
		return &Error{Op: op, Key: key, Err: err}
	}
	return nil
}

// change runs a command whose arguments have been checked, with the result err.
func (m *Manager) change(ctx context.Context, op, key string, c *command, err error) (Lease, outcome, error) {
	if err != nil {
		return Lease{}, 0, &Error{Op: op, Key: key, Err: err}
	}
	m.prepare(c)
	storeKey, began := m.storeKey(key), m.began()
	a, err := m.apply(ctx, storeKey, c, began)
	l, err := m.told(ctx, op, key, c, &a, err, began)
	return l, a.outcome, err
}

// prepare fills in what a command gets from the Manager and from chance.
func (m *Manager) prepare(c *command) {
	c.retention, c.skew, c.op = m.retention, m.skew, m.newOp()
	if c.retryable {
		c.jitter = rand.Float64()
	}
}

// told is what the caller is told of what c came to, and observers too.
func (m *Manager) told(ctx context.Context, op, key string, c *command, a *applied, err error, began time.Time) (Lease, error) {
	m.tellApplied(ctx, m.storeKey(key), c, a, err, began)
	var l Lease
	r, own := a.rec, false
	if r != nil {
		l = m.view(key, r, a.at)
		if own = r.Run == nil || c.leaseID == r.LeaseID && c.leaseID != r.Run.Ticket; own {
			m.fillOwn(&l, r, a.at)
		}
	}
	if err != nil {
		a.outcome = 0
		return Lease{}, &Error{Op: op, Key: key, Err: err, Lease: l}
	}
	switch {
	case a.outcome == outPolling, a.outcome == outAcquiredAgain:
		m.fillInProgress(&l, a.at)
	case a.outcome == outEnded && l.State == StateExpired: // for an at-most-once caller, it has ended
		code := codeExpired
		if l.Released {
			code = codeReleased
		}
		fillFailed(&l, code)
	}
	if own && (c.verb == verbExtend || (c.verb == verbAcquire || c.verb == verbClaim) && a.outcome != outPolling && a.outcome != outEnded) {
		l.Checkpoint = bytes.Clone(r.Checkpoint)
	}
	return l, nil
}
