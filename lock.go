package lease

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"
)

// LockOptions are those of [Manager.CheckLock]. nil stands for the zero value.
type LockOptions struct {
	TTL      time.Duration   // how long the key stays locked; as in [AcquireOptions]
	Metadata json.RawMessage // as in [AcquireOptions]
	Nonce    string          // makes the call safe to repeat as long as the key is locked; as in [AcquireOptions]
}

// Lock is what is known of a locked key at the time of a call. It is a copy.
type Lock struct {
	Key         string
	TTL         time.Duration   // as granted to whoever locked the key
	TTLLeft     time.Duration   // until the key may be locked anew, without the clock skew; at least 0
	ExpiresAt   time.Time       // by the clock of the Manager that locked the key
	FirstSeenAt time.Time       // when the key was locked
	Metadata    json.RawMessage // from who locked the key; nil if none
}

// CheckLock locks key for short work that must not be done twice: a charge, an email. If locked is
// true, the caller is the first, and does the work. For everybody else it is false until the TTL
// and the clock skew have passed, also if the first one has died; for work that must get done there
// is [Manager.Acquire]. If the TTL is over while the first caller still works, the next one works
// too. Locks and leases of one key do not see each other. After [ErrUnknownOutcome] the key may be
// locked, and by this call, which may be repeated with the same Nonce.
func (m *Manager) CheckLock(ctx context.Context, key string, opts *LockOptions) (l Lock, locked bool, err error) {
	var o LockOptions
	if opts != nil {
		o = *opts
	}
	ttl, ttlErr := m.grant(o.TTL)
	metadata, metadataErr := compactObject("metadata", o.Metadata, m.maxMetadataBytes)
	var a applied
	began := m.began()
	if err = cmp.Or(m.checkKey(key), ttlErr, metadataErr, checkString("nonce", o.Nonce, maxIDBytes)); err == nil {
		a, err = m.apply(ctx, m.lockKey(key), &command{verb: verbLock, op: m.newOp(), ttl: ttl, skew: m.skew, metadata: metadata, nonce: o.Nonce}, began)
	}
	if err != nil {
		return Lock{}, false, &Error{Op: "check lock", Key: key, Err: err}
	}
	m.tellChecked(ctx, key, &a, began)
	return Lock{
		Key:         key,
		TTL:         a.rec.TTL,
		TTLLeft:     max(0, a.rec.Deadline.Sub(a.at)),
		ExpiresAt:   a.rec.Deadline,
		FirstSeenAt: a.rec.FirstSeenAt,
		Metadata:    a.rec.Metadata, // not shared: locks are remembered without it
	}, a.outcome != outDuplicate, nil
}

// tellChecked tells of what a CheckLock found, unless it repeats one that was told of.
func (m *Manager) tellChecked(ctx context.Context, key string, a *applied, began time.Time) {
	kind := EventLocked
	switch {
	case !m.listens() || a.outcome == outAcquiredAgain:
		return
	case a.outcome == outDuplicate:
		kind = EventDuplicate
	}
	r := *a.rec
	r.Metadata = bytes.Clone(r.Metadata) // the caller gets the other
	m.tell(ctx, &Event{Kind: kind, At: a.at}, m.lockKey(key), &r, began)
}

// ForgetLock unlocks key, for an operator who knows that the work was not done, or that the lock
// stems from a clock that was wrong. The next to ask locks the key anew. Unreadable records are
// removed too. A key that is not locked is [ErrNotFound].
func (m *Manager) ForgetLock(ctx context.Context, key string) error {
	return m.forget(ctx, "forget lock", key, m.lockKey(key))
}

// lockMark stands between a namespace, which has no colon, and the slash: no lock shares a store
// key with a lease of whatever namespace.
const lockMark = ":lock"

// lockKey is where the lock of key lies.
func (m *Manager) lockKey(key string) string { return m.namespace + lockMark + "/" + key }

func isLockKey(storeKey string) bool {
	namespace, _, _ := strings.Cut(storeKey, "/")
	return strings.HasSuffix(namespace, lockMark)
}
