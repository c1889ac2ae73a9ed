package lease

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
)

func init() {
	runlink.Of = func(m any) runlink.Steps { return runSteps{m.(*Manager)} }
}

// runSteps is what package runs uses of a Manager.
type runSteps struct{ *Manager }

func (m runSteps) Store() (backend.Backend, string) { return m.backend, m.namespace }

func (m runSteps) Now() time.Time { return m.clock.Now() }

func (m runSteps) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return m.clock.AfterFunc(d, f)
}

func (m runSteps) Grant(ttl time.Duration) (time.Duration, error) { return m.grant(ttl) }

func (m runSteps) MaxMetadataBytes() int { return m.maxMetadataBytes }

func (m runSteps) Look(ctx context.Context, key string) (runlink.Sight, error) {
	err := m.checkKey(key)
	if err == nil {
		var s stored
		if s, err = m.load(ctx, m.storeKey(key)); err == nil {
			return m.sight(key, s), nil
		}
	}
	return runlink.Sight{}, &Error{Op: "look", Key: key, Err: err}
}

// sight is how s stands now.
func (m runSteps) sight(key string, s stored) runlink.Sight {
	r, now := s.rec, m.clock.Now().UTC().Round(0)
	g := runlink.Sight{Key: key, Revision: s.revision, Lease: m.view(key, r, now), Record: s}
	switch state := r.stateAt(now, m.skew); {
	case state == StateNotFound:
		return g
	case !r.unfinished() && r.State != stateReleased:
		g.Standing = runlink.Ended
	case r.Run != nil && r.State == StateInProgress:
		g.Standing, g.Next, g.ClaimID = runlink.Claimed, r.claimable(now, m.skew), r.LeaseID
	case r.Run != nil:
		g.Standing, g.Next = runlink.Waiting, r.claimable(now, m.skew)
	case r.State == stateReleased || !now.Before(r.Deadline.Add(m.skew)):
		g.Standing = runlink.Open
	default:
		g.Standing, g.Next = runlink.Held, r.Deadline.Add(m.skew)
	}
	if n := r.Run; n != nil {
		g.Due, g.Task, g.Input, g.Until = n.Due, n.Task, n.Input, n.Until
		g.Attempts, g.LastCode = n.Attempts, n.LastCode
	}
	return g
}

// starting is the command of a request.
func (m runSteps) starting(key string, r runlink.Request) (*command, error) {
	metadata, metadataErr := compactObject("metadata", r.Metadata, m.maxMetadataBytes)
	input, inputErr := compact("input", r.Input, maxRunInputBytes)
	o := AcquireOptions{InputHash: r.InputHash, AtMostOnce: r.AtMostOnce, Replace: r.Replace}
	hash, hashErr := o.input()
	err := cmp.Or(
		m.checkKey(key), metadataErr, inputErr, hashErr,
		checkString("nonce", r.Nonce, maxIDBytes),
		checkString("task", r.Task, maxIDBytes),
		m.grantRetention(r.Retention),
	)
	for _, d := range []struct {
		name       string
		value, low time.Duration
	}{{"within", r.Within, time.Second}, {"delay", r.Delay, 0}, {"pause_first", r.PauseFirst, 0}, {"pause_most", r.PauseMost, 0}} {
		if err == nil && (d.value < d.low || d.value > longest) {
			err = &FieldError{d.name, fmt.Sprintf("%v, must be from %v to %v", d.value, d.low, longest)}
		}
	}
	if err == nil && r.Attempts < 0 {
		err = &FieldError{"attempts", fmt.Sprintf("%d, must not be negative", r.Attempts)}
	}
	c := &command{
		verb: verbAcquire, leaseID: newID("lease_"), metadata: metadata, nonce: r.Nonce, inputHash: hash,
		leaseRetention: r.Retention, retryFailed: r.RetryFailed, atMostOnce: r.AtMostOnce, replace: r.Replace,
		start: &start{
			task: r.Task, input: input, delay: r.Delay, within: r.Within,
			attempts: r.Attempts, pauseFirst: r.PauseFirst, pauseMost: r.PauseMost,
		},
	}
	m.prepare(c)
	return c, err
}

func (m runSteps) WouldStart(g runlink.Sight, r runlink.Request) (writes bool, a runlink.Answer, err error) {
	c, err := m.starting(g.Key, r)
	if err != nil {
		return false, a, &Error{Op: "start", Key: g.Key, Err: err}
	}
	began, s := m.began(), g.Record.(stored)
	now := m.clock.Now().UTC().Round(0)
	_, out, err := step(s.rec, c, now)
	if err == nil && out.writes() {
		return true, a, nil
	}
	l, err := m.told(context.Background(), "start", g.Key, c, &applied{s.rec, out, now}, err, began)
	return false, runlink.Answer{Lease: l, Started: out == outAcquiredAgain}, err
}

func (m runSteps) Start(ctx context.Context, g runlink.Sight, r runlink.Request) (a runlink.Answer, moved bool, err error) {
	c, err := m.starting(g.Key, r)
	if err != nil {
		return a, false, &Error{Op: "start", Key: g.Key, Err: err}
	}
	l, out, moved, err := m.changeAt(ctx, "start", g.Key, c, g.Record.(stored))
	if err != nil || moved {
		return a, moved, err
	}
	return runlink.Answer{Lease: l, Started: out.writes() || out == outAcquiredAgain}, false, nil
}

func (m runSteps) Claim(ctx context.Context, g runlink.Sight, id string, ttl time.Duration) (c runlink.Claim, moved bool, err error) {
	ttl, err = m.grant(ttl)
	if err = cmp.Or(err, checkLeaseID(id)); err != nil {
		return c, false, &Error{Op: "claim", Key: g.Key, Err: err}
	}
	cmd := &command{verb: verbClaim, leaseID: id, ttl: ttl}
	m.prepare(cmd)
	c.Asked = m.clock.Now()
	s := g.Record.(stored)
	l, out, moved, err := m.changeAt(ctx, "claim", g.Key, cmd, s)
	switch {
	case err != nil || moved:
		return runlink.Claim{}, moved, err
	case out == outRanOut:
		c.Ended = true
	case out.writes() || out == outAcquiredAgain:
		c.Lease, c.Ticket = l, s.rec.ticket()
	default:
		c.Next = m.sight(g.Key, s).Next
	}
	return c, false, nil
}

// changeAt is change for a command that is decided on what stood at cur, and on nothing later.
func (m *Manager) changeAt(ctx context.Context, op, key string, c *command, cur stored) (l Lease, out outcome, moved bool, err error) {
	storeKey, began, now := m.storeKey(key), m.began(), m.clock.Now().UTC().Round(0)
	next, out, err := step(cur.rec, c, now)
	if err == nil && out.writes() {
		var s stored
		var v verdict
		s, v, err = m.write(ctx, storeKey, c, cur, next, now, began)
		if err == nil {
			m.cache.put(storeKey, s)
			if v != wasApplied {
				return Lease{}, 0, true, nil
			}
		} else {
			m.cache.drop(storeKey)
			next = nil
		}
	} else {
		next = cur.rec
	}
	a := applied{next, out, now}
	l, err = m.told(ctx, op, key, c, &a, err, began)
	return l, a.outcome, false, err
}

func (m runSteps) Fence(ctx context.Context, g runlink.Sight) (moved bool, err error) {
	s, storeKey, now := g.Record.(stored), m.storeKey(g.Key), m.clock.Now().UTC().Round(0)
	r := s.rec
	if r.stateAt(now, m.skew) == StateNotFound {
		c := &command{verb: verbRelease, leaseID: newID("lease_")}
		m.prepare(c)
		r = newRecord(nil, c, now).released(c, now)
		r.Version, r.PrevOp = 1, ""
	}
	_, err = m.backend.CompareAndSet(ctx, storeKey, s.revision, r.appendJSON(nil), r.KeepUntil.Sub(now)+m.skew)
	m.cache.drop(storeKey)
	switch {
	case errors.Is(err, backend.ErrConflict):
		return true, nil
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrClosed):
		return false, &Error{Op: "fence", Key: g.Key, Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}
	case err != nil:
		return false, &Error{Op: "fence", Key: g.Key, Err: fmt.Errorf("%w: %w", ErrUnknownOutcome, err)}
	}
	return false, nil
}

func (m runSteps) Work(ctx context.Context, c runlink.Claim, o runlink.WorkOptions, f func(ctx context.Context) (json.RawMessage, error)) error {
	l := c.Lease.(Lease)
	d := &doing{
		m: m.Manager, key: l.Key, ttl: l.TTL,
		DoOptions: DoOptions{TTL: l.TTL, Grace: o.Grace, AtMostOnce: l.AtMostOnce, ErrorText: o.ErrorText},
	}
	h := d.hold(ctx, l, c.Asked)
	if h == nil { // the answer took so long that the claim is about over
		_ = d.giveBack(ctx, l.LeaseID)
		return &Error{Op: "work", Key: l.Key, Err: fmt.Errorf("%w: the claim's answer came too late", ErrLost), Lease: l}
	}
	h.run = c.Ticket        // before the function begins
	defer h.sayStopped(ctx) // also if f panics
	_, err := perform(ctx, h, func(ctx context.Context) (json.RawMessage, error) {
		v, err := f(ctx)
		return bytes.Clone(v), err
	})
	return err
}

// sayStopped writes that the function under a claim has returned, if the run was ended over it: the
// next run of the key need not wait for the claim's deadline.
func (h *hold) sayStopped(ctx context.Context) {
	h.mu.Lock()
	over, id := h.term.lost != nil || h.refused, h.lease.LeaseID
	h.mu.Unlock()
	if !over {
		return
	}
	_ = h.m.try(context.WithoutCancel(ctx), endFor, func(ctx context.Context) error {
		_, err := h.m.end(ctx, "release", h.key, &command{verb: verbRelease, leaseID: id, stop: true, byDo: true}, nil)
		return err
	})
}
