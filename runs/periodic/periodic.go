// Package periodic starts runs at regular times, each once however many servers do so.
//
// Each tick of a job has a key of its own, the name of the job, '@' and the time of the tick:
// "nightly@2026-11-25T02:00:00Z". All servers of a store start the run of that key at its time, and
// the first to ask has started it. There is no leader, and nothing to elect.
//
//	nightly, err := periodic.Cron("0 3 * * *", "Europe/Berlin")
//	...
//	err = periodic.Work(ctx, m, nil, periodic.Job{
//		Name: "nightly", Schedule: nightly, Start: periodic.Starts(Summary, r, request),
//	})
//
// # What is promised
//
//   - A tick starts one run, as long as its end is remembered: the retention of the runs must be
//     longer than [Job].Late.
//   - If no server runs, or the store is away, when a tick is due, the next server that can starts
//     it up to Late after its time. Of several that were missed it starts the last.
//   - A tick starts its run though the run of the tick before goes on. Work that must not overlap
//     takes a lease of its own: [lease.Exec] in the handler, by the name of the job, with NoWait.
//   - Servers whose clocks differ start a tick by the earliest of them. A clock that is set back
//     starts no tick anew.
package periodic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/runs"
)

const (
	// DefaultLate is [Job].Late unless set.
	DefaultLate = time.Hour

	minLate      = time.Minute
	maxLate      = 24 * time.Hour
	maxNameBytes = 128
	startAgain   = time.Second // after a start that failed
	lookAtMost   = time.Minute // at the clock again, which may be set meanwhile
)

// Job is what is started at each tick of a schedule.
type Job struct {
	Name     string // up to 128 bytes; servers with a job of one name share its ticks
	Schedule Schedule

	// Late is for how long after its time a tick may be started, a minute to 24 hours; an hour
	// unless set. The retention of the runs must be longer: a run whose end is forgotten would be
	// started anew.
	Late time.Duration

	// Start starts the run of a tick under the key. It is repeated until it succeeds, or the tick
	// is too late. See [Starts].
	Start func(ctx context.Context, key string, tick time.Time) error
}

// Starts is the [Job].Start that starts runs of task with the input in. That a run stands for other
// input, of a server with other settings, is no error: its tick has been started.
func Starts[In, Out any](task runs.Task[In, Out], r *runs.Runner, in In) func(ctx context.Context, key string, tick time.Time) error {
	return func(ctx context.Context, key string, _ time.Time) error {
		_, _, err := task.Start(ctx, r, key, in, nil)
		if errors.Is(err, lease.ErrInputMismatch) {
			return nil
		}
		return err
	}
}

// Key is the key of the run of a tick.
func Key(name string, tick time.Time) string {
	return name + "@" + tick.UTC().Format(time.RFC3339)
}

// Work starts the jobs at their ticks, by the clock of m, until ctx ends; then it returns nil. log
// is told when a job cannot be started, and may be nil. Any number of processes may call Work.
//
// Errors: a [*lease.FieldError] if a job is out of range, or two have one name; that of a Start if
// it is [lease.ErrInvalid] or [backend.ErrClosed].
func Work(ctx context.Context, m *lease.Manager, log *slog.Logger, jobs ...Job) error {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	names := make(map[string]bool)
	for i := range jobs {
		if jobs[i].Late == 0 {
			jobs[i].Late = DefaultLate
		}
		if err := jobs[i].check(); err != nil {
			return err
		}
		if names[jobs[i].Name] {
			return &lease.FieldError{Field: "name", Problem: "stands twice"}
		}
		names[jobs[i].Name] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var first error
	var working sync.WaitGroup
	for _, j := range jobs {
		working.Go(func() {
			w := worker{j, runlink.Of(m), log}
			if err := w.work(ctx); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
				cancel(err)
			}
		})
	}
	working.Wait()
	return first
}

func (j *Job) check() error {
	switch {
	case j.Name == "" || len(j.Name) > maxNameBytes:
		return &lease.FieldError{Field: "name", Problem: fmt.Sprintf("%d bytes, must be from 1 to %d", len(j.Name), maxNameBytes)}
	case j.Late < minLate || j.Late > maxLate:
		return &lease.FieldError{Field: "late", Problem: fmt.Sprintf("%v, must be from %v to %v", j.Late, minLate, maxLate)}
	case j.Schedule.next == nil:
		return &lease.FieldError{Field: "schedule", Problem: "is missing"}
	case j.Start == nil:
		return &lease.FieldError{Field: "start", Problem: "is missing"}
	}
	return nil
}

// worker starts a job.
type worker struct {
	Job
	steps runlink.Steps
	log   *slog.Logger
}

func (w *worker) work(ctx context.Context) error {
	var started time.Time // the last tick that was started
	failing := false
	for ctx.Err() == nil {
		now := w.steps.Now()
		after := now.Add(-w.Late - 1) // a tick that is just so late is started
		if started.After(after) {
			after = started
		}
		next := w.Schedule.Next(now)
		if tick := w.Schedule.last(after, now); !tick.IsZero() {
			err := w.Start(ctx, Key(w.Name, tick), tick)
			switch {
			case err == nil:
				started = tick
				if failing {
					failing = false
					w.log.Info("a periodic run can be started again", "name", w.Name)
				}
				continue // the start may have taken long
			case ctx.Err() != nil:
				return nil
			case errors.Is(err, lease.ErrInvalid), errors.Is(err, backend.ErrClosed):
				return err
			}
			if !failing {
				failing = true
				w.log.Warn("a periodic run cannot be started, and is tried again", "name", w.Name, "err", withoutKey(err))
			}
			next = now.Add(startAgain)
		}
		w.wait(ctx, now, next)
	}
	return nil
}

// wait waits until next, a minute, or the end of ctx.
func (w *worker) wait(ctx context.Context, now, next time.Time) {
	d := lookAtMost
	if !next.IsZero() {
		d = min(d, next.Sub(now))
	}
	passed := make(chan struct{})
	stop := w.steps.AfterFunc(d, func() { close(passed) })
	defer stop()
	select {
	case <-passed:
	case <-ctx.Done():
	}
}

// withoutKey is the error of an operation, without the operation and its key.
func withoutKey(err error) error {
	if e, ok := errors.AsType[*lease.Error](err); ok {
		return e.Err
	}
	return err
}
