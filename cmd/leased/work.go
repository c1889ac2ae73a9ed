package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/ailease/lease"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/runs/handlers"
	"github.com/ailease/lease/runs/periodic"
	"github.com/ailease/lease/timeline"
)

// served has runs that are started over HTTP be of the tasks that are worked on.
func (h *handlerSet) served() []httpserver.Option {
	if h == nil { // the tasks are those of other programs
		return nil
	}
	var tasks []rawTask
	for _, t := range h.tasks {
		tasks = append(tasks, t.rawTask)
	}
	return []httpserver.Option{httpserver.WithTasks(tasks...)}
}

// work works on the runs of the namespaces, and starts the periodic ones, until ctx ends or stop is
// called. stop returns once all runs under way are given back: the store can be closed then.
func (h *handlerSet) work(ctx context.Context, m *lease.Manager, namespaces []string, log *slog.Logger) (stop func(), err error) {
	if h == nil {
		return func() {}, nil
	}
	jobs := make(map[string][]periodicRun)
	for i, p := range h.periodic {
		if !slices.Contains(namespaces, p.namespace) {
			return nil, fieldError(fmt.Sprintf("periodic[%d].namespace", i), "no API key is for it")
		}
		jobs[p.namespace] = append(jobs[p.namespace], p)
	}
	if len(h.tasks) > 1 || len(h.periodic) > 0 {
		log.Info("working on runs", "tasks", len(h.tasks)-1, "tools", len(h.tools), "periodic", len(h.periodic), "namespaces", len(namespaces))
	}
	log = slog.New(newRunLog(log.Handler(), workKind))
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	for _, namespace := range namespaces {
		in, err := m.InNamespace(namespace)
		if err != nil {
			cancel()
			working.Wait()
			return nil, err
		}
		r := h.runner(in, namespace, log)
		working.Go(func() {
			if err := r.Work(ctx); err != nil {
				log.Error("no runs are worked on any more", "namespace", namespace, "err", err)
			}
		})
		if len(jobs[namespace]) == 0 {
			continue
		}
		working.Go(func() {
			if err := periodic.Work(ctx, in, log, h.jobs(r, jobs[namespace])...); err != nil {
				log.Error("no periodic runs are started any more", "namespace", namespace, "err", err)
			}
		})
	}
	return func() {
		cancel()
		working.Wait()
	}, nil
}

// runner is what works on the runs of a namespace.
func (h *handlerSet) runner(m *lease.Manager, namespace string, log *slog.Logger) *runs.Runner {
	r := runs.New(m, runs.WithConcurrency(h.concurrency), runs.WithLogger(log), runs.WithTimeline(h.timeline))
	actions := &handlers.Actions{Tools: make(map[string]handlers.Func), Note: noteAction}
	for name, make := range h.tools {
		actions.Tools[name] = make(namespace)
	}
	for _, t := range h.tasks {
		if t.make == nil {
			t.Handle(r, actions.Run)
			continue
		}
		t.Handle(r, t.make(namespace))
	}
	return r
}

// jobs are the periodic runs of a namespace.
func (h *handlerSet) jobs(r *runs.Runner, all []periodicRun) []periodic.Job {
	jobs := make([]periodic.Job, len(all))
	for i, p := range all {
		jobs[i] = p.job
		jobs[i].Start = periodic.Starts(h.tasks[p.task].rawTask, r, p.input)
	}
	return jobs
}

// noteAction writes what an action does to the timeline of its run.
func noteAction(ctx context.Context, e handlers.NoteEntry) {
	fields := map[string]any{"tool": e.Tool, "step": e.Step}
	if e.Type == "tool_result" {
		fields["duration_ms"] = e.Duration.Milliseconds()
	}
	if e.Message != "" {
		fields["message"] = e.Message
	}
	encoded, err := json.Marshal(fields)
	if err != nil {
		encoded = nil
	}
	runs.Note(ctx, timeline.Entry{Type: e.Type, Status: e.Status, Fields: encoded})
}
