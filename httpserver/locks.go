package httpserver

import "github.com/ailease/lease"

// The one-shot lock. Its answer has a form of its own, and a header with the same status for
// clients that do not read bodies.

const (
	checkLockPath = "/v1/check-lock"
	lockHeader    = "X-OnceOnly-Status"
)

type lockAnswer struct {
	Success     bool    `json:"success"`
	Status      string  `json:"status"`
	Key         string  `json:"key"`
	TTL         int64   `json:"ttl"`
	FirstSeenAt *string `json:"first_seen_at"` // null for the first caller

	repeated bool // the sender's own lock, found by its nonce
}

// duplicate is the error of a locked key, with WithDuplicateConflict.
type duplicate struct {
	Message     string  `json:"error"`
	FirstSeenAt *string `json:"first_seen_at"`
}

func (e *duplicate) Error() string { return e.Message }

func checkLock(c *call) (any, error) {
	opts := lease.LockOptions{TTL: c.seconds("ttl"), Metadata: c.raw("metadata"), Nonce: c.text("nonce", false)}
	if err := c.check(); err != nil {
		return nil, err
	}
	l, locked, err := c.manager.CheckLock(c.ctx, c.key, &opts)
	if err != nil {
		return nil, err
	}
	a := lockAnswer{Success: locked, Status: "locked", Key: l.Key, TTL: *wholeSeconds(l.TTL), repeated: l.TTLLeft < l.TTL}
	if !locked {
		a.Status, a.FirstSeenAt = "duplicate", instant(l.FirstSeenAt)
	}
	c.header.Set(lockHeader, a.Status)
	if !locked && c.duplicateConflict {
		return nil, &duplicate{"Duplicate blocked", a.FirstSeenAt}
	}
	return a, nil
}
