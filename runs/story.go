package runs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/timeline"
)

// The timeline of a run has one start and one end. The record is the truth, and its marker stands
// until the journal has the end: whoever is about to delete a marker over a run that has ended
// appends what is missing before. The ids of the two entries come from the ticket, so that it does
// not matter who appends them, or how often. All else is noted, and may be missing.

// storied are steps whose runs have timelines.
type storied struct {
	runlink.Steps
	timeline *timeline.Store
	outage   *outage
}

func newStoried(s runlink.Steps, tl *timeline.Store) storied { return storied{s, tl, &outage{}} }

// How long the journal is waited for. With the journal away a run goes on.
const (
	storyFor = 5 * time.Second // by a worker, whose claim is extended meanwhile
	promptly = time.Second     // after a write that was asked for, by whoever waits for the answer
)

// tellEnd appends the start and the end of a run that has ended, unless they are there.
func tellEnd(ctx context.Context, s runlink.Steps, sight runlink.Sight) error {
	told, ok := s.(storied)
	if !ok || sight.Standing != runlink.Ended || !isRun(sight) {
		return nil
	}
	l := sight.Lease.(lease.Lease)
	return told.append(ctx, storyFor, told.ends(sight, string(l.State), l.ErrorCode, l.DoneAt)...)
}

// codeReplaced is the code of a run in whose place another was started.
const codeReplaced = "replaced"

// tellReplaced appends the end of a run in whose place another was started. The record is that of
// the other: nobody can append the end later. With the journal away it waits behind the buffer.
func tellReplaced(ctx context.Context, s runlink.Steps, sight runlink.Sight) {
	told, ok := s.(storied)
	if !ok || sight.Standing != runlink.Waiting && sight.Standing != runlink.Claimed {
		return
	}
	ends := told.ends(sight, string(lease.StateFailed), codeReplaced, s.Now())
	if told.append(ctx, promptly, ends...) != nil {
		for _, e := range ends {
			told.timeline.Note(e)
		}
	}
}

// ends are the start and the end of a run.
func (s storied) ends(sight runlink.Sight, status, code string, at time.Time) []timeline.Entry {
	l := sight.Lease.(lease.Lease)
	finish := s.entry(sight, "run_finished", status)
	finish.ID, finish.Time, finish.ErrorCode = idOf(finish.Type, l.LeaseID), at, code
	finish.Fields = fieldsOf(sight.Task, at.Sub(l.AcquiredAt))
	return []timeline.Entry{s.start(sight), finish}
}

func isRun(sight runlink.Sight) bool { return !sight.Until.IsZero() }

// start is the entry with which the timeline of a run begins.
func (s storied) start(sight runlink.Sight) timeline.Entry {
	l := sight.Lease.(lease.Lease)
	e := s.entry(sight, "run_started", "started")
	e.ID, e.Time, e.Fields = idOf(e.Type, l.LeaseID), l.AcquiredAt, fieldsOf(sight.Task, -1)
	e.Attempt, e.Token = 0, 0
	return e
}

// entry is an entry of the run that was seen.
func (s storied) entry(sight runlink.Sight, kind, status string) timeline.Entry {
	_, namespace := s.Store()
	l := sight.Lease.(lease.Lease)
	runID, agentID := timeline.IDs(sight.Key, l.Metadata)
	return timeline.Entry{
		Namespace: namespace, RunID: runID, AgentID: agentID, Key: sight.Key,
		Type: kind, Status: status, Time: s.Now(), Attempt: l.Attempt, Token: l.Token,
	}
}

// idOf is the id of the entry of a kind that a run has once. The journal does not learn the ticket.
func idOf(kind, ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return kind + ":" + hex.EncodeToString(sum[:16])
}

// fieldsOf are the further members of a start, and with a time that is not negative of an end.
func fieldsOf(task string, took time.Duration) json.RawMessage {
	f := struct {
		Task string `json:"task,omitempty"`
		Took *int64 `json:"duration_ms,omitempty"`
	}{Task: task}
	if took >= 0 {
		f.Took = new(took.Milliseconds())
	}
	b, _ := json.Marshal(f) // a text and a number always marshal
	return b
}

// attempt is what the timeline is told of one attempt at a run. nil: there is no timeline.
type attempt struct {
	storied
	sight runlink.Sight // of the run, and of this attempt
}

// beginAttempt appends that an attempt begins, before the handler does.
func beginAttempt(ctx context.Context, s runlink.Steps, c *claim) *attempt {
	told, ok := s.(storied)
	if !ok {
		return nil
	}
	a := &attempt{told, c.sight}
	batch := []timeline.Entry{told.start(c.sight)}
	before, now := c.sight.Lease.(lease.Lease), c.Lease.(lease.Lease)
	if c.sight.Standing == runlink.Claimed { // its claim ran out
		expired := told.entry(c.sight, "attempt_failed", "failed")
		expired.ErrorCode = "expired"
		batch = append(batch, expired)
	}
	before.Attempt, before.Token = now.Attempt, now.Token
	a.sight.Lease = before
	batch = append(batch, told.entry(a.sight, "attempt_started", "started"))
	ctx, cancel := outliving(ctx, storyFor, promptly)
	defer cancel()
	_ = told.append(ctx, storyFor, batch...)
	return a
}

// flush waits until what the handler has noted is in the journal, so that it stands before the end.
func (a *attempt) flush(ctx context.Context) {
	if a == nil {
		return
	}
	ctx, cancel := outliving(ctx, storyFor, promptly)
	defer cancel()
	_ = a.wait(ctx, storyFor, a.timeline.Flush)
}

// end notes how the attempt ended: with the error of the worker's step, or by a panic or an exit of
// its goroutine.
func (a *attempt) end(err error, returned bool) {
	if a == nil {
		return
	}
	kind, code := "failed", lease.Code(err)
	switch {
	case !returned:
		code = "panic"
	case err == nil:
		kind = "completed"
	case errors.Is(err, lease.ErrLost), errors.Is(err, lease.ErrFinished):
		kind, code = "lost", ""
	case code != "":
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, new(errShutdown)):
		kind = "released"
	default:
		kind = "unknown"
	}
	e := a.entry(a.sight, "attempt_"+kind, kind)
	e.ErrorCode = code
	a.timeline.Note(e)
}

// attemptKey is the key in a handler's context of its *attempt.
type attemptKey struct{}

// Note adds an entry to the timeline of the run that a handler works on; ctx is the handler's. What
// e leaves out is filled in: the run, its key, attempt and token, and the time. It never waits for
// the store. Without [WithTimeline], and with a context that is not a handler's, it does nothing.
func Note(ctx context.Context, e timeline.Entry) {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	if a == nil {
		return
	}
	own := a.entry(a.sight, e.Type, e.Status)
	own.ID, own.ErrorCode, own.Fields = e.ID, e.ErrorCode, e.Fields
	own.AgentID = cmp.Or(e.AgentID, own.AgentID)
	if !e.Time.IsZero() {
		own.Time = e.Time
	}
	a.timeline.Note(own)
}

// mostKeys bounds how many runs one timeline is asked about.
const mostKeys = 16

// Timeline returns entries of the timeline of a run id, oldest first, after the first offset of
// them and up to limit, from 1 to 2000; and how many there are in all. A run id that nobody has
// used has none. If a run of it has ended, its start and its end are among them: they are appended
// if need be, by whoever reads the last page.
//
// Errors: errors.ErrUnsupported without [WithTimeline]; [lease.ErrInvalid]; [lease.ErrUnavailable].
func (r *Runner) Timeline(ctx context.Context, runID string, offset, limit int) (entries []timeline.Entry, total int, err error) {
	told, ok := r.steps.(storied)
	if !ok {
		return nil, 0, &lease.Error{Op: "timeline", Key: runID, Err: errors.ErrUnsupported}
	}
	_, namespace := told.Store()
	entries, total, err = told.timeline.Read(ctx, namespace, runID, offset, limit)
	if err != nil {
		return nil, 0, err
	}
	told.outage.leave(told.Now(), false) // the journal answers
	if offset+len(entries) < total {     // an end that is missing would stand behind this page
		return entries, total, nil
	}
	appended, err := told.heal(ctx, runID, entries)
	if err != nil || !appended {
		return entries, total, err
	}
	return told.timeline.Read(ctx, namespace, runID, offset, limit)
}

// heal appends the ends of the runs of a timeline whose workers died, or lost the journal, before
// they could. It looks at the run that is named as the timeline, and at those of the entries.
func (s storied) heal(ctx context.Context, runID string, entries []timeline.Entry) (appended bool, err error) {
	keys, ends := map[string]bool{runID: true}, map[string]bool{}
	for _, e := range entries {
		if e.Type == "run_finished" {
			ends[e.ID] = true
		}
		if e.Key != "" && len(keys) < mostKeys {
			keys[e.Key] = true
		}
	}
	for key := range keys {
		sight, err := s.Look(ctx, key)
		if errors.Is(err, lease.ErrInvalid) { // a run id is not always a key
			continue
		}
		if err != nil {
			return appended, err
		}
		l := sight.Lease.(lease.Lease)
		of, _ := timeline.IDs(key, l.Metadata)
		if of != runID || sight.Standing != runlink.Ended || !isRun(sight) || ends[idOf("run_finished", l.LeaseID)] {
			continue
		}
		// The end may stand on another page. Then its id has the journal drop this one.
		if err := tellEnd(ctx, s, sight); err != nil {
			return appended, err
		}
		appended = true
	}
	return appended, nil
}
