package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// EventKind is what an [Event] tells of.
type EventKind string

// The kinds of events, each with the level at which [WithLogger] logs it.
const (
	EventAcquired        EventKind = "acquired"         // debug: a new lease, or a failed one anew
	EventTakenOver       EventKind = "taken_over"       // info: an expired or released lease, acquired by another
	EventReplaced        EventKind = "replaced"         // info: a lease of other input, acquired by newer input
	EventExtended        EventKind = "extended"         // debug
	EventReleased        EventKind = "released"         // info: given back by its holder
	EventCompleted       EventKind = "completed"        // debug
	EventFailed          EventKind = "failed"           // info: failed or canceled
	EventLocked          EventKind = "locked"           // debug: a key, by the first CheckLock
	EventDuplicate       EventKind = "duplicate"        // debug: a CheckLock found the key locked
	EventLost            EventKind = "lost"             // warn: a holder was told that it holds the lease no more, or Do cannot be sure that it does
	EventExpiredSeen     EventKind = "expired_seen"     // info: a caller was told that the lease has expired
	EventConflictRetried EventKind = "conflict_retried" // debug: another's write came first; the call goes on with what it finds
	EventOutcomeSettled  EventKind = "outcome_settled"  // warn: a write's answer was lost or wrong; what became of it was looked into
	EventClockSuspect    EventKind = "clock_suspect"    // warn: a record with more time left than its TTL; a clock is, or was, wrong
	EventUnreadable      EventKind = "unreadable"       // error: a record is damaged, or from a newer version
)

// level is the one at which an event is logged.
func (k EventKind) level() slog.Level {
	switch k {
	case EventUnreadable:
		return slog.LevelError
	case EventLost, EventOutcomeSettled, EventClockSuspect:
		return slog.LevelWarn
	case EventTakenOver, EventReplaced, EventReleased, EventFailed, EventExpiredSeen:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Event is something that happened to a lease, as far as this Manager knows; what it does not know
// is zero. [EventLost] describes the lease that was lost if [Do] held it, else the one in its
// place. Locks have only locked, duplicate, conflict_retried, outcome_settled, clock_suspect and
// unreadable.
type Event struct {
	Kind      EventKind
	At        time.Time // by the Manager's clock; of a write, when it was made, before the store had it
	Namespace string
	Key       string
	State     State  // after the event
	Version   uint64 // as in Lease, like the next two
	Token     uint64
	Attempt   int
	ErrorCode string          // of EventFailed
	Took      time.Duration   // the operation, up to the event; 0 if no operation of the caller caused it
	Held      time.Duration   // since the lease was acquired; 0 of one that stands in place of the lost one
	Outcome   string          // of EventOutcomeSettled: "applied", "not applied" or "unknown"
	Err       error           // of EventLost: why; of the others: what went wrong
	Metadata  json.RawMessage // of the lease or lock; shared, and not to be changed
	Claim     bool            // what happened was done, or lost, by a worker with a claim of a run
	Dropped   uint64          // how many events before this one were dropped, because observers were slow
}

// listens tells whether anybody wants to know of events. Whether the logger wants this one is not
// asked here: its handler is not ours, and an operation must not wait for it.
func (c *core) listens() bool { return len(c.observers) > 0 || c.logs }

// began is when an operation began, for [Event].Took. It is zero if nobody listens, which saves
// looking at the clock.
func (c *core) began() time.Time {
	if !c.listens() {
		return time.Time{}
	}
	return c.clock.Now()
}

// tell completes e and passes it on. r is the record that it is about, if any, and began when the
// operation did.
func (c *core) tell(ctx context.Context, e *Event, storeKey string, r *record, began time.Time) {
	if !c.listens() {
		return
	}
	now := c.clock.Now()
	if e.At.IsZero() {
		e.At = now
	}
	if r != nil {
		e.Metadata = r.Metadata
		e.State, e.Version, e.Token, e.Attempt = r.stateAt(now, c.skew), r.Version, r.Token, r.Attempt
		if e.Kind != EventLost { // which is told of another's lease here
			e.Held = now.Sub(r.AcquiredAt)
		}
		if e.Kind == EventFailed {
			e.ErrorCode = r.ErrorCode
		}
	}
	if !began.IsZero() {
		e.Took = now.Sub(began)
	}
	c.send(ctx, e, storeKey)
}

// tellLost tells that h has lost l.
func (h *hold) tellLost(ctx context.Context, l *Lease, why error) {
	if h.m.listens() {
		now := h.m.clock.Now()
		h.m.send(ctx, &Event{
			Kind: EventLost, At: now, State: l.State, Version: l.Version, Token: l.Token, Attempt: l.Attempt,
			Held: now.Sub(l.AcquiredAt), Err: why, Metadata: bytes.Clone(l.Metadata), Claim: h.run != "",
		}, h.m.storeKey(h.key))
	}
}

// tellUnreadable tells of a record that cannot be read.
func (c *core) tellUnreadable(ctx context.Context, storeKey string, err error) {
	c.tell(ctx, &Event{Kind: EventUnreadable, Err: err}, storeKey, nil, time.Time{})
}

// checkClock tells once of a record whose time left no right clock can have given it.
func (c *core) checkClock(ctx context.Context, storeKey string, r *record) {
	if r.State != StateInProgress && r.State != stateLocked || !c.listens() {
		return
	}
	if r.Deadline.Sub(c.clock.Now()) > r.TTL+c.skew+clockSlack && c.suspects.add(r.Op) {
		c.tell(ctx, &Event{Kind: EventClockSuspect, Err: errClockSuspect}, storeKey, r, time.Time{})
	}
}

// clockSlack is by how much clocks may differ beyond the known skew before it is worth a warning.
const clockSlack = time.Second

var errClockSuspect = errors.New("the record has more time left than its TTL: it was written by a clock that was ahead, or this one is behind; Forget and ForgetLock remove it")

// mostIDs is how many ids a once remembers.
const mostIDs = 4096

// once remembers ids, so that each is told of once; it forgets all when they are too many.
type once struct {
	mu sync.Mutex
	m  map[string]struct{}
}

func (o *once) add(id string) (first bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.m[id]; ok {
		return false
	}
	if o.m == nil || len(o.m) >= mostIDs {
		o.m = make(map[string]struct{})
	}
	o.m[id] = struct{}{}
	return true
}

func (c *core) send(ctx context.Context, e *Event, storeKey string) {
	e.Namespace, e.Key, _ = strings.Cut(storeKey, "/")
	e.Namespace = strings.TrimSuffix(e.Namespace, lockMark)
	var kept context.Context
	if c.logs {
		kept = context.WithoutCancel(ctx)
	}
	c.enqueue(kept, e, nil)
}

func (c *core) log(ctx context.Context, e *Event) {
	level := e.Kind.level()
	if !c.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("namespace", e.Namespace), slog.String("key", e.Key)}
	if e.State != "" {
		attrs = append(attrs, slog.String("state", string(e.State)), slog.Uint64("version", e.Version),
			slog.Uint64("token", e.Token), slog.Int("attempt", e.Attempt))
	}
	if e.ErrorCode != "" {
		attrs = append(attrs, slog.String("error_code", e.ErrorCode))
	}
	if e.Outcome != "" {
		attrs = append(attrs, slog.String("outcome", e.Outcome))
	}
	if e.Took > 0 {
		attrs = append(attrs, slog.Duration("took", e.Took))
	}
	if e.Held > 0 {
		attrs = append(attrs, slog.Duration("held", e.Held))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("err", e.Err))
	}
	if e.Dropped > 0 {
		attrs = append(attrs, slog.Uint64("dropped", e.Dropped))
	}
	c.logger.LogAttrs(ctx, level, "lease: "+string(e.Kind), attrs...)
}

// tellApplied tells of what became of a command.
func (c *core) tellApplied(ctx context.Context, storeKey string, cmd *command, a *applied, err error, began time.Time) {
	e := Event{At: a.at}
	if r := a.rec; r != nil && r.Run != nil && cmd.start == nil {
		e.Claim = cmd.leaseID != r.Run.Ticket
	}
	switch {
	case errors.Is(err, ErrLost) && !cmd.byDo:
		e.Kind, e.Err = EventLost, err
	case err != nil:
		return
	case a.outcome == outAcquired, cmd.start != nil && a.outcome == outTookOver && a.rec.Prev.State == stateReleased:
		e.Kind = EventAcquired // a start may find what a worker has put in its way: see Fence
	case a.outcome == outTookOver:
		e.Kind = EventTakenOver
	case a.outcome == outReplaced:
		e.Kind = EventReplaced
	case a.outcome == outPolling && !a.at.Before(a.rec.over()):
		e.Kind = EventExpiredSeen
	case a.outcome == outRanOut:
		e.Kind = EventFailed
	case a.outcome != outChanged:
		return
	case cmd.verb == verbExtend:
		e.Kind = EventExtended
	case cmd.verb == verbRelease:
		e.Kind = EventReleased
	case cmd.verb == verbComplete:
		e.Kind = EventCompleted
	case cmd.verb == verbFail:
		e.Kind = EventFailed
	}
	c.tell(ctx, &e, storeKey, a.rec, began)
}
