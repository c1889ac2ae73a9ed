package lease

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"
)

// EventKind is what an [Event] tells of.
type EventKind string

// The events of a lease, each with the level at which [WithLogger] hears of it.
const (
	EventAcquired        EventKind = "acquired"         // debug: a new lease, or a failed one anew
	EventTakenOver       EventKind = "taken over"       // info: an expired lease, acquired by another
	EventExtended        EventKind = "extended"         // debug
	EventCompleted       EventKind = "completed"        // debug
	EventFailed          EventKind = "failed"           // info: failed or cancelled
	EventLost            EventKind = "lost"             // warn: a holder was told that it holds the lease no more, or Do cannot be sure that it does
	EventExpiredSeen     EventKind = "expired seen"     // info: somebody who asked for a lease, or for how it stands, was told that it has expired
	EventConflictRetried EventKind = "conflict retried" // debug: another's write came first; the call goes on with what it finds
	EventOutcomeSettled  EventKind = "outcome settled"  // warn: a write's answer was lost; what became of it was looked into
)

// level is the one at which an event is logged.
func (k EventKind) level() slog.Level {
	switch k {
	case EventLost, EventOutcomeSettled:
		return slog.LevelWarn
	case EventTakenOver, EventFailed, EventExpiredSeen:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

// Event is something that happened to a lease, as this Manager knows. What is not known is zero. EventLost tells of the lease that was lost where [Do] held it, else
// of the one that stands in its place. Locks have no events of their own, but "conflict retried" and "outcome settled".
type Event struct {
	Kind      EventKind
	Namespace string
	Key       string
	State     State  // after the event
	Version   uint64 // as in Lease, like the next two
	Token     uint64
	Attempt   int
	ErrorCode string        // of EventFailed
	Took      time.Duration // the operation, up to the event; 0 for what no operation of the caller brought about
	Held      time.Duration // since the lease was acquired; 0 of one that stands in place of the one that was lost
	Outcome   string        // of EventOutcomeSettled: "applied", "not applied" or "unknown"
	Err       error         // of EventLost: why; of EventOutcomeSettled and EventConflictRetried: how the write had failed
}

// listens tells whether anybody wants to know of events of a kind.
func (c *core) listens(ctx context.Context, k EventKind) bool {
	return c.observer != nil || c.logger.Enabled(ctx, k.level())
}

// began is when an operation began, for [Event].Took; zero if no event of it is listened to, which saves looking at the clock.
func (c *core) began(ctx context.Context) time.Time {
	if c.listens(ctx, EventAcquired) || c.listens(ctx, EventFailed) || c.listens(ctx, EventLost) {
		return c.clock.Now()
	}
	return time.Time{}
}

// tell passes e on. r is the record that it is about, if any, and began when the operation did.
func (c *core) tell(ctx context.Context, e Event, storeKey string, r *record, began time.Time) {
	if !c.listens(ctx, e.Kind) {
		return
	}
	now := c.clock.Now()
	if r != nil {
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

// tellLost tells that Do has lost l.
func (c *core) tellLost(ctx context.Context, storeKey string, l *Lease, why error) {
	if c.listens(ctx, EventLost) {
		c.send(ctx, Event{
			Kind: EventLost, State: l.State, Version: l.Version, Token: l.Token, Attempt: l.Attempt, Held: c.clock.Now().Sub(l.AcquiredAt), Err: why,
		}, storeKey)
	}
}

func (c *core) send(ctx context.Context, e Event, storeKey string) {
	e.Namespace, e.Key, _ = strings.Cut(storeKey, "/")
	e.Namespace = strings.TrimSuffix(e.Namespace, lockMark)
	c.log(ctx, &e)
	if c.observer != nil {
		c.observer(e)
	}
}

func (c *core) log(ctx context.Context, e *Event) {
	level := e.Kind.level()
	if !c.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("namespace", e.Namespace), slog.String("key", e.Key)}
	if e.State != "" {
		attrs = append(attrs, slog.String("state", string(e.State)), slog.Uint64("version", e.Version), slog.Uint64("token", e.Token), slog.Int("attempt", e.Attempt))
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
	c.logger.LogAttrs(ctx, level, "lease: "+string(e.Kind), attrs...)
}

// tellApplied tells of what became of a command.
func (c *core) tellApplied(ctx context.Context, storeKey string, cmd *command, a *applied, err error, began time.Time) {
	var e Event
	switch {
	case errors.Is(err, ErrLost) && !cmd.byDo:
		e.Kind, e.Err = EventLost, err
	case err != nil:
		return
	case a.outcome == outAcquired:
		e.Kind = EventAcquired
	case a.outcome == outTookOver:
		e.Kind = EventTakenOver
	case a.outcome == outPolling && !a.at.Before(a.rec.Deadline):
		e.Kind = EventExpiredSeen
	case a.outcome != outChanged:
		return
	case cmd.verb == verbExtend:
		e.Kind = EventExtended
	case cmd.verb == verbComplete:
		e.Kind = EventCompleted
	case cmd.verb == verbFail:
		e.Kind = EventFailed
	}
	c.tell(ctx, e, storeKey, a.rec, began)
}
