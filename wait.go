package lease

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"
)

// How long Wait, Watch and Do put up with a store that cannot be reached when it has to be asked, and after how long it is asked again.
const (
	storeAwayFor = 30 * time.Second
	askAgain     = time.Second
)

// Wait returns as soon as the lease of key has ended or expired, as it then stands, with its result. If it is not in progress in the first place, that is at once:
// also where there is none, [StateNotFound]. A lease that is extended, or taken over by another, goes on being waited for.
//
// Where the backend watches, the end is pushed; all who wait for a key through one Manager, and those that are made from it, share one watch. Elsewhere the
// store is asked from time to time. A store that goes away is waited for, and for half a minute after the deadline.
//
// "Expired" is told once another may take the lease over, [WithClockSkew] later than its deadline.
//
// Errors: as for [Manager.Status], and the context's.
func (m *Manager) Wait(ctx context.Context, key string) (Lease, error) {
	return m.await(ctx, "wait", key, nil)
}

// Watch yields the lease of key as it stands, then as it changes, and last as it has ended or expired, when Wait would return. It may skip a
// state that is followed by another. An error, which comes with a zero Lease, is the last too.
//
// Errors: as for [Manager.Wait].
func (m *Manager) Watch(ctx context.Context, key string) iter.Seq2[Lease, error] {
	return func(yield func(Lease, error) bool) {
		more := true
		l, err := m.await(ctx, "watch", key, func(l Lease) bool {
			more = yield(l, nil)
			return more
		})
		if more {
			yield(l, err)
		}
	}
}

// await is Wait, and tells each, if it is not nil, of what comes before the end, until it returns false.
func (m *Manager) await(ctx context.Context, op, key string, each func(Lease) bool) (Lease, error) {
	if err := m.checkKey(key); err != nil {
		return Lease{}, &Error{Op: op, Key: key, Err: err}
	}
	var tell func(s stored) bool
	if each != nil {
		tell = func(s stored) bool {
			now := m.clock.Now()
			l := m.view(key, s.rec, now)
			m.fillInProgress(&l, now) // also expired, where clock skew forbids the takeover yet
			return each(l)
		}
	}
	s, err := m.core.await(ctx, m.storeKey(key), tell)
	if err != nil {
		return Lease{}, &Error{Op: op, Key: key, Err: err}
	}
	l := m.view(key, s.rec, m.clock.Now())
	if l.State == StateExpired {
		m.tell(ctx, Event{Kind: EventExpiredSeen}, m.storeKey(key), s.rec, time.Time{})
	}
	l.Result = bytes.Clone(l.Result) // many may have waited for it
	return l, nil
}

// held tells whether r, nil for none, is still in progress at now, and nobody may take it over.
func (c *core) held(r *record, now time.Time) bool {
	return r != nil && r.State == StateInProgress && now.Before(r.Deadline.Add(c.skew))
}

// waiting is one who waits for a record to be held no more.
type waiting struct {
	*core
	storeKey     string
	cur          stored // held, as last seen
	each         func(stored) bool
	subscription *subscription
	heard        int // the number of the last news that was dealt with
	timer        *timer
	until        atomic.Int64 // in microseconds since 1970: what the timer is set for, so that nothing but a deadline before it is news
}

// await returns what lies under storeKey as soon as it is not held any more, or each does not want to hear more of it.
func (c *core) await(ctx context.Context, storeKey string, each func(stored) bool) (stored, error) {
	w := &waiting{core: c, storeKey: storeKey, each: each}
	var awaySince time.Time
	for {
		var s stored
		err := c.try(ctx, tryFor, func(ctx context.Context) (err error) {
			s, err = c.load(ctx, storeKey)
			return err
		})
		now := c.clock.Now()
		switch {
		case err == nil:
			awaySince = time.Time{}
			c.known.put(storeKey, s) // for who acquires it next
			if !c.held(s.rec, now) {
				return s, nil
			}
			if !w.see(s) {
				return s, nil
			}
		case w.subscription == nil || !errors.Is(err, ErrUnavailable) || isClosed(err):
			return stored{}, err
		case c.held(w.cur.rec, now): // there is time yet
		case awaySince.IsZero():
			awaySince = now
		case now.Sub(awaySince) > storeAwayFor:
			return stored{}, err
		}
		if w.subscription == nil {
			// What changes from now on is told, and what has changed since the store was asked stands when the watch begins, or was told it already.
			w.subscription, w.timer = c.subscribe(storeKey, w.wants), newTimer(c.clock)
			defer w.subscription.leave()
			defer func() { w.timer.stop() }()
		}
		if s, ended, err := w.next(ctx, err != nil); ended || err != nil {
			if err == nil {
				c.known.put(storeKey, s)
			}
			return s, err
		}
	}
}

// wants is about what ends the wait, or will do so sooner than the timer, unless each wants to know all.
func (w *waiting) wants(n news) bool {
	return w.each != nil || n.final != nil || n.rec == nil || n.rec.State != StateInProgress || n.rec.Deadline.UnixMicro() < w.until.Load()
}

// see notes a state that is held, and reports whether to go on.
func (w *waiting) see(s stored) bool {
	if s.revision == w.cur.revision {
		return true
	}
	w.cur = s
	return w.each == nil || w.each(s)
}

// next returns when there is a reason to ask the store, or with what has ended the wait. away: the store could not be asked just now.
func (w *waiting) next(ctx context.Context, away bool) (s stored, ended bool, err error) {
	for {
		n := w.subscription.last()
		switch {
		case n.final != nil:
			return stored{}, false, n.final
		case n.number == w.heard: // no news
		case n.err != nil && n.revision > w.cur.revision:
			return stored{}, false, n.err
		case n.rec == nil: // has no revision that would tell whether it is older than what the store said: ask
			w.heard = n.number
			return stored{}, false, nil
		case n.revision > w.cur.revision && n.rec.State != StateInProgress:
			return n.stored, true, nil
		case n.revision > w.cur.revision:
			if !w.see(n.stored) {
				return n.stored, true, nil
			}
		}
		w.heard = n.number
		w.until.Store(w.cur.rec.Deadline.UnixMicro())
		if w.subscription.last().number != n.number { // wants may have compared it with what stood there before
			continue
		}
		// Not too long at a time: a wall clock that is set, or a machine that was suspended, moves the deadline nearer.
		left := min(w.cur.rec.Deadline.Add(w.skew).Sub(w.clock.Now()), time.Minute)
		// The store holds a lease, but the last that the watch saw was none, or one that cannot be read. If that was before, it will yet see the lease; if it was after, it need
		// not see the same a second time.
		doubt := n.number > 0 && n.rec == nil
		switch {
		case away:
			left = askAgain
		case left <= 0:
			return stored{}, false, nil
		case doubt:
			left = min(left, askAgain)
		}
		w.timer.set(left)
		select {
		case <-ctx.Done():
			return stored{}, false, ctx.Err()
		case <-w.subscription.C:
		case <-w.timer.C:
			if away || doubt {
				return stored{}, false, nil
			}
		}
	}
}
