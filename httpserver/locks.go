package httpserver

import "github.com/ailease/lease"

// The one-shot lock. It has an answer of its own kind, and a header that says the same to who does not look into bodies.

const lockHeader = "X-OnceOnly-Status"

type lockAnswer struct {
	Success     bool    `json:"success"`
	Status      string  `json:"status"`
	Key         string  `json:"key"`
	TTL         int64   `json:"ttl"`
	FirstSeenAt *string `json:"first_seen_at"` // null for the first, who is the one that sees it
}

// duplicate refuses a duplicate, where an option says that it is to be refused.
type duplicate struct {
	Message     string  `json:"error"`
	FirstSeenAt *string `json:"first_seen_at"`
}

func (e *duplicate) Error() string { return e.Message }

func checkLock(c *call) (any, error) {
	opt := lease.LockOptions{TTL: c.ttl(), Metadata: c.raw("metadata"), RequestID: c.request.Header.Get("Idempotency-Key")}
	if err := c.check(); err != nil {
		return nil, err
	}
	l, locked, err := c.manager.CheckLock(c.ctx, c.key, opt)
	if err != nil {
		return nil, err
	}
	a := lockAnswer{Success: locked, Status: "locked", Key: l.Key, TTL: *wholeSeconds(l.TTL)}
	if !locked {
		a.Status, a.FirstSeenAt = "duplicate", instant(l.FirstSeenAt)
	}
	c.header.Set(lockHeader, a.Status)
	if !locked && c.duplicateConflict {
		return nil, &duplicate{"Duplicate blocked", a.FirstSeenAt}
	}
	return a, nil
}
