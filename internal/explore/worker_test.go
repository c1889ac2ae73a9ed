package explore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// The TTL is chosen such that every pause of a Manager is shorter than what stands for something,
// also after the clock has stepped twice.
const (
	key       = "job"
	ttl       = 15 * time.Second
	clockStep = 16 * time.Second // over the deadline of every lease granted before
	errorCode = "broke"
)

// result is what an operation returned.
type result struct {
	at       int // its place in the program
	lease    lease.Lease
	acquired bool
	value    output // of do
	err      error
}

// worker runs one program through one Manager, in a goroutine of its own. Its fields belong to that
// goroutine while it runs, and to the scheduler while it waits.
type worker struct {
	*manager
	id        int
	program   []operation
	at        int
	done      bool
	waiting   *call // for the scheduler; nil while it runs, or pauses between tries
	answers   chan answer
	cancel    context.CancelFunc
	cancelled bool
	leaseID   string // last acquired
	nonces    int    // so many were used
	results   []result
	call      progress
}

// progress is what the rules need to know of the operation under way.
type progress struct {
	reads    []uint64 // the revisions that it has read; 0 for absence
	lostRead bool     // one of its reads has failed
	denied   uint64   // the revision of a write that was applied and refused; 0 for none
	wrote    write    // its last one, applied or not
	reading  bool     // its last call to the store was a read that was answered
	looked   bool     // do: it has seen how the key stands
	failures int      // do: how many there were then
	runs     []string // do: the leases under which the function ran
}

type callKind int

const (
	toBegin callKind = iota
	toRead
	toWrite
)

// call is what a worker waits to have answered.
type call struct {
	kind callKind
	ctx  context.Context
	write
}

// ended tells whether the call's context has ended. Contexts of settling end with the bubble's
// time.
func (c *call) ended() bool { return c.ctx != nil && c.ctx.Err() != nil }

// settling tells whether the call finds out about a write of unknown outcome: only there the
// Manager sets a time limit of its own.
func (c *call) settling() bool {
	if c.ctx == nil {
		return false
	}
	_, limited := c.ctx.Deadline()
	return limited
}

type answer struct {
	entry    backend.Entry
	revision uint64
	err      error
}

func (w *worker) ask(c call) answer {
	if c.kind == toRead && w.call.reading {
		w.look(w.call.reads[len(w.call.reads)-1]) // for the second time: it is going to wait
	}
	w.call.reading = false
	if c.kind == toWrite {
		w.call.wrote = c.write
		if w.op().verb == "do" && !w.call.looked {
			w.look(c.rec().Token) // it extends a lease whose answer took long
		}
	}
	w.waiting = &c
	return <-w.answers
}

// waits tells whether w waits for the end of somebody else's lease.
func (w *worker) waits() bool { return !w.done && w.waiting == nil && w.rests() }

// rested tells whether w goes on only after a step of the scheduler.
func (w *worker) rested() bool { return w.done || w.waiting != nil || w.waits() }

func (w *worker) op() *operation { return &w.program[w.at] }

func (w *worker) work() {
	defer func() { w.done = true }()
	for i, o := range w.program {
		w.at = i
		if o.verb != "acquire" && o.verb != "do" && o.of == w.id && w.leaseID == "" {
			continue // there is nothing to extend or end
		}
		w.ask(call{kind: toBegin})
		if w.run.over {
			return
		}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), caller{}, w))
		w.cancel, w.cancelled, w.call = cancel, false, progress{}
		res := w.perform(ctx, o)
		w.run.afterPause()
		cancel()
		if w.run.over {
			return
		}
		w.results = append(w.results, res)
		if !w.run.known {
			w.run.note(w.run.checkReturn(w, res))
		}
	}
}

func (w *worker) perform(ctx context.Context, o operation) result {
	res := result{at: w.at}
	id := w.run.workers[o.of].leaseID
	switch o.verb {
	case "acquire":
		res.lease, res.acquired, res.err = w.Acquire(ctx, key, &lease.AcquireOptions{
			TTL:         ttl,
			Nonce:       w.nonce(o.again),
			InputHash:   o.input,
			RetryFailed: o.retryFailed,
			AtMostOnce:  o.atMostOnce,
			Replace:     o.replace,
		})
		if res.acquired {
			w.leaseID = res.lease.LeaseID
		}
	case "extend":
		opts := &lease.ExtendOptions{TTL: ttl}
		if o.save > 0 {
			opts.Checkpoint, opts.CheckpointSeq = w.checkpointOf(w.at), o.save
		}
		res.lease, res.err = w.Extend(ctx, key, id, opts)
	case "release":
		res.lease, res.err = w.Release(ctx, key, id)
	case "complete":
		res.lease, res.err = w.Complete(ctx, key, id, lease.Completion{Result: w.output()})
	case "fail":
		res.lease, res.err = w.Fail(ctx, key, id, lease.Failure{Code: errorCode, Retryable: o.retryable})
	case "do":
		res.value, res.err = lease.Do(ctx, w.Manager, key, o.doOptions(), w.function)
	default:
		panic("no such verb: " + o.verb)
	}
	return res
}

// nonce is a new one for each acquire, or the last one again.
func (w *worker) nonce(again bool) string {
	if !again {
		w.nonces++
	}
	return fmt.Sprintf("nonce %d of worker %d", w.nonces, w.id)
}

// checkpointOf is what the operation at that place saves.
func (w *worker) checkpointOf(at int) json.RawMessage {
	return fmt.Appendf(nil, `{"by":%d,"at":%d}`, w.id, at)
}

// output is what a worker completes with, always the same, so that a repetition counts as one.
type output struct {
	By int `json:"by"`
}

func (w *worker) output() json.RawMessage { return fmt.Appendf(nil, `{"by":%d}`, w.id) }

func (o *operation) doOptions() *lease.DoOptions {
	opts := &lease.DoOptions{
		TTL: ttl, Attempts: o.attempts, RetryFailed: o.retryFailed, AtMostOnce: o.atMostOnce, Replace: o.replace,
	}
	if o.input != "" {
		opts.Input = o.input
	}
	return opts
}

// workFailed is how the function fails.
type workFailed struct{}

func (workFailed) Error() string     { return "it broke" }
func (workFailed) ErrorCode() string { return errorCode }

// function is what Do runs. It takes no time.
func (w *worker) function(ctx context.Context) (output, error) {
	l, ok := lease.FromContext(ctx)
	if !ok {
		return output{}, errors.New("no lease in the context")
	}
	w.look(l.Token)
	w.run.ran++
	if !w.run.known {
		w.run.note(w.run.checkRun(w, ctx, l))
	}
	w.call.runs = append(w.call.runs, l.LeaseID)
	o := w.op()
	switch {
	case ctx.Err() != nil && !o.deaf:
		return output{}, ctx.Err()
	case len(w.call.runs) > o.fails:
		return output{w.id}, nil
	case o.permanent:
		return output{}, lease.Permanent(workFailed{})
	case o.retryable:
		return output{}, lease.Retryable(workFailed{})
	default:
		return output{}, workFailed{}
	}
}

// look notes the state of the key that Do has looked at first, by its revision.
func (w *worker) look(revision uint64) {
	if w.at >= len(w.program) || w.op().verb != "do" || w.call.looked || revision == 0 {
		return
	}
	w.call.looked = true
	w.call.failures = w.run.store.history[revision-1].rec().Failures
}
