package lease

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"
)

// How long Wait, Watch and Do bear a store that cannot be reached when it has to be asked, and how
// long they pause before they ask again.
const (
	storeAwayFor = 30 * time.Second
	askAgain     = time.Second
)

// Wait waits until the lease of key has ended, or has expired so that another may take it over, and
// returns how it then stands, with its result. If it is not in progress, or there is none
// ([StateNotFound]), Wait returns at once. While the lease is extended, or taken over, Wait goes
// on. If the backend can watch, the end is pushed, and all who wait for one key through one Manager
// share one watch; others are asked from time to time. If the store goes away, Wait waits for it
// until half a minute after the deadline.
func (m *Manager) Wait(ctx context.Context, key string) (Lease, error) {
	return m.await(ctx, "wait", key, nil)
}

// Watch yields the lease of key as it stands, then each time that it changes, and last as it stands
// when [Manager.Wait] would return. It may skip a state that is followed by another. An error comes
// with a zero Lease, and ends the sequence.
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

// await is Wait. If each is not nil, it is called with every state before the end, until it returns
// false.
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
		e := &Error{Op: op, Key: key, Err: err}
		if s.rec != nil {
			e.Lease = m.view(key, s.rec, m.clock.Now())
		}
		return Lease{}, e
	}
	l := m.view(key, s.rec, m.clock.Now())
	if l.State == StateExpired {
		m.tell(ctx, &Event{Kind: EventExpiredSeen}, m.storeKey(key), s.rec, time.Time{})
	}
	l.Result = bytes.Clone(l.Result) // many may have waited for it
	return l, nil
}

// held tells whether r, nil for none, is still in progress at now, and nobody may take it over.
func (c *core) held(r *record, now time.Time) bool {
	return r != nil && r.unfinished() && now.Before(r.over().Add(c.skew))
}

// waiting is one who waits for a record to be held no more.
type waiting struct {
	*core
	storeKey     string
	cur          stored // held, as last seen
	each         func(stored) bool
	subscription *subscription
	seen         int // the number of the last news that was dealt with
	timer        *timer
	until        atomic.Int64 // what the timer is set for, in microseconds since 1970; only an earlier deadline is news
}

// await returns what lies under storeKey as soon as it is not held any more, or each returns false.
// What comes with an error is what was last seen.
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
			c.cache.put(storeKey, s) // for who acquires it next
			if !c.held(s.rec, now) {
				return s, nil
			}
			if !w.see(s) {
				return s, nil
			}
		case w.subscription == nil || !errors.Is(err, ErrUnavailable) || isClosed(err):
			return w.cur, err
		case c.held(w.cur.rec, now): // there is time yet
		case awaySince.IsZero():
			awaySince = now
		case now.Sub(awaySince) > storeAwayFor:
			return w.cur, err
		}
		if w.subscription == nil {
			// The watch tells what changes from now on. What has changed since the store was asked
			// stands when the watch begins, or was told to it before.
			w.subscription, w.timer = c.subscribe(storeKey, w.wants), newTimer(c.clock)
			defer w.subscription.leave()
			defer func() { w.timer.stop() }()
		}
		if s, ended, err := w.next(ctx, err != nil); ended || err != nil {
			if err == nil {
				c.cache.put(storeKey, s)
			}
			return s, err
		}
	}
}

// wants chooses what ends the wait, or what will end it sooner than the timer. If there is an each,
// it chooses all.
func (w *waiting) wants(n news) bool {
	return w.each != nil || n.final != nil || n.rec == nil || !n.rec.unfinished() || n.rec.over().UnixMicro() < w.until.Load()
}

// see notes a state that is held, and reports whether to go on.
func (w *waiting) see(s stored) bool {
	if s.revision == w.cur.revision {
		return true
	}
	w.cur = s.withoutCheckpoint()
	return w.each == nil || w.each(s)
}

// withoutCheckpoint returns s without its checkpoint. Waiting callers are not told it, and each has
// read a copy.
func (s stored) withoutCheckpoint() stored {
	if s.rec != nil && s.rec.Checkpoint != nil {
		r := *s.rec
		r.Checkpoint = nil
		s.rec = &r
	}
	return s
}

// next returns when there is a reason to ask the store, or with what has ended the wait. away means
// that the store could not be asked just now.
func (w *waiting) next(ctx context.Context, away bool) (s stored, ended bool, err error) {
	for {
		n := w.subscription.last()
		switch {
		case n.final != nil:
			return w.cur, false, n.final
		case n.number == w.seen: // no news
		case n.err != nil && n.revision > w.cur.revision:
			return w.cur, false, n.err
		case n.rec == nil: // has no revision that would tell whether it is older than what the store said: ask
			w.seen = n.number
			return stored{}, false, nil
		case n.revision > w.cur.revision && !n.rec.unfinished():
			return n.stored, true, nil
		case n.revision > w.cur.revision:
			if !w.see(n.stored) {
				return n.stored, true, nil
			}
		}
		w.seen = n.number
		w.until.Store(w.cur.rec.over().UnixMicro())
		if w.subscription.last().number != n.number { // wants may have compared it with what stood there before
			continue
		}
		// Not too long at a time: if a wall clock is set, or a machine was suspended, the deadline
		// is nearer than it seemed.
		left := min(w.cur.rec.over().Add(w.skew).Sub(w.clock.Now()), time.Minute)
		// The store holds a lease, but the watch last saw none, or one that cannot be read. If that
		// was before, the watch will yet see the lease. If it was after, the watch need not see the
		// same a second time. So the store is asked soon.
		unsure := n.number > 0 && n.rec == nil
		switch {
		case away:
			left = askAgain
		case left <= 0:
			return stored{}, false, nil
		case unsure:
			left = min(left, askAgain)
		}
		w.timer.set(left)
		select {
		case <-ctx.Done():
			return w.cur, false, ctx.Err()
		case <-w.subscription.C:
		case <-w.timer.C:
			if away || unsure {
				return stored{}, false, nil
			}
		}
	}
}
