package runs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// attempt looks at a marker, and works on its run if that can be claimed.
func (w *worker) attempt(handlers context.Context, it *item, m marker, patient bool) {
	e := ending{item: it, seen: m}
	defer func() { // also if a handler exits its goroutine
		if e.held != nil {
			w.mu.Lock()
			e.held.running--
			w.mu.Unlock()
		}
		w.ended <- e
	}()
	looking, end := outliving(handlers, lookFor, lastFor)
	e.looked, e.err = lookIf(looking, w.steps, m, claimPrefix+rand.Text(), patient, func(task string) (time.Duration, bool) {
		if e.held == nil {
			e.held = w.place(task)
		}
		if e.held == nil {
			return 0, false
		}
		return e.held.ttl, true
	})
	end()
	if e.claim != nil {
		e.err = w.perform(handlers, e.held, e.claim)
	}
}

// full tells whether a task that is handled has as many runs as it may have.
func (w *worker) full(task string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.handlers[task]
	return h != nil && h.limit > 0 && h.running >= h.limit
}

// place takes one of a task's places for runs, if it is handled and has one left.
func (w *worker) place(task string) *handler {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.handlers[task]
	if h == nil || h.limit > 0 && h.running >= h.limit {
		return nil
	}
	h.running++
	return h
}

// perform makes an attempt at a run, and does for its marker what its end asks for. The error is
// that of the store, which has perhaps not been told how it ended.
func (w *worker) perform(handlers context.Context, h *handler, c *claim) (err error) {
	ctx, cancel := context.WithCancelCause(handlers)
	defer cancel(nil)
	defer w.steps.AfterFunc(max(0, c.sight.Until.Sub(w.steps.Now())), func() { cancel(context.DeadlineExceeded) })()
	var story *attempt
	var failed error
	returned := false
	defer func() {
		if p := recover(); p != nil { // the attempt has failed, with code "panic"
			w.log.Error("a handler panicked", "task", h.task, "panic", fmt.Sprintf("%T", p))
		}
		finishing, end := outliving(handlers, finishFor, lastFor)
		defer end()
		story.end(failed, returned)
		err = finish(finishing, w.steps, c)
	}()
	failed = w.steps.Work(ctx, c.Claim, h.options, func(ctx context.Context) (json.RawMessage, error) {
		story = beginAttempt(ctx, w.steps, c)
		defer story.flush(ctx)
		return h.call(context.WithValue(ctx, attemptKey{}, story), c.sight.Input)
	})
	returned = true
	return nil
}
