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

// core is what the Managers of all namespaces of a store share: it brings a record from one state to the
// next by compare-and-set.
type core struct {
	settings
	backend backend.Backend
	known   known
	watches watches
	opBase  string // unique to this core
	opCount atomic.Uint64
}

func newCore(b backend.Backend, s settings) *core {
	return &core{settings: s, backend: b, known: known{m: make(map[string]stored)}, watches: watches{m: make(map[string]*watch)}, opBase: "op_" + rand.Text() + "_"}
}

// newOp returns an operation id that is never given twice.
func (c *core) newOp() string {
	var b [48]byte
	return string(strconv.AppendUint(append(b[:0], c.opBase...), c.opCount.Add(1), 36))
}

// stored is a key's record as it stands in the store at a revision; rec is nil and revision 0 where there is none.
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

// mostTries bounds how often one command is tried against writers that keep coming in between. Each conflict
// means that another's write was accepted, so that a sound store gets there only under a storm.
const mostTries = 100

// apply takes the record under storeKey one step further.
//
// It begins with what it remembers of the key, which costs no store call: a fresh acquire or lock starts from "absent", a holder's call from what this
// Manager wrote last. That is safe since only the compare-and-set decides. But nothing is refused on
// the strength of a memory: a command that would not write is decided anew on what the store says.
func (c *core) apply(ctx context.Context, storeKey string, cmd *command, began time.Time) (applied, error) {
	if err := ctx.Err(); err != nil {
		return applied{}, err
	}
	cur, guess := c.known.get(storeKey)
	if !guess {
		guess = cmd.verb == verbAcquire || cmd.verb == verbLock
	} else if cur.rec == nil {
		guess = false // something is there
	}
	for range mostTries {
		if !guess {
			var err error
			if cur, err = c.load(ctx, storeKey); err != nil {
				return applied{}, err
			}
			c.known.put(storeKey, cur)
		}
		now := c.clock.Now().UTC().Round(0)
		next, out, err := step(cur.rec, cmd, now)
		if err != nil || !out.writes() {
			if guess {
				guess = false
				continue
			}
			return applied{cur.rec, out, now}, err
		}
		after, err := c.write(ctx, storeKey, cur, &next, next.KeepUntil.Sub(now)+cmd.skew, began)
		switch {
		case err == nil:
			c.known.put(storeKey, after)
			return applied{after.rec, out, now}, nil
		case errors.Is(err, backend.ErrConflict):
			if !guess || cur.rec != nil { // that there is no record was a guess out of nothing
				c.tell(ctx, Event{Kind: EventConflictRetried, Err: err}, storeKey, cur.rec, began)
			}
			guess = false
		default:
			c.known.drop(storeKey)
			return applied{}, err
		}
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
		c.logger.ErrorContext(ctx, "lease: unreadable record", "store_key", storeKey, "revision", e.Revision, "err", err)
		return stored{}, err
	}
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

// write replaces cur by next. An error that wraps backend.ErrConflict says that next was not written, and never will be,
// because the record is not cur any more. began is when the operation did, for events.
func (c *core) write(ctx context.Context, storeKey string, cur stored, next *record, keep time.Duration, began time.Time) (stored, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	*buf = next.appendJSON((*buf)[:0])
	revision, err := c.backend.CompareAndSet(ctx, storeKey, cur.revision, *buf, keep)
	switch {
	case err == nil:
		return next.storedAt(revision), nil
	case errors.Is(err, backend.ErrConflict):
		return stored{}, err
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrInvalid):
		return stored{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return c.settle(ctx, err, &pendingWrite{storeKey, cur, next, *buf, keep, began})
}

// storedAt is r as read back from the given revision.
func (r *record) storedAt(revision uint64) stored {
	if r.Token == 0 {
		r.Token = revision
	}
	return stored{r, revision}
}
