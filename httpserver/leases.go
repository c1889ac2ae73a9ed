package httpserver

import "github.com/ailease/lease"

// The seven endpoints of a lease's life. Each reads its fields, asks the Manager, and says how it went.

func acquire(c *call) (any, error) {
	opt := lease.AcquireOptions{
		TTL:         c.ttl(),
		Metadata:    c.raw("metadata"),
		RequestID:   c.request.Header.Get("Idempotency-Key"),
		InputHash:   c.text("input_hash", false),
		RetryFailed: c.flag("retry_failed"),
		AtMostOnce:  c.flag("at_most_once"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	l, acquired, err := c.manager.Acquire(c.ctx, c.key, opt)
	if err != nil {
		return nil, err
	}
	a := acquireAnswer{leaseAnswer: c.describe(&l), TTL: wholeSeconds(l.TTL)}
	switch {
	case acquired:
		a.Status = "acquired"
		a.LeaseID, a.TTLLeft, a.RetryAfterSec = &l.LeaseID, nil, nil
		a.Charged, a.Token = 1, l.Token
	case l.State == lease.StateInProgress:
		a.Status = "polling"
	}
	return a, nil
}

func extend(c *call) (any, error) {
	leaseID, ttl := c.text("lease_id", true), c.ttl()
	if err := c.check(); err != nil {
		return nil, err
	}
	l, err := c.manager.Extend(c.ctx, c.key, leaseID, ttl)
	if err != nil {
		return nil, err
	}
	return extendAnswer{true, "extended", l.Key, l.LeaseID, *wholeSeconds(l.TTL), l.Version, l.Attempt}, nil
}

func complete(c *call) (any, error) {
	leaseID := c.text("lease_id", true)
	done := lease.Completion{Result: c.raw("result"), ResultHash: c.text("result_hash", false)}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.ended(c.manager.Complete(c.ctx, c.key, leaseID, done))
}

func fail(c *call) (any, error) {
	leaseID := c.text("lease_id", true)
	f := lease.Failure{Code: c.text("error_code", true), Hash: c.text("error_hash", false)}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.ended(c.manager.Fail(c.ctx, c.key, leaseID, f))
}

func cancel(c *call) (any, error) {
	leaseID, reason := c.text("lease_id", true), c.text("reason", false)
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.ended(c.manager.Cancel(c.ctx, c.key, leaseID, reason))
}

func (c *call) ended(l lease.Lease, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return endAnswer{true, string(l.State), l.Key, l.Version, l.Attempt, *instant(l.DoneAt), text(l.ResultHash), text(l.ErrorCode)}, nil
}

func status(c *call) (any, error) {
	wait := c.wait()
	if err := c.check(); err != nil {
		return nil, err
	}
	l, err := c.statusWithin(wait)
	if err != nil {
		return nil, err
	}
	return c.describe(&l), nil
}

func result(c *call) (any, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	l, err := c.manager.Result(c.ctx, c.key)
	if err != nil {
		return nil, err
	}
	d := c.describe(&l)
	return resultAnswer{true, d.Status, l.Key, l.Result, d.ResultHash, d.DoneAt, d.ErrorCode, text(l.ErrorHash), l.ErrorText, d.Version, d.Attempt}, nil
}
