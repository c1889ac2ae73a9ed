package httpserver

import (
	"errors"

	"github.com/ailease/lease"
)

// The endpoints of a lease's life. Each reads its fields, asks the Manager, and answers.

func acquire(c *call) (any, error) {
	opts := lease.AcquireOptions{
		TTL:         c.seconds("ttl"),
		Metadata:    c.raw("metadata"),
		Nonce:       c.text("nonce", false),
		InputHash:   c.text("input_hash", false),
		Retention:   c.seconds("retention"),
		RetryFailed: c.flag("retry_failed"),
		AtMostOnce:  c.flag("at_most_once"),
		Replace:     c.flag("replace"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	l, acquired, err := c.manager.Acquire(c.ctx, c.key, &opts)
	if err != nil {
		return nil, err
	}
	a := c.describeAcquire(&l, acquired)
	if acquired {
		a.Token, a.Checkpoint = l.Token, l.Checkpoint
	}
	return a, nil
}

// describeAcquire tells what has come of asking for l.
func (c *call) describeAcquire(l *lease.Lease, acquired bool) acquireAnswer {
	a := acquireAnswer{leaseAnswer: c.describe(l), TTL: wholeSeconds(l.TTL)}
	switch {
	case acquired:
		a.Status = "acquired"
		a.LeaseID, a.RetryAfterSec = &l.LeaseID, nil
		// A new lease has all of its TTL left. A call that is repeated with its nonce comes later,
		// and finds less.
		if l.TTLLeft == l.TTL {
			a.TTLLeft, a.Charged = nil, 1
		}
	case l.State == lease.StateInProgress:
		a.Status = "polling"
	}
	return a
}

func extend(c *call) (any, error) {
	leaseID := c.text("lease_id", true)
	opts := lease.ExtendOptions{
		TTL:           c.seconds("ttl"),
		Metadata:      c.raw("metadata"),
		Checkpoint:    c.raw("checkpoint"),
		CheckpointSeq: c.sequence("checkpoint_seq"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	l, err := c.manager.Extend(c.ctx, c.key, leaseID, &opts)
	if err != nil {
		return nil, err
	}
	return extendAnswer{true, "extended", l.Key, l.LeaseID, *wholeSeconds(l.TTL), l.Version, l.Attempt}, nil
}

func release(c *call) (any, error) {
	leaseID := c.text("lease_id", true)
	if err := c.check(); err != nil {
		return nil, err
	}
	l, err := c.manager.Release(c.ctx, c.key, leaseID)
	if err != nil {
		return nil, err
	}
	return releaseAnswer{true, "released", l.Key, l.Version, l.Attempt}, nil
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
	f := lease.Failure{
		Code:      c.text("error_code", true),
		Hash:      c.text("error_hash", false),
		Retryable: c.flag("retryable"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c.ended(c.manager.Fail(c.ctx, c.key, leaseID, f))
}

func cancel(c *call) (any, error) {
	leaseID, reason := c.text("lease_id", true), c.text("reason", false)
	retryable := c.flag("retryable")
	if err := c.check(); err != nil {
		return nil, err
	}
	if retryable {
		return c.ended(c.cancelRetryable(leaseID, reason))
	}
	return c.ended(c.manager.Cancel(c.ctx, c.key, leaseID, reason))
}

// cancelRetryable is a failure with the error code of a cancellation, which the Manager's Cancel
// would make permanent.
func (c *call) cancelRetryable(leaseID, reason string) (lease.Lease, error) {
	f := lease.Failure{Code: "canceled", Retryable: true}
	if reason != "" {
		f.Code += ":" + reason
	}
	l, err := c.manager.Fail(c.ctx, c.key, leaseID, f)
	if bad, ok := errors.AsType[*lease.FieldError](err); ok && bad.Field == "error_code" {
		return l, &lease.FieldError{Field: "reason", Problem: bad.Problem + `, with "canceled:" before it`}
	}
	return l, err
}

func (c *call) ended(l lease.Lease, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return endAnswer{
		OK: true, Status: string(l.State), Key: l.Key, Version: l.Version, Attempt: l.Attempt,
		DoneAt: instant(l.DoneAt), ResultHash: text(l.ResultHash), ErrorCode: text(l.ErrorCode), Retryable: l.Retryable,
	}, nil
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
	l, err := c.manager.Status(c.ctx, c.key)
	if err != nil {
		return nil, err
	}
	d := c.describe(&l)
	return resultAnswer{
		OK: true, Status: d.Status, Key: l.Key, Result: l.Result, ResultHash: d.ResultHash, DoneAt: d.DoneAt,
		ErrorCode: d.ErrorCode, ErrorHash: text(l.ErrorHash), ErrorText: l.ErrorText, Retryable: l.Retryable,
		Version: d.Version, Attempt: d.Attempt, RetryAfterSec: d.RetryAfterSec,
	}, nil
}
