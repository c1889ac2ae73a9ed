package runs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// How a worker finds what is due. It lists the markers when a watch begins, and so often besides. A
// watch only hastens: nothing is lost without one.
const (
	listEvery   = 5 * time.Second
	lookAgain   = time.Second      // after a look that failed
	refusedFor  = time.Minute      // after a write that the store refuses: it will again
	lookFor     = 10 * time.Second // bounds a look
	finishFor   = 10 * time.Second // bounds what is done for a marker after an attempt
	lastFor     = 2 * time.Second  // bounds each of the two once the worker shuts down
	claimPrefix = "claim_"
)

// errShutdown is why the context of a handler ends when its worker shuts down.
type errShutdown struct{}

func (errShutdown) Error() string     { return "the worker shuts down" }
func (errShutdown) ErrorCode() string { return "shutdown" }

// worker is one call of [Runner.Work]. One goroutine has the queue; looks and handlers have theirs.
type worker struct {
	*Runner
	lister   backend.Lister
	prefix   string
	queue    *queue
	free     int // places for looks and handlers
	watched  <-chan backend.Entry
	listed   chan listing
	ended    chan ending
	tick     chan struct{}
	lists    bool // one is under way
	failures int  // of listings in a row
}

// listing is what a listing of the markers has found.
type listing struct {
	markers []marker
	watched <-chan backend.Entry // begun before the listing
	err     error
}

// ending is what has become of a look, and of the attempt that followed it.
type ending struct {
	item *item
	seen marker
	looked
	held *handler // had a place for the run
	err  error
}

// Work works on the runs of all tasks that r handles, in the order of their due times, until ctx
// ends. Then the contexts of the handlers end. Once all handlers have returned, and their claims
// are given back, Work returns nil. Any number of processes on one store may call Work, each Runner
// once at a time. Runs of tasks that r does not handle are left to others.
//
// A run begins within milliseconds of its due time if the store can watch a prefix
// ([backend.PrefixWatcher]), else within 5 seconds. A store that is away is asked again until ctx
// ends.
//
// Errors: [lease.ErrInvalid] if no task is handled, or if the TTL of one is less than the Manager
// allows; errors.ErrUnsupported if the store is no [backend.Lister]; [backend.ErrClosed] if it was
// closed.
func (r *Runner) Work(ctx context.Context) error {
	b, namespace := r.steps.Store()
	lister, ok := backend.As[backend.Lister](b)
	if !ok {
		return fmt.Errorf("runs: a store that cannot list has no workers: %w", errors.ErrUnsupported)
	}
	r.mu.Lock()
	if err := r.checkHandlers(); err != nil || r.working {
		r.mu.Unlock()
		return cmp.Or(err, errors.New("runs: this Runner works already"))
	}
	r.working = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.working = false
		r.mu.Unlock()
	}()
	w := &worker{
		Runner: r, lister: lister, prefix: namespace + markerMark, queue: newQueue(), free: r.concurrency,
		listed: make(chan listing, 1), ended: make(chan ending, r.concurrency), tick: make(chan struct{}, 1),
	}
	return w.work(ctx)
}

// checkHandlers refuses what no attempt could begin with. mu is held.
func (r *Runner) checkHandlers() error {
	if len(r.handlers) == 0 {
		return fmt.Errorf("runs: %w", &lease.FieldError{Field: "tasks", Problem: "0 are handled, call Handle before Work"})
	}
	for task, h := range r.handlers {
		if _, err := r.steps.Grant(h.ttl); err != nil {
			return fmt.Errorf("runs: task %q: %w", task, err)
		}
	}
	return nil
}

func (w *worker) work(ctx context.Context) (err error) {
	ctx, shutdown := context.WithCancelCause(ctx)
	handlers, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	list := w.steps.Now()
	for ctx.Err() == nil {
		now := w.steps.Now()
		if !w.lists && !now.Before(list) {
			w.lists = true
			w.queue.begin()
			go w.list(watching, w.watched)
		}
		next := w.begin(handlers, now)
		if !w.lists && (next.IsZero() || list.Before(next)) {
			next = list
		}
		cancel := func() bool { return false }
		if !next.IsZero() {
			cancel = w.steps.AfterFunc(max(0, next.Sub(now)), w.wake)
		}
		select {
		case <-ctx.Done():
		case <-w.tick:
		case e, ok := <-w.watched:
			if !ok {
				w.watched, list = nil, w.steps.Now() // list and watch again
				break
			}
			w.saw(e)
		case l := <-w.listed:
			w.lists = false
			list = w.steps.Now().Add(w.took(l))
			if errors.Is(l.err, backend.ErrClosed) {
				err = l.err
				shutdown(err)
			}
		case e := <-w.ended:
			if w.free++; errors.Is(e.err, backend.ErrClosed) {
				err = e.err
				shutdown(err)
			} else if errors.Is(e.err, lease.ErrInvalid) { // this run alone has the trouble
				w.log.Warn("a run cannot be worked on, and is looked at again", "err", withoutKey(e.err))
			}
			w.settle(e)
		}
		cancel()
	}
	shutdown(nil)
	stop(errShutdown{})
	for w.free < w.concurrency { // all give back what they have
		<-w.ended
		w.free++
	}
	endWatch()
	if w.lists {
		<-w.listed
	}
	return err
}

// withoutKey is the error of an operation, without the operation and its key.
func withoutKey(err error) error {
	if e, ok := errors.AsType[*lease.Error](err); ok {
		return e.Err
	}
	return err
}

func (w *worker) wake() {
	select {
	case w.tick <- struct{}{}:
	default:
	}
}

// begin looks at what is due, as far as there are places, and tells when more will be.
func (w *worker) begin(handlers context.Context, now time.Time) (next time.Time) {
	for w.free > 0 {
		it, at := w.queue.next(now)
		if it == nil {
			return at
		}
		w.free--
		// A start that is about to write its record has just written its marker. There may be many
		// that are older, of keys that were forgotten.
		patient := it.looked != it.revision && now.Sub(it.due) < startFor
		it.looked = it.revision
		go w.attempt(handlers, it, it.marker, patient)
	}
	return time.Time{} // an ending will tell
}

// saw notes what a watch tells.
func (w *worker) saw(e backend.Entry) {
	key, ok := strings.CutPrefix(e.Key, w.prefix)
	switch it := w.queue.of[key]; {
	case !ok:
	case e.Revision != 0:
		w.queue.saw(readMarker(key, e))
	case it != nil:
		w.queue.missed(it)
	}
}

// list reads all markers. If there is no watch, it begins one before.
func (w *worker) list(ctx context.Context, watched <-chan backend.Entry) {
	var l listing
	if l.watched = watched; watched == nil {
		b, _ := w.steps.Store()
		if pushing, ok := backend.As[backend.PrefixWatcher](b); ok {
			if ch, err := pushing.WatchPrefix(ctx, w.prefix); err == nil {
				l.watched = ch
			}
		}
	}
	for e, err := range w.lister.List(ctx, w.prefix) {
		if err != nil {
			l.err = err
			break
		}
		l.markers = append(l.markers, readMarker(strings.TrimPrefix(e.Key, w.prefix), e))
	}
	w.listed <- l
}

// took takes what a listing has found, and tells how long to wait before the next.
func (w *worker) took(l listing) time.Duration {
	if w.watched == nil {
		w.watched = l.watched
	}
	if l.err != nil {
		for _, m := range l.markers {
			w.queue.saw(m)
		}
		if w.failures++; w.failures == 1 {
			w.log.Warn("the runs that are due cannot be listed", "err", l.err)
		}
		return lookAgain
	}
	if w.failures > 0 {
		w.failures = 0
		w.log.Info("the runs that are due can be listed again")
	}
	w.queue.list(l.markers)
	return listEvery
}

// settle notes what a look, and perhaps an attempt, has come to.
func (w *worker) settle(e ending) {
	if e.held != nil {
		w.queue.unpark(e.held.task)
	}
	switch {
	case e.unwanted != "" && w.full(e.unwanted):
		w.queue.park(e.item, e.unwanted)
	case e.unwanted != "" && w.handlers[e.unwanted] != nil: // it was full
		w.queue.done(e.item, e.seen, w.steps.Now())
	case errors.Is(e.err, lease.ErrInvalid):
		w.queue.done(e.item, e.seen, w.steps.Now().Add(refusedFor))
	case e.err != nil:
		w.queue.done(e.item, e.seen, w.steps.Now().Add(lookAgain))
	default:
		w.queue.done(e.item, e.seen, e.next)
	}
}
