package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
)

// core is what the Managers of all namespaces of a store share. It brings a record from one state
// to the next by compare-and-set.
type core struct {
	settings
	backend  backend.Backend
	cache    cache
	watches  watches
	events   events
	suspects once
	opBase   string // unique to this core
	opCount  atomic.Uint64
}

func newCore(b backend.Backend, s settings) *core {
	c := &core{settings: s, backend: b, opBase: "op_" + rand.Text() + "_"}
	c.cache.m = make(map[string]stored)
	c.watches.m = make(map[string]*watch)
	return c
}

// newOp returns an operation id that is never given twice.
func (c *core) newOp() string {
	var b [48]byte
	return string(strconv.AppendUint(append(b[:0], c.opBase...), c.opCount.Add(1), 36))
}

// newID returns prefix and the 130 random bits of a rand.Text, without the string between.
func newID(prefix string) string {
	var random [26]byte
	rand.Read(random[:])
	b := append(make([]byte, 0, 40), prefix...)
	for _, r := range random {
		b = append(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[r%32])
	}
	return string(b)
}

// stored is a key's record as it stands in the store at a revision; rec is nil and revision 0
// where there is none.
type stored struct {
	rec      *record
	revision uint64
}

// applied is what a command came to: the record as it then stood, at the time that decided.
type applied struct {
	rec     *record
	outcome outcome
	at      time.Time
}

// mostTries bounds how often one command is tried against writers that keep coming in between.
// Each conflict means that another's write was accepted: a sound store gets there only under a
// storm.
const mostTries = 100

// apply takes the record under storeKey one step further.
//
// It begins with what it remembers of the key, which costs no store call: a fresh acquire or lock
// starts from "absent", a holder's call from what this Manager wrote last. That is safe, because
// only the compare-and-set decides. But nothing is refused on the strength of a memory: a command
// that would not write is decided anew on what the store says.
func (c *core) apply(ctx context.Context, storeKey string, cmd *command, began time.Time) (applied, error) {
	if err := ctx.Err(); err != nil {
		return applied{}, err
	}
	cur, guess := c.cache.get(storeKey)
	if !guess {
		guess = cmd.verb == verbAcquire || cmd.verb == verbLock
	} else if cur.rec == nil {
		guess = false // something is there
	}
	fresh := false // cur was read by this call
	at := began    // the time of the next try, if it is known: the store was not asked since
	for range mostTries {
		if !guess && !fresh {
			var err error
			if cur, err = c.load(ctx, storeKey); err != nil {
				return applied{}, err
			}
			c.cache.put(storeKey, cur)
			fresh, at = true, time.Time{}
		}
		if at.IsZero() {
			at = c.clock.Now()
		}
		now := at.UTC().Round(0)
		at = time.Time{}
		next, out, err := step(cur.rec, cmd, now)
		if err != nil || !out.writes() {
			if guess {
				guess = false
				continue
			}
			if out == outRepeated && err == nil { // perhaps not the record that stands
				return applied{next, out, now}, nil
			}
			return applied{cur.rec, out, now}, err
		}
		s, v, err := c.write(ctx, storeKey, cmd, cur, next, now, began)
		if err != nil {
			c.cache.drop(storeKey)
			return applied{}, err
		}
		c.cache.put(storeKey, s)
		if v == wasApplied {
			return applied{next, out, now}, nil
		}
		if !guess || cur.rec != nil { // that there is no record was a guess out of nothing
			c.tell(ctx, &Event{Kind: EventConflictRetried, Err: backend.ErrConflict}, storeKey, cur.rec, began)
		}
		cur, guess, fresh = s, false, true
	}
	return applied{}, fmt.Errorf("%w: %d writers in a row came in between", ErrUnavailable, mostTries)
}

// load reads the record under storeKey, or its absence.
func (c *core) load(ctx context.Context, storeKey string) (stored, error) {
	e, err := c.get(ctx, storeKey)
	if err != nil || e.Revision == 0 {
		return stored{}, err
	}
	r, err := decodeRecord(e)
	if err != nil {
		c.tellUnreadable(ctx, storeKey, err)
		return stored{}, err
	}
	c.checkClock(ctx, storeKey, r)
	return stored{r, e.Revision}, nil
}

// get is the backend's Get with errors for our callers and the zero Entry for absence.
func (c *core) get(ctx context.Context, storeKey string) (backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return backend.Entry{}, err
	}
	e, err := c.backend.Get(ctx, storeKey)
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, backend.ErrNotFound):
		return backend.Entry{}, nil
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return backend.Entry{}, err
	default:
		return backend.Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
}

// buffers hold encoded records while a write is under way; backends do not keep them.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// write replaces cur by next, which cmd made at now. It tells what stands then: next or what has
// come after it if it was applied, else what stands in its way.
func (c *core) write(ctx context.Context, storeKey string, cmd *command, cur stored, next *record, now, began time.Time) (stored, verdict, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = next.appendJSON((*buf)[:0])
	keep := next.KeepUntil.Sub(now) + cmd.skew
	revision, err := c.backend.CompareAndSet(ctx, storeKey, cur.revision, *buf, keep)
	switch {
	case err == nil:
		return next.storedAt(revision), wasApplied, nil
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrClosed):
		return stored{}, wasNotApplied, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case errors.Is(err, backend.ErrInvalid): // to send it again is useless
		return stored{}, wasNotApplied, fmt.Errorf("%w: the store refuses the record of %d bytes: %w", ErrInvalid, len(*buf), err)
	}
	w := &pendingWrite{storeKey, *cmd, cur, next, *buf, keep, now, began}
	if errors.Is(err, backend.ErrConflict) {
		return c.refused(ctx, w)
	}
	return c.settle(ctx, err, w)
}

// storedAt is r as read back from the given revision.
func (r *record) storedAt(revision uint64) stored {
	if r.Token == 0 {
		r.Token = revision
	}
	return stored{r, revision}
}
