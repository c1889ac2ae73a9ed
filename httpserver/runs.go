package httpserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"unicode"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

// The start of a run. A worker does it, in whatever process, and its end shows in status and
// result.

const runPath = "/v1/ai/run"

// errNoTool answers the other form of a run, which names an agent and its tool.
var errNoTool = errors.New("no such tool: tools of agents are not served here")

type runAnswer struct {
	acquireAnswer
	RunID string `json:"run_id"`
}

func run(c *call) (any, error) {
	if err := c.runForm(); err != nil {
		return nil, err
	}
	ttl, hash := c.seconds("ttl"), c.text("input_hash", false)
	input, about := c.runMetadata()
	task := c.task(about.Task)
	about.Task = task.Name
	task.Within = cmp.Or(c.seconds("within"), task.Within)
	task.Attempts = cmp.Or(int(min(c.sequence("attempts"), math.MaxInt32)), task.Attempts)
	task.Retention = cmp.Or(c.seconds("retention"), task.Retention)
	task.AtMostOnce = task.AtMostOnce || c.flag("at_most_once")
	opts := runs.StartOptions{
		Nonce:       c.text("nonce", false),
		Delay:       c.secondsFrom(0, "delay"),
		InputHash:   hash,
		AnyInput:    hash == "",
		RetryFailed: c.flag("retry_failed"),
		Replace:     c.flag("replace"),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	steps := runlink.Of(c.manager)
	ttl, err := steps.Grant(ttl)
	if err != nil {
		return nil, err
	}
	opts.Metadata = about.encode(steps.MaxMetadataBytes())
	l, started, err := task.Start(c.ctx, runs.New(c.manager, runs.WithTimeline(c.timeline)), c.key, input, &opts)
	if bad, ok := errors.AsType[*lease.FieldError](err); ok && bad.Field == "input" {
		return nil, &lease.FieldError{Field: "metadata", Problem: bad.Problem}
	}
	if err != nil {
		return nil, err
	}
	runID, _ := timeline.IDs(l.Key, l.Metadata)
	a := runAnswer{c.describeAcquire(&l, started), runID}
	if a.Charged > 0 {
		a.TTL = wholeSeconds(ttl)
	}
	return a, nil
}

// task is the task that a run's metadata names.
func (c *call) task(name string) Task {
	if c.tasks == nil {
		return Task{Name: name}
	}
	if t, ok := c.tasks[name]; ok {
		return t
	}
	return c.tasks[runs.DefaultTask]
}

// runForm refuses what is not a run by its key: there is one by an agent and its tool, too.
func (c *call) runForm() error {
	var given, not []string
	for _, name := range []string{"agent_id", "tool"} {
		if c.raw(name) != nil {
			given = append(given, name)
		} else {
			not = append(not, name)
		}
	}
	switch {
	case c.raw("key") != nil:
		for _, name := range given {
			c.wrong(name, "value_error", "Input should not stand beside key: a run has a key, or an agent_id and a tool")
		}
	case len(given) == 0:
		c.missing("key")
	default:
		for _, name := range given {
			if c.text(name, true) == "" && len(c.problems) == 0 {
				c.wrong(name, "string_too_short", "Input should have at least 1 character")
			}
		}
		for _, name := range not {
			c.missing(name)
		}
		if err := c.check(); err != nil {
			return err
		}
		c.tellNoTool(c.text("agent_id", true), c.text("tool", true))
		return errNoTool
	}
	return nil
}

// runNote is the metadata of the record of a run: what others shall know of it.
type runNote struct {
	RunID   string `json:"run_id,omitempty"`
	Task    string `json:"task,omitempty"`
	AgentID string `json:"agent_id,omitempty"`
}

// runNames are the members of the metadata of a run that mean something here.
var runNames = map[string]bool{"run_id": true, "task": true, "agent_id": true}

// maxNameBytes limits a run_id and the name of a task.
const maxNameBytes = 256

// runMetadata returns the metadata, which are the input of the run, and what they say of it.
func (c *call) runMetadata() (input json.RawMessage, about runNote) {
	about.RunID = c.name(c.raw("run_id"), "run_id")
	about.Task = runs.DefaultTask
	input = c.raw("metadata")
	if input == nil {
		return json.RawMessage("{}"), about
	}
	fields, twice := members(input, runNames)
	if fields == nil {
		c.wrong("metadata", "value_error", fmt.Sprintf("Value error, metadata: %d bytes of JSON that are not an object", len(input)))
		return input, about
	}
	for _, name := range twice {
		c.twice("metadata", name)
	}
	about.Task = cmp.Or(c.name(fields["task"], "metadata", "task"), runs.DefaultTask)
	runID := c.name(fields["run_id"], "metadata", "run_id")
	if about.RunID != "" && runID != "" && runID != about.RunID {
		c.wrongAt([]string{"metadata", "run_id"}, "value_error", "Input should be the same as run_id beside metadata")
	}
	about.RunID = cmp.Or(about.RunID, runID)
	if agent, kind, _ := decodeText(fields["agent_id"]); kind == "" && nameProblem(agent) == "" {
		about.AgentID = agent // else it means nothing here
	}
	return input, about
}

// name is a run_id, or the name of a task; "" if it was not sent.
func (c *call) name(v json.RawMessage, loc ...string) string {
	if v == nil || string(v) == "null" {
		return ""
	}
	s, kind, problem := decodeText(v)
	if kind == "" {
		kind, problem = "value_error", nameProblem(s)
	}
	if problem != "" {
		c.wrongAt(loc, kind, problem)
		return ""
	}
	return s
}

// nameProblem says what is wrong with the name of a task or the like, or "".
func nameProblem(s string) string {
	if len(s) > maxNameBytes {
		return fmt.Sprintf("Input should be shorter: it has %d bytes, limit %d", len(s), maxNameBytes)
	}
	for i, r := range s {
		if unicode.IsControl(r) {
			return fmt.Sprintf("Input should have no control character: %U is at byte %d of %d", r, i, len(s))
		}
	}
	return ""
}

// encode returns as much of n as fits.
func (n runNote) encode(most int) json.RawMessage {
	for _, last := range []*string{&n.AgentID, &n.Task, &n.RunID} {
		if b := bytes.TrimSpace(encode(n)); len(b) <= most {
			return b
		}
		*last = ""
	}
	return nil
}
