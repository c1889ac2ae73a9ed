package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
)

const (
	maxActions    = 50       // of a run
	maxKeptBytes  = 512      // of an action's result; all results fit into a checkpoint
	maxTallyBytes = 24 << 10 // of a checkpoint that a tool saves
	saveAgain     = 200 * time.Millisecond
)

// Actions is a handler that calls tools in a row. leased has it for runs whose metadata name no
// task, or none that it knows. Its input is an object; of its members it reads
//
//	actions  up to 50 objects {"tool": name, "args": any JSON}; none at all completes the run
//	dry_run  true: no tool is called, and the result tells which would be
//
// After each action it saves a checkpoint, so that another worker, or the next attempt, goes on
// with the action that has not ended. An action is called at least once. Its idempotency key is the
// key of the run, '#' and the number of the action, from 0 on. A tool may save checkpoints of up to
// 24 KiB of its own.
//
// Before the first call all names are looked up: if one is no tool, the run fails for good, with
// code "tool_not_found", and no tool was called. An error of a tool ends the attempt, as it is.
//
// The result is {"actions": [{"tool": name, "status": "completed", "result": any JSON}]}. A result
// of more than 512 bytes is left out, and "result_bytes" tells its size.
type Actions struct {
	// Tools are the tools by name.
	Tools map[string]Func

	// Note is told what goes on, for the timeline of the run: a "tool_call" when an action starts,
	// and a "tool_result" when it has ended. What is done again is told again. Note must not block.
	// It may be nil.
	Note func(ctx context.Context, e NoteEntry)
}

// NoteEntry is an entry of a timeline.
type NoteEntry struct {
	Type     string        // "tool_call" or "tool_result"
	Status   string        // of a call "start" or "dry_run", of a result "completed" or "failed"
	Tool     string        // of an action that names no tool of ours what it named, cut at 128 bytes
	Step     int           // the number of the action, from 0 on
	Duration time.Duration // of a result
	Message  string        // of a failed result its error code; no payload
}

// action is a call of a tool.
type action struct {
	Tool string          `json:"tool"`
	Args json.RawMessage `json:"args"`
}

// actionEnd is what an action has come to.
type actionEnd struct {
	Tool   string          `json:"tool"`
	Status string          `json:"status"`
	Result json.RawMessage `json:"result,omitempty"`
	Bytes  int             `json:"result_bytes,omitempty"` // of a result that is left out
}

// progress is the checkpoint of a run of actions.
type progress struct {
	Ends []actionEnd     `json:"ends"`
	Tool json.RawMessage `json:"tool,omitempty"` // the checkpoint of the tool that is next
}

// Run calls the tools. It is a [Func].
func (a *Actions) Run(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	actions, dry, err := readActions(input)
	if err != nil {
		return nil, err
	}
	for i, x := range actions {
		if len(x.Args) == 0 {
			actions[i].Args = json.RawMessage("null")
		}
		if a.Tools[x.Tool] == nil {
			a.note(ctx, NoteEntry{Type: "tool_result", Status: "failed", Tool: x.Tool[:min(len(x.Tool), 128)], Step: i, Message: "tool_not_found"})
			return nil, lease.Permanent(&failure{"tool_not_found", fmt.Sprintf("action %d names a tool that is not registered", i)})
		}
	}
	if dry {
		ends := make([]actionEnd, len(actions))
		for i, x := range actions {
			a.note(ctx, NoteEntry{Type: "tool_call", Status: "dry_run", Tool: x.Tool, Step: i})
			ends[i] = actionEnd{Tool: x.Tool, Status: "dry_run"}
		}
		return json.Marshal(map[string]any{"dry_run": true, "actions": ends})
	}
	run, _ := callOf(ctx)
	p := progress{Ends: []actionEnd{}}
	if len(run.checkpoint) > 0 {
		if err := json.Unmarshal(run.checkpoint, &p); err != nil || len(p.Ends) > len(actions) {
			return nil, lease.Permanent(&failure{"checkpoint", fmt.Sprintf("the checkpoint, %d bytes, is of another handler", len(run.checkpoint))})
		}
	}
	for i := len(p.Ends); i < len(actions); i++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		end, err := a.call(ctx, run, i, actions[i], p)
		if err != nil {
			return nil, err
		}
		p = progress{Ends: append(p.Ends, end)}
		if i == len(actions)-1 {
			break // the end of the run says as much
		}
		if err := saveSurely(ctx, run, p); err != nil {
			return nil, err
		}
	}
	return json.Marshal(map[string]any{"actions": p.Ends})
}

// call calls the tool of action i.
func (a *Actions) call(ctx context.Context, run call, i int, x action, p progress) (actionEnd, error) {
	inner := run
	inner.id, inner.checkpoint = fmt.Sprintf("%s#%d", run.id, i), p.Tool
	inner.save = func(ctx context.Context, checkpoint json.RawMessage) error {
		checkpoint, err := json.Marshal(checkpoint) // escaped, as it will be stored
		if err != nil || len(checkpoint) > maxTallyBytes {
			return &lease.FieldError{Field: "checkpoint", Problem: fmt.Sprintf("%d bytes, must be JSON, limit %d in an action", len(checkpoint), maxTallyBytes)}
		}
		return save(ctx, run, progress{p.Ends, checkpoint})
	}
	a.note(ctx, NoteEntry{Type: "tool_call", Status: "start", Tool: x.Tool, Step: i})
	began := time.Now()
	result, err := a.Tools[x.Tool](context.WithValue(ctx, callKey{}, inner), x.Args)
	e := NoteEntry{Type: "tool_result", Status: "completed", Tool: x.Tool, Step: i, Duration: time.Since(began)}
	if err != nil {
		e.Status, e.Message = "failed", codeOf(err)
		a.note(ctx, e)
		return actionEnd{}, err
	}
	a.note(ctx, e)
	end := actionEnd{Tool: x.Tool, Status: "completed", Bytes: len(result)}
	if escaped, err := json.Marshal(result); err == nil && len(escaped) <= maxKeptBytes {
		end.Result, end.Bytes = escaped, 0
	}
	return end, nil
}

func (a *Actions) note(ctx context.Context, e NoteEntry) {
	if a.Note != nil {
		a.Note(ctx, e)
	}
}

// readActions reads the actions of an input. Its errors do not show the input.
func readActions(input json.RawMessage) (actions []action, dry bool, err error) {
	var in struct {
		Actions []action `json:"actions"`
		DryRun  bool     `json:"dry_run"`
	}
	if len(input) > 0 {
		err = json.Unmarshal(input, &in)
	}
	switch {
	case err != nil:
		text := "the input must be an object, its actions objects with a tool, a text, and args, and dry_run true or false"
		return nil, false, lease.Permanent(&failure{"input", text})
	case len(in.Actions) > maxActions:
		return nil, false, lease.Permanent(&failure{"input", fmt.Sprintf("%d actions, limit %d", len(in.Actions), maxActions)})
	}
	return in.Actions, in.DryRun, nil
}

func save(ctx context.Context, run call, p progress) error {
	if run.save == nil {
		return nil
	}
	checkpoint, err := json.Marshal(p)
	if err != nil {
		return &lease.FieldError{Field: "checkpoint", Problem: "cannot be encoded as JSON"}
	}
	return run.save(ctx, checkpoint)
}

// saveSurely saves what has been done, however long the store is away: otherwise the next attempt
// would do it again. If the lease is lost meanwhile, ctx ends.
func saveSurely(ctx context.Context, run call, p progress) error {
	for {
		err := save(ctx, run, p)
		if !errors.Is(err, lease.ErrUnavailable) && !errors.Is(err, lease.ErrUnknownOutcome) {
			return err
		}
		timer := time.NewTimer(saveAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}
