package lease

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ailease/lease/backend"
)

// Manager grants leases on the keys of one namespace of a store. It is safe for concurrent use; it has nothing to close, and runs a goroutine only
// while Do, Wait or Watch is under way: the backend belongs to whoever opened it.
type Manager struct {
	*core
	namespace string
}

// NewManager returns a Manager on b. It does not touch the store. An option out of range is an [ErrInvalid].
func NewManager(b backend.Backend, opts ...Option) (*Manager, error) {
	s := defaults()
	for _, o := range opts {
		o(&s)
	}
	if b == nil {
		return nil, &Error{Op: "new manager", Err: &FieldError{"backend", "must not be nil"}}
	}
	if err := s.check(); err != nil {
		return nil, &Error{Op: "new manager", Err: err}
	}
	return &Manager{newCore(b, s), s.namespace}, nil
}

// InNamespace returns a Manager like m for another namespace of the same store, with the limits of [WithNamespace].
// It is cheap: make one per call if that is convenient.
func (m *Manager) InNamespace(name string) (*Manager, error) {
	if err := checkNamespace(name); err != nil {
		return nil, &Error{Op: "in namespace", Err: err}
	}
	return &Manager{m.core, name}, nil
}

// storeKey is where the lease of key lies. A namespace has no slash, so no two pairs share a store key.
func (m *Manager) storeKey(key string) string { return m.namespace + "/" + key }

// Lease is what is known of a lease at the time of a call. It is a copy.
type Lease struct {
	Key     string
	State   State
	LeaseID string // the capability to extend and end the lease: show it to its holder alone

	// Version is 1 for a key's first lease and grows by one with each accepted change.
	Version uint64

	// Token is the fencing token. It grows with every acquisition of the key for ever, not by one, also after the key was forgotten: a
	// resource that remembers the greatest token it has seen, and refuses smaller ones, is safe from holders who
	// do not know yet that they lost the lease.
	Token uint64

	Attempt     int           // 1 for a key's first lease, and one more for each that took over an expired or failed one
	TTL         time.Duration // as granted when the lease was acquired or last extended
	TTLLeft     time.Duration // until the deadline; 0 unless in progress
	ExpiresAt   time.Time     // the deadline, by the clock of the Manager that set it
	FirstSeenAt time.Time     // when the key was first acquired
	AcquiredAt  time.Time     // when this lease was acquired
	DoneAt      time.Time     // when the lease ended; zero unless completed or failed

	Metadata   json.RawMessage // the holder's, as given to Acquire; nil if none
	Result     json.RawMessage // from Acquire, Complete, Result, Wait and Watch; nil if none was given
	ResultHash string
	ErrorCode  string
	ErrorHash  string
	ErrorText  string // only if whoever failed the lease wanted it stored

	RetryAfter time.Duration // for a poller: when to ask again; 0 unless in progress
}

// view is how r reads at now; a nil r is the absence of a record.
func (m *Manager) view(key string, r *record, now time.Time) Lease {
	state := r.stateAt(now, m.skew)
	if state == StateNotFound {
		return Lease{Key: key, State: state}
	}
	l := Lease{
		Key:         key,
		State:       state,
		LeaseID:     r.LeaseID,
		Version:     r.Version,
		Token:       r.Token,
		Attempt:     r.Attempt,
		TTL:         r.TTL,
		ExpiresAt:   r.Deadline,
		FirstSeenAt: r.FirstSeenAt,
		AcquiredAt:  r.AcquiredAt,
		DoneAt:      r.DoneAt,
		Metadata:    bytes.Clone(r.Metadata), // the record may be remembered
		Result:      r.Result,
		ResultHash:  r.ResultHash,
		ErrorCode:   r.ErrorCode,
		ErrorHash:   r.ErrorHash,
		ErrorText:   r.ErrorText,
	}
	switch {
	case state == StateInProgress:
		m.fillInProgress(&l, now)
	case state == StateFailed && r.State == StateInProgress:
		l.DoneAt, l.ErrorCode = r.Deadline, codeExpired
	}
	return l
}

func (m *Manager) fillInProgress(l *Lease, now time.Time) {
	l.State, l.DoneAt, l.ErrorCode = StateInProgress, time.Time{}, ""
	l.TTLLeft = max(0, l.ExpiresAt.Sub(now))
	l.RetryAfter = max(time.Second, min(m.retryAfter, l.ExpiresAt.Add(m.skew).Sub(now)))
}

// AcquireOptions are what Acquire takes beside the key. The zero value is a good one.
type AcquireOptions struct {
	// TTL is how long the lease lasts unless it is extended. 0: the default of the Manager. Less than the least, usually 1 second: [ErrInvalid].
	// More than the maximum is clamped; [Lease].TTL says what was granted.
	TTL time.Duration

	// Metadata is a JSON object for others to read, up to 2048 bytes unless set otherwise.
	Metadata json.RawMessage

	// RequestID makes the call safe to repeat: while the lease that it acquired is in progress, the same request id gets that lease
	// again. Up to 256 bytes, unique to what the caller regards as one request.
	RequestID string

	// InputHash says which input the work is on, up to 256 bytes. If the key is known with another, Acquire
	// fails with [ErrInputMismatch]: somebody uses one key for two things.
	InputHash string

	// RetryFailed acquires anew what has failed or was cancelled. Otherwise a failure stands until its retention is over.
	RetryFailed bool

	// AtMostOnce forbids that the lease is taken over because it expired, for work whose half-done effects nobody may repeat blindly.
	// Past its deadline it reads as failed, with error code "expired"; its holder may still end it; another acquires it
	// only with RetryFailed, having looked.
	AtMostOnce bool
}

// Acquire asks for the lease of key. If acquired is true, the caller is its only holder until [Lease].ExpiresAt, and must do the work and then call
// Complete, Fail or Cancel with the LeaseID. Otherwise the lease is in progress elsewhere, or has completed or
// failed and is returned as it stands, with its result.
//
// Errors: [ErrInvalid], [ErrInputMismatch], [ErrUnavailable], [ErrUnreadable], [ErrUnknownOutcome]; [ErrLost] in the rare case
// that the lease was acquired, but taken over before the store's lost answer could be had again.
func (m *Manager) Acquire(ctx context.Context, key string, opt AcquireOptions) (l Lease, acquired bool, err error) {
	ttl, ttlErr := m.grant(opt.TTL)
	metadata, metadataErr := compactObject("metadata", opt.Metadata, m.maxMetadataBytes)
	err = cmp.Or(
		m.checkKey(key),
		ttlErr,
		metadataErr,
		checkString("request_id", opt.RequestID, maxIDBytes),
		checkString("input_hash", opt.InputHash, maxIDBytes),
	)
	l, out, err := m.change(ctx, "acquire", key, &command{
		verb:        verbAcquire,
		leaseID:     "lease_" + rand.Text(),
		ttl:         ttl,
		metadata:    metadata,
		requestID:   opt.RequestID,
		inputHash:   opt.InputHash,
		retryFailed: opt.RetryFailed,
		atMostOnce:  opt.AtMostOnce,
	}, err)
	return l, err == nil && (out.writes() || out == outAcquiredAgain), err
}

// Extend sets the time left of a lease to ttl from now; it never adds to it. 0 is the Manager's default, and the limits
// are those of [AcquireOptions].TTL. It works also past the deadline, as long as nobody took over.
//
// Errors: [ErrNotFound], [ErrLost], [ErrFinished], [ErrInvalid], [ErrUnavailable], [ErrUnreadable], [ErrUnknownOutcome].
func (m *Manager) Extend(ctx context.Context, key, leaseID string, ttl time.Duration) (Lease, error) {
	return m.extend(ctx, key, &command{leaseID: leaseID, ttl: ttl})
}

func (m *Manager) extend(ctx context.Context, key string, c *command) (Lease, error) {
	granted, err := m.grant(c.ttl)
	err = cmp.Or(m.checkKey(key), checkLeaseID(c.leaseID), err)
	c.verb, c.ttl = verbExtend, granted
	l, _, err := m.change(ctx, "extend", key, c, err)
	return l, err
}

// Completion is how a lease ends well.
type Completion struct {
	Result     json.RawMessage // any JSON, up to 256 KiB unless set otherwise; nil for none
	ResultHash string          // up to 256 bytes; stored as given
}

// Complete ends a lease as completed. It counts also past the deadline, as long as nobody took over: the work is done. Repeating it with
// the same arguments succeeds and changes nothing.
//
// Errors: as for [Manager.Extend].
func (m *Manager) Complete(ctx context.Context, key, leaseID string, done Completion) (Lease, error) {
	return m.complete(ctx, key, leaseID, done, false)
}

func (m *Manager) complete(ctx context.Context, key, leaseID string, done Completion, byDo bool) (Lease, error) {
	result, err := compact("result", done.Result, m.maxResultBytes)
	err = cmp.Or(m.checkKey(key), checkLeaseID(leaseID), err, checkString("result_hash", done.ResultHash, maxIDBytes))
	l, _, err := m.change(ctx, "complete", key, &command{
		verb:       verbComplete,
		leaseID:    leaseID,
		result:     result,
		resultHash: done.ResultHash,
		byDo:       byDo,
	}, err)
	return l, err
}

// Failure is how a lease ends badly.
type Failure struct {
	Code string // for programs to branch on, up to 128 bytes unless set otherwise; required
	Hash string // up to 256 bytes; stored as given, to recognise the same error again without storing its text
	Text string // up to 1024 bytes, for people; think of what an error's text may give away before storing it
}

// Fail ends a lease as failed. Like Complete it counts past the deadline, and may be repeated.
//
// Errors: as for [Manager.Extend].
func (m *Manager) Fail(ctx context.Context, key, leaseID string, f Failure) (Lease, error) {
	return m.fail(ctx, key, leaseID, f, false)
}

func (m *Manager) fail(ctx context.Context, key, leaseID string, f Failure, byDo bool) (Lease, error) {
	err := cmp.Or(checkString("error_code", f.Code, m.maxErrorCodeBytes), checkString("error_hash", f.Hash, maxIDBytes), checkString("error_text", f.Text, maxErrorTextBytes))
	if f.Code == "" {
		err = &FieldError{"error_code", fmt.Sprintf("0 bytes, must be from 1 to %d", m.maxErrorCodeBytes)}
	}
	return m.endBadly(ctx, "fail", key, leaseID, f, byDo, err)
}

// Cancel ends a lease as failed with the error code "canceled", or "canceled:" and the reason if there is one, which has up to 256 bytes
// unless set otherwise.
//
// Errors: as for [Manager.Extend].
func (m *Manager) Cancel(ctx context.Context, key, leaseID, reason string) (Lease, error) {
	code := "canceled"
	if reason != "" {
		code += ":" + reason
	}
	return m.endBadly(ctx, "cancel", key, leaseID, Failure{Code: code}, false, checkString("reason", reason, m.maxReasonBytes))
}

func (m *Manager) endBadly(ctx context.Context, op, key, leaseID string, f Failure, byDo bool, err error) (Lease, error) {
	err = cmp.Or(m.checkKey(key), checkLeaseID(leaseID), err)
	l, _, err := m.change(ctx, op, key, &command{
		verb:      verbFail,
		leaseID:   leaseID,
		errorCode: f.Code,
		errorHash: f.Hash,
		errorText: f.Text,
		byDo:      byDo,
	}, err)
	return l, err
}

// Status tells how the lease of key stands, all but its result. That there is none is an answer, [StateNotFound], and not an error.
//
// Errors: [ErrInvalid], [ErrUnavailable], [ErrUnreadable].
func (m *Manager) Status(ctx context.Context, key string) (Lease, error) {
	l, err := m.read(ctx, "status", key)
	l.Result = nil
	return l, err
}

// Result is Status with the stored result, which is there from completion until the retention is over.
//
// Errors: as for [Manager.Status].
func (m *Manager) Result(ctx context.Context, key string) (Lease, error) {
	return m.read(ctx, "result", key)
}

// Forget erases the lease of key, in whatever state, for an operator who knows that nobody works on it: its holder learns of it when it next
// calls, and the key can be acquired as if new. It removes unreadable records too.
//
// Errors: [ErrNotFound], [ErrInvalid], [ErrUnavailable], [ErrUnknownOutcome].
func (m *Manager) Forget(ctx context.Context, key string) error {
	err := m.checkKey(key)
	if err == nil {
		err = m.erase(ctx, m.storeKey(key))
	}
	if err != nil {
		return &Error{Op: "forget", Key: key, Err: err}
	}
	return nil
}

func (m *Manager) read(ctx context.Context, op, key string) (Lease, error) {
	err := m.checkKey(key)
	if err == nil {
		var s stored
		if s, err = m.load(ctx, m.storeKey(key)); err == nil {
			l := m.view(key, s.rec, m.clock.Now())
			if l.State == StateExpired {
				m.tell(ctx, Event{Kind: EventExpiredSeen}, m.storeKey(key), s.rec, time.Time{})
			}
			return l, nil
		}
	}
	return Lease{}, &Error{Op: op, Key: key, Err: err}
}

// change runs a command whose arguments have been checked, with the result err.
func (m *Manager) change(ctx context.Context, op, key string, c *command, err error) (Lease, outcome, error) {
	if err != nil {
		return Lease{}, 0, &Error{Op: op, Key: key, Err: err}
	}
	c.retention, c.skew, c.op = m.retention, m.skew, m.newOp()
	storeKey, began := m.storeKey(key), m.began(ctx)
	a, err := m.apply(ctx, storeKey, c, began)
	m.tellApplied(ctx, storeKey, c, &a, err, began)
	l := Lease{}
	if a.rec != nil {
		l = m.view(key, a.rec, a.at)
	}
	if err != nil {
		return Lease{}, 0, &Error{Op: op, Key: key, Err: err, Lease: l}
	}
	if a.outcome == outPolling {
		m.fillInProgress(&l, a.at) // also expired, where clock skew forbids the takeover yet
	}
	return l, a.outcome, nil
}
