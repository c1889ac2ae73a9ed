package explore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// violation is a broken rule.
type violation struct{ rule, detail string }

func (v *violation) Error() string { return v.rule + ": " + v.detail }

// The rules.
const (
	oneHolder     = "at most one holder before its deadline"
	tokensGrow    = "the fencing token is the revision of the acquiring write, and stays"
	versionsGrow  = "the version grows by one with each accepted change"
	finishedStays = "what is finished is not changed, and is acquired again only if asked to"
	appliedOnce   = "no operation is applied twice, and what returned success is applied"
	nothingAfter  = "an error other than ErrUnknownOutcome promises that nothing was written, nor will be"
	toldStood     = "a lease that was told stood in the store"
	resultStays   = "an acknowledged completion stays readable, with its result"
	knownError    = "an operation returns only errors that it documents, and none where nothing went wrong"
)

func broke(rule, format string, args ...any) error {
	return &violation{rule, fmt.Sprintf(format, args...)}
}

// forgotten tells whether w reads as absent now.
func (r *run) forgotten(w *written) bool { return w == nil || !r.clock.Now().Before(w.rec.KeepUntil) }

// checkWrite holds the write that was just applied against what it replaced and against what callers were told.
func (r *run) checkWrite() error {
	h := r.store.history
	n := &h[len(h)-1]
	var prev *written
	if len(h) > 1 {
		prev = &h[len(h)-2]
	}
	w := r.workers[n.op.worker]
	o := w.program[n.op.at]
	acquires := o.verb == "acquire"
	forgotten := r.forgotten(prev)

	if count, _ := r.store.by(n.op); count > 1 {
		return broke(appliedOnce, "m%d %s was applied %d times", w.id+1, o.verb, count)
	}
	for _, res := range w.results {
		if res.at == n.op.at && !errors.Is(res.err, lease.ErrUnknownOutcome) {
			return broke(nothingAfter, "m%d %s was applied after it had returned %v", w.id+1, o.verb, res.err)
		}
	}
	if acquires && (n.rec.Token != 0 || r.store.token(n.rec.LeaseID) != n.revision) ||
		!acquires && n.rec.Token != r.store.token(n.rec.LeaseID) {
		return broke(tokensGrow, "revision %d has token %d", n.revision, n.rec.Token)
	}
	if first := n.rec.Version == 1; (!first || !forgotten) && (prev == nil || n.rec.Version != prev.rec.Version+1) {
		return broke(versionsGrow, "revision %d has version %d", n.revision, n.rec.Version)
	}
	if prev == nil {
		return nil
	}
	again := acquires && o.retryFailed
	switch held := prev.rec.State == "in_progress"; {
	case !acquires && n.rec.LeaseID != prev.rec.LeaseID:
		return broke(oneHolder, "m%d %s wrote under a lease that was taken over", w.id+1, o.verb)
	case held && acquires && r.clock.Now().Before(prev.rec.Deadline):
		return broke(oneHolder, "m%d acquired while the lease of m%d was in progress", w.id+1, prev.op.worker+1)
	case held && acquires && prev.rec.AtMostOnce && !again && !forgotten:
		return broke(finishedStays, "m%d took over a lease that is to be held at most once", w.id+1)
	case !held && !forgotten && (prev.rec.State == "completed" || !again):
		return broke(finishedStays, "m%d %s changed what was %s", w.id+1, o.verb, prev.rec.State)
	}
	return r.checkCompletions()
}

// checkReturn holds what an operation returned against what was written.
func (r *run) checkReturn(w *worker, res result) error {
	op := opID{w.id, res.at}
	o := w.program[res.at]
	count, mine := r.store.by(op)
	var carried *lease.Error
	switch {
	case errors.Is(res.err, lease.ErrUnknownOutcome):
		if r.used.nothing() {
			return broke(knownError, "m%d %s returned %v", w.id+1, o.verb, res.err)
		}
		return nil
	case errors.As(res.err, &carried):
		if err := r.checkError(res.err); err != nil {
			return err
		}
		if count > 0 && !(errors.Is(res.err, lease.ErrLost) && r.takenOver(mine)) {
			return broke(nothingAfter, "m%d %s was applied and returned %v", w.id+1, o.verb, res.err)
		}
		return r.checkTold(carried.Lease)
	case res.err != nil:
		return broke(knownError, "m%d %s returned a bare %v", w.id+1, o.verb, res.err)
	}
	if err := r.checkTold(res.lease); err != nil {
		return err
	}
	switch {
	case o.verb == "acquire" && !res.acquired:
		if count > 0 {
			return broke(nothingAfter, "m%d acquire was applied and returned %s", w.id+1, res.lease.State)
		}
	case count == 1 && mine.rec.LeaseID == res.lease.LeaseID && mine.rec.Version == res.lease.Version: // the rule
	case count == 0 && o.verb != "extend" && r.repeats(w, res): // what an earlier call of the worker came to
	default:
		return broke(appliedOnce, "m%d %s returned version %d, was applied %d times", w.id+1, o.verb, res.lease.Version, count)
	}
	return r.checkCompletions()
}

// takenOver tells whether another lease replaced what w wrote: the one case in which ErrLost comes after a write. It was
// applied, but its answer came too late to be of use.
func (r *run) takenOver(w written) bool {
	return w.revision < r.store.revision() && r.store.history[w.revision].rec.LeaseID != w.rec.LeaseID
}

// repeats tells whether an earlier operation of w, of the same verb, wrote the lease as it was returned again.
func (r *run) repeats(w *worker, res result) bool {
	for _, h := range r.store.history {
		if h.op.worker == w.id && h.op.at < res.at && w.program[h.op.at].verb == w.program[res.at].verb && h.rec.LeaseID == res.lease.LeaseID {
			return true
		}
	}
	return false
}

// checkError knows the errors that promise that nothing was written, and which of them take a fault.
func (r *run) checkError(err error) error {
	for _, e := range []error{lease.ErrNotFound, lease.ErrLost, lease.ErrFinished} {
		if errors.Is(err, e) {
			return nil
		}
	}
	if !r.used.nothing() && (errors.Is(err, lease.ErrUnavailable) || errors.Is(err, context.Canceled)) {
		return nil
	}
	return broke(knownError, "%v", err)
}

// checkTold looks for l among what was ever written: since the deadline is the store's, nobody believes to hold for longer
// than oneHolder guards.
func (r *run) checkTold(l lease.Lease) error {
	if l.State == "" || l.State == lease.StateNotFound {
		return nil
	}
	for _, h := range r.store.history {
		if h.rec.LeaseID != l.LeaseID || h.rec.Version != l.Version {
			continue
		}
		if token := r.store.token(l.LeaseID); token != l.Token {
			return broke(tokensGrow, "told token %d, acquired at revision %d", l.Token, token)
		}
		if !h.rec.Deadline.Equal(l.ExpiresAt) || !bytes.Equal(h.rec.Result, l.Result) {
			return broke(toldStood, "version %d with deadline %v and result %s", l.Version, l.ExpiresAt.Sub(t0), l.Result)
		}
		return nil
	}
	return broke(toldStood, "version %d, token %d, %s", l.Version, l.Token, l.State)
}

// checkCompletions looks for every acknowledged completion in what stands, until its retention is over.
func (r *run) checkCompletions() error {
	now := r.store.standing()
	for _, w := range r.workers {
		for _, res := range w.results {
			if res.err != nil || w.program[res.at].verb != "complete" {
				continue
			}
			if r.clock.Now().Before(res.lease.DoneAt.Add(r.row.retained())) && (now == nil || now.rec.State != "completed" || !bytes.Equal(now.rec.Result, w.output())) {
				return broke(resultStays, "that of m%d is gone", w.id+1)
			}
		}
	}
	return nil
}

// checkEnd reads the key as one who comes later, through a Manager that remembers nothing.
func (r *run) checkEnd() error {
	if err := r.checkCompletions(); err != nil {
		return err
	}
	m, err := lease.NewManager(reader{s: &r.store}, lease.WithClock(r.clock))
	if err != nil {
		return err
	}
	l, err := m.Result(context.Background(), key)
	if err != nil {
		return broke(knownError, "result returned %v", err)
	}
	if s := r.store.standing(); !r.forgotten(s) && (l.LeaseID != s.rec.LeaseID || l.Version != s.rec.Version) {
		return broke(toldStood, "version %d, but version %d stands", l.Version, s.rec.Version)
	}
	return r.checkTold(l)
}

// reader reads the store at once.
type reader struct {
	backend.Backend
	s *store
}

func (b reader) Get(context.Context, string) (backend.Entry, error) { return b.s.get() }
