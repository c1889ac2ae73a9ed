package explore

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/ailease/lease"
)

// change is the write that was just applied, and what it replaced.
type change struct {
	*run
	w         *worker
	o         *operation
	n         *written
	prev      *written // nil if there was none
	forgotten bool     // prev reads as absent
	acquires  bool     // it begins a lease
}

// checkWrite holds the write that was just applied against what it replaced, and against what
// callers were told.
func (r *run) checkWrite() error {
	h := r.store.history
	c := &change{run: r, n: &h[len(h)-1]}
	if len(h) > 1 {
		c.prev = &h[len(h)-2]
	}
	c.w = r.workers[c.n.op.worker]
	c.o = &c.w.program[c.n.op.at]
	c.forgotten = r.forgotten(c.prev)
	c.acquires = c.o.verb == "acquire" || c.o.verb == "do" && r.store.token(c.n.rec().LeaseID) == c.n.revision
	for _, rule := range []func(*change) error{
		(*change).once, (*change).numbers, (*change).holder, (*change).opens, (*change).failures, (*change).checkpoint,
	} {
		if err := rule(c); err != nil {
			return err
		}
	}
	return r.checkCompletions()
}

// once: no operation is applied twice, nor after it has returned.
func (c *change) once() error {
	count := 0
	for _, w := range c.store.history {
		if w.rec().Op == c.n.rec().Op || w.op == c.n.op && c.o.verb != "do" {
			count++
		}
	}
	if count > 1 && !(c.o.verb == "extend" && c.w.buried()) {
		return broke(appliedOnce, "%s was applied %d times", c.name(), count)
	}
	for _, res := range c.w.results {
		if res.at == c.n.op.at && !errors.Is(res.err, lease.ErrUnknownOutcome) {
			return broke(nothingAfter, "%s was applied after it had returned %v", c.name(), res.err)
		}
	}
	return nil
}

// buried tells whether an extension of w was applied and refused, and overwritten more than once
// before w could look: nobody can tell any more. Then it may be done again, which does no harm.
func (w *worker) buried() bool {
	return w.call.denied > 0 && w.run.store.revision() >= w.call.denied+2
}

// numbers: the token and the version.
func (c *change) numbers() error {
	n := c.n
	if token := c.store.token(n.rec().LeaseID); c.acquires && (n.rec().Token != 0 || token != n.revision) || !c.acquires && n.rec().Token != token {
		return broke(tokensGrow, "revision %d has token %d", n.revision, n.rec().Token)
	}
	first := n.rec().Version == 1
	if (!first || !c.forgotten) && (c.prev == nil || n.rec().Version != c.prev.rec().Version+1) {
		return broke(versionsGrow, "revision %d has version %d", n.revision, n.rec().Version)
	}
	return nil
}

// holder: only the holder changes a lease, and only one in progress.
func (c *change) holder() error {
	switch {
	case c.acquires || c.prev == nil:
		return nil
	case c.n.rec().LeaseID != c.prev.rec().LeaseID:
		return broke(oneHolder, "%s wrote under a lease that was taken over", c.name())
	case c.prev.rec().State != "in_progress":
		return broke(finishedStays, "%s changed what was %s", c.name(), c.prev.rec().State)
	}
	return nil
}

// opens: what an acquire may follow.
func (c *change) opens() error {
	if !c.acquires || c.prev == nil || c.forgotten {
		return nil
	}
	n, p := c.n.rec(), c.prev.rec()
	if c.replaces(c.n, c.prev) {
		return c.replacing()
	}
	again := c.retries()
	half := n.AtMostOnce && !p.AtMostOnce && !again
	switch {
	case p.InputHash != "" && n.InputHash != p.InputHash:
		return broke(inputStays, "%s acquired over input %q", c.name(), p.InputHash)
	case p.State == "in_progress" && c.clock.Now().Before(p.Deadline):
		return broke(oneHolder, "%s acquired while the lease of m%d was in progress", c.name(), c.prev.op.worker+1)
	case p.State == "in_progress" && p.AtMostOnce && !again:
		return broke(atMostOnce, "%s took over a lease that is to be held at most once", c.name())
	case p.State == "completed", p.State == "failed" && !p.Retryable && !again:
		return broke(finishedStays, "%s acquired over what was %s", c.name(), p.State)
	case half:
		return broke(atMostOnce, "%s began at most once over plain work, %s", c.name(), p.State)
	case p.State != "in_progress" && n.Nonce == p.Nonce:
		return broke(nonceOnce, "%s acquired with the nonce of the lease before, which was %s", c.name(), p.State)
	case c.o.verb == "do" && p.State == "failed" && c.w.call.looked && p.Failures >= c.w.call.failures+max(1, c.o.attempts):
		return broke(limitHolds, "%s acquired after %d failures, of which %d were there when it looked", c.name(), p.Failures, c.w.call.failures)
	}
	return nil
}

// retries tells whether the acquire may follow what has failed for good. Do asks for that once.
func (c *change) retries() bool {
	return c.o.retryFailed && (c.o.verb != "do" || !c.w.call.looked)
}

// replaces tells whether n takes the place of a lease of other input.
func (r *run) replaces(n, p *written) bool {
	o := &r.workers[n.op.worker].program[n.op.at]
	return o.replace && n.rec().LeaseID != p.rec().LeaseID && p.rec().InputHash != "" && n.rec().InputHash != p.rec().InputHash
}

// replacing: a replacement is no older than what it replaces.
func (c *change) replacing() error {
	if c.prev.rec().AtMostOnce {
		return broke(atMostOnce, "%s replaced a lease that is to be held at most once", c.name())
	}
	if c.o.verb == "do" && c.w.call.looked {
		return broke(replacesOnce, "%s replaced input %q after it had looked", c.name(), c.prev.rec().InputHash)
	}
	for _, h := range c.store.history[:c.n.revision-1] {
		if h.rec().Nonce == c.n.rec().Nonce {
			return broke(inputStays, "%s replaced input %q, which had replaced it", c.name(), c.prev.rec().InputHash)
		}
	}
	return nil
}

// failures are those of the lease before, and one more if this one failed.
func (c *change) failures() error {
	want := 0
	switch n, p := c.n.rec(), c.prev; {
	case p == nil || n.Version == 1:
	case !c.acquires && n.State == "failed":
		want = p.rec().Failures + 1
	case !c.acquires:
		want = p.rec().Failures
	case c.replaces(c.n, p), c.retries() && c.stands():
	default:
		want = p.rec().Failures
	}
	if c.n.rec().Failures != want {
		return broke(failuresCount, "%s wrote %d failures, not %d", c.name(), c.n.rec().Failures, want)
	}
	return nil
}

// stands tells whether only RetryFailed leads on from what stood before.
func (c *change) stands() bool {
	p := c.prev.rec()
	if p.State == "failed" {
		return !p.Retryable || c.n.rec().AtMostOnce && !p.AtMostOnce
	}
	return p.State == "in_progress" && p.AtMostOnce
}

// checkpoint: it is kept until the key is completed, replaced or forgotten.
func (c *change) checkpoint() error {
	n := c.n.rec()
	var want json.RawMessage
	switch p := c.prev; {
	case p == nil || n.Version == 1 || n.State == "completed" || c.replaces(c.n, p):
	case !c.acquires && n.State == "in_progress" && c.o.save > 0:
		if want = c.w.checkpointOf(c.n.op.at); c.o.save <= p.rec().CheckpointSeq {
			return broke(checkpoints, "%s wrote number %d over number %d", c.name(), c.o.save, p.rec().CheckpointSeq)
		}
	default:
		want = p.rec().Checkpoint
	}
	if !bytes.Equal(n.Checkpoint, want) {
		return broke(checkpoints, "%s wrote %s, not %s", c.name(), n.Checkpoint, want)
	}
	return nil
}

func (c *change) name() string { return c.w.names(c.n.op.at) }
