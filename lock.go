package lease

import (
	"cmp"
	"context"
	"encoding/json"
	"strings"
	"time"
)

// LockOptions are what CheckLock takes beside the key. The zero value is a good one.
type LockOptions struct {
	// TTL is how long the key stays locked. Its default and limits are those of [AcquireOptions].TTL.
	TTL time.Duration

	// RequestID makes the call safe to repeat: as long as the key stays locked by it, the same request id is told again that it locked the key. Up to
	// 256 bytes, unique to what the caller regards as one request.
	RequestID string

	// Metadata is a JSON object for others to read, up to 2048 bytes unless set otherwise.
	Metadata json.RawMessage
}

// Lock is what is known of a locked key at the time of a call. It is a copy.
type Lock struct {
	Key         string
	TTL         time.Duration   // as granted to whoever locked the key
	TTLLeft     time.Duration   // until the key may be locked anew, but for the clock skew; 0 if only that is left
	ExpiresAt   time.Time       // by the clock of the Manager that locked the key
	FirstSeenAt time.Time       // when the key was locked
	Metadata    json.RawMessage // from who locked the key; nil if none
}

// CheckLock locks key for short work that must not be done twice: a charge, an email. If locked is true, the caller is the first, and does
// the work. To everybody else, until the TTL has passed, it is false, and the [Lock] says since when the key is locked. There is nothing to extend, to
// complete or to release; after the TTL, and the clock skew, the next caller locks the key anew. Locks have nothing to do with the leases
// of the same keys: neither sees the other, and [Manager.Forget] leaves locks alone.
//
// A lock is at most once: if the caller dies, nobody does the work until the TTL has passed. Who does not hear the answer may ask again with the same
// RequestID; without one, it would take its own lock for another's. For work that must get done there is Acquire.
//
// Errors: [ErrInvalid], [ErrUnavailable], [ErrUnreadable], [ErrUnknownOutcome]. With the last the key may be locked, and by this call.
func (m *Manager) CheckLock(ctx context.Context, key string, opt LockOptions) (l Lock, locked bool, err error) {
	ttl, ttlErr := m.grant(opt.TTL)
	metadata, metadataErr := compactObject("metadata", opt.Metadata, m.maxMetadataBytes)
	var a applied
	if err = cmp.Or(m.checkKey(key), ttlErr, metadataErr, checkString("request_id", opt.RequestID, maxIDBytes)); err == nil {
		a, err = m.apply(ctx, m.lockKey(key), &command{verb: verbLock, op: m.newOp(), ttl: ttl, skew: m.skew, metadata: metadata, requestID: opt.RequestID}, m.began(ctx))
	}
	if err != nil {
		return Lock{}, false, &Error{Op: "check lock", Key: key, Err: err}
	}
	return Lock{
		Key:         key,
		TTL:         a.rec.TTL,
		TTLLeft:     max(0, a.rec.Deadline.Sub(a.at)),
		ExpiresAt:   a.rec.Deadline,
		FirstSeenAt: a.rec.FirstSeenAt,
		Metadata:    a.rec.Metadata, // not shared: locks are remembered without it
	}, a.outcome != outDuplicate, nil
}

// lockMark is between a namespace, which has no colon, and the slash: so no lock shares a store key with a lease, of whatever namespace.
const lockMark = ":lock"

// lockKey is where the lock of key lies.
func (m *Manager) lockKey(key string) string { return m.namespace + lockMark + "/" + key }

func isLockKey(storeKey string) bool {
	namespace, _, _ := strings.Cut(storeKey, "/")
	return strings.HasSuffix(namespace, lockMark)
}
