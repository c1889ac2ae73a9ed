package explore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

const (
	key       = "job"
	ttl       = 10 * time.Second
	clockStep = 11 * time.Second // over the deadline of every lease granted before
)

// operation is one step of a worker's program.
type operation struct {
	verb        string
	of          int // whose lease it is about
	retryFailed bool
	atMostOnce  bool
}

// result is what an operation returned.
type result struct {
	at       int // its place in the program
	lease    lease.Lease
	acquired bool
	err      error
}

// worker runs one program through one Manager, in a goroutine of its own. Its fields belong to that goroutine while it
// runs, and to the scheduler while it waits.
type worker struct {
	run       *run
	id        int
	manager   int
	m         *lease.Manager
	program   []operation
	at        int
	done      bool
	waiting   *call // for the scheduler; nil while it runs, or pauses in the middle of settling a write
	answers   chan answer
	cancel    context.CancelFunc
	cancelled bool
	leaseID   string // last acquired
	results   []result
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

// ended tells whether the call's context has ended. Contexts of settling end with the bubble's time.
func (c *call) ended() bool { return c.ctx != nil && c.ctx.Err() != nil }

// settling tells whether the call sends a write of unknown outcome again: only there the Manager sets a time limit of its own.
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
	w.waiting = &c
	return <-w.answers
}

func (w *worker) work() {
	defer func() { w.done = true }()
	for i, o := range w.program {
		w.at = i
		if o.verb != "acquire" && o.of == w.id && w.leaseID == "" {
			continue // there is nothing to extend or end
		}
		w.ask(call{kind: toBegin})
		if w.run.over {
			return
		}
		ctx, cancel := context.WithCancel(context.WithValue(context.Background(), caller{}, w))
		w.cancel, w.cancelled = cancel, false
		res := w.perform(ctx, o)
		w.run.afterPause()
		cancel()
		if w.run.over {
			return
		}
		w.results = append(w.results, res)
		w.run.note(w.run.checkReturn(w, res))
	}
}

func (w *worker) perform(ctx context.Context, o operation) result {
	res := result{at: w.at}
	id := w.run.workers[o.of].leaseID
	switch o.verb {
	case "acquire":
		res.lease, res.acquired, res.err = w.m.Acquire(ctx, key, lease.AcquireOptions{
			TTL:         ttl,
			RequestID:   fmt.Sprint("request of worker ", w.id),
			RetryFailed: o.retryFailed,
			AtMostOnce:  o.atMostOnce,
		})
		if res.acquired {
			w.leaseID = res.lease.LeaseID
		}
	case "extend":
		res.lease, res.err = w.m.Extend(ctx, key, id, ttl)
	case "complete":
		res.lease, res.err = w.m.Complete(ctx, key, id, lease.Completion{Result: w.output()})
	case "fail":
		res.lease, res.err = w.m.Fail(ctx, key, id, lease.Failure{Code: "broke"})
	default:
		panic("no such verb: " + o.verb)
	}
	return res
}

// output is what the worker completes with, always the same, so that a repetition counts as one.
func (w *worker) output() json.RawMessage { return fmt.Appendf(nil, `{"by":%d}`, w.id) }

// caller is the context key under which a store call finds the worker that makes it.
type caller struct{}

// scheduled is the backend of all Managers: every call waits for the scheduler.
type scheduled struct{ run *run }

func (b scheduled) Get(ctx context.Context, _ string) (backend.Entry, error) {
	if b.run.over {
		return backend.Entry{}, backend.ErrUnavailable
	}
	a := ctx.Value(caller{}).(*worker).ask(call{kind: toRead, ctx: ctx})
	return a.entry, a.err
}

func (b scheduled) CompareAndSet(ctx context.Context, _ string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	b.run.afterPause()
	if b.run.over {
		return whatever, nil // a success, so that settling ends
	}
	w := ctx.Value(caller{}).(*worker)
	v := write{op: opID{w.id, w.at}, expected: expected, value: bytes.Clone(value)}
	if err := json.Unmarshal(value, &v.rec); err != nil {
		panic(err)
	}
	v.canon = b.run.canonical(v)
	a := w.ask(call{kind: toWrite, ctx: ctx, write: v})
	return a.revision, a.err
}

func (b scheduled) CompareAndDelete(context.Context, string, uint64) error {
	panic("no operation here deletes")
}
