package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/timeline"
)

// Runner starts runs, and works on those of the tasks that it handles. It is safe for concurrent
// use. There is nothing to close.
type Runner struct {
	manager     *lease.Manager
	steps       runlink.Steps
	concurrency int
	log         *slog.Logger
	timeline    *timeline.Store // nil: none

	mu       sync.Mutex
	handlers map[string]*handler
	working  bool
}

// handler does the runs of one task. mu of its Runner guards running.
type handler struct {
	task    string
	limit   int // of running; 0: none of its own
	running int
	ttl     time.Duration // of a claim
	options runlink.WorkOptions
	call    func(ctx context.Context, input json.RawMessage) (json.RawMessage, error)
}

// Option changes a default of [New].
type Option func(*Runner)

// WithConcurrency sets how many runs the Runner works on at a time; 10 unless set, at least 1.
func WithConcurrency(n int) Option { return func(r *Runner) { r.concurrency = max(1, n) } }

// WithLogger sets where the Runner logs what no caller is told: a store that cannot be reached, and
// handlers that panic. Nowhere unless set. Neither keys, inputs nor results are logged.
func WithLogger(l *slog.Logger) Option { return func(r *Runner) { r.log = l } }

// WithTimeline has the Runner write what happens to its runs to their timelines:
//
//	run_started        with the time of Start; written when an attempt begins, or the run ends
//	attempt_started
//	attempt_completed
//	attempt_failed     with the error code, "expired" if the worker died
//	attempt_released   the worker shut down
//	attempt_lost       the run was canceled, replaced or taken over
//	attempt_unknown    the store went away before the end of the attempt was written
//	run_finished       with the run's error code, "replaced" if another took its place
//
// Of a run that waits for its first attempt there is nothing yet. Runs need no observer. A Manager
// that has [timeline.Store.Observe] as its observer adds lease:acquired, lease:completed and the
// like.
//
// All Runners on the store should have it. Without it in some workers, the ends of some runs are
// missing until somebody reads their timeline. Without it where a run is replaced, the end of the
// replaced run is missing for good.
func WithTimeline(s *timeline.Store) Option { return func(r *Runner) { r.timeline = s } }

// New returns a Runner on the leases of m. It does not touch the store.
func New(m *lease.Manager, opts ...Option) *Runner {
	r := &Runner{
		manager: m, steps: runlink.Of(m), concurrency: 10, log: slog.New(slog.DiscardHandler),
		handlers: make(map[string]*handler),
	}
	for _, o := range opts {
		o(r)
	}
	if r.timeline != nil {
		r.steps = newStoried(r.steps, r.timeline)
	}
	return r
}

func (r *Runner) handle(h *handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case h.task == "":
		panic("runs: a task without a name")
	case r.working:
		panic("runs: Handle after Work has begun")
	case r.handlers[h.task] != nil:
		panic(fmt.Sprintf("runs: task %q is handled already", h.task))
	}
	r.handlers[h.task] = h
}

// Cancel ends the run of key as failed for good, with code "canceled:" and the reason, of up to 256
// bytes, or "canceled" if there is none. The context of a handler that works on it ends soon. A
// caller who has the ticket can do the same by [lease.Manager.Cancel].
//
// A canceled run is not started again, unless with RetryFailed. To repeat Cancel with the same
// reason is no error.
//
// Errors: [lease.ErrNotFound] if there is no run; [lease.ErrFinished] if it has ended otherwise;
// those of [lease.Manager.Cancel].
func (r *Runner) Cancel(ctx context.Context, key, reason string) error {
	sight, err := r.steps.Look(ctx, key)
	if err != nil {
		return err
	}
	switch sight.Standing {
	case runlink.Absent, runlink.Open, runlink.Held:
		return &lease.Error{Op: "cancel", Key: key, Err: fmt.Errorf("%w: no run", lease.ErrNotFound)}
	}
	if _, err = r.manager.Cancel(ctx, key, sight.Lease.(lease.Lease).LeaseID, reason); err != nil {
		return err
	}
	if sight, err := r.steps.Look(ctx, key); err == nil { // else whoever clears the marker tells
		telling, end := context.WithTimeout(ctx, promptly)
		defer end()
		_ = tellEnd(telling, r.steps, sight)
	}
	return nil
}
