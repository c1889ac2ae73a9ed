// Package handlers has handlers of runs that need no Go: a [Command] runs a program, a [Target]
// posts to an HTTP endpoint, and [Actions] calls several of these in a row. The daemon leased makes
// them of its configuration.
//
// Input and result are JSON, so a handler fits a task of json.RawMessage:
//
//	summary := runs.Task[json.RawMessage, json.RawMessage]{Name: "summary", Grace: 5 * time.Second}
//	summary.Handle(r, handlers.Command{Args: []string{"./summary.sh"}}.Run)
//
// A handler is called at least once for a run, by one worker at a time. Each hands on the key of
// the run, the fencing token and a number that grows with each attempt. The key makes the effects
// idempotent, and a resource that checks the token refuses a worker that another has taken over
// from.
//
// # Errors
//
// The error of a handler has a code, which becomes the error code of the run:
//
//	exit_N               the command has ended with exit code N
//	signal_N             the command was ended by signal N
//	command_not_started  there is no such program, or it may not be run
//	checkpoint           the command has written what is no checkpoint
//	http_N               the target has answered with status N
//	http_timeout         the target has not answered in time
//	http_unreachable     the target cannot be reached, or its answer broke off
//	result               the result is larger than 256 KiB
//	input                the actions are not what [Actions] takes
//	tool_not_found       an action names a tool that is not there
//
// A run whose attempts are used up has the code "attempts_exhausted" instead. Errors have neither
// input nor result in their text, nor the URL of a target. See [Command] for its standard error.
package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/ailease/lease"
)

// maxResultBytes is the size of the largest result of a command or target.
const maxResultBytes = 256 << 10

// Func is a handler of runs, and a tool of [Actions]. [Command.Run], [Target.Run] and [Actions.Run]
// are such functions.
type Func func(ctx context.Context, input json.RawMessage) (result json.RawMessage, err error)

// failure is an error with the code that its run is to have.
type failure struct{ code, text string }

func (f *failure) Error() string     { return f.text }
func (f *failure) ErrorCode() string { return f.code }

// codeOf is the code of an error of a handler.
func codeOf(err error) string {
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return "error"
}

// call is what a handler knows of the run that it is called for.
type call struct {
	id         string // idempotency key: that of the run, or of one of its actions
	lease      lease.Lease
	checkpoint json.RawMessage
	save       func(ctx context.Context, checkpoint json.RawMessage) error
}

type callKey struct{}

// callOf is the call of an action, or that of the run. ok is false outside of both.
func callOf(ctx context.Context) (c call, ok bool) {
	if c, ok := ctx.Value(callKey{}).(call); ok {
		return c, true
	}
	l, ok := lease.FromContext(ctx)
	if !ok {
		return call{}, false
	}
	return call{l.Key, l, l.Checkpoint, func(ctx context.Context, checkpoint json.RawMessage) error {
		return lease.Save(ctx, checkpoint)
	}}, true
}

// readResult reads a result. Text that is no JSON value becomes an object, whose only member has
// that name.
func readResult(r io.Reader, name string) (json.RawMessage, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxResultBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxResultBytes:
		return nil, lease.Permanent(&failure{"result", fmt.Sprintf("the result has more than %d bytes", maxResultBytes)})
	case len(bytes.TrimSpace(b)) == 0:
		return json.RawMessage("null"), nil
	case json.Valid(b) && utf8.Valid(b):
		return bytes.TrimSpace(b), nil
	}
	return json.Marshal(map[string]string{name: string(bytes.TrimRight(b, "\r\n"))})
}

// Save stores a checkpoint of the run, or of the one action for which a [Func] is called: a tool of
// [Actions] uses it in the place of [lease.Save], whose checkpoint Actions has for itself. Errors
// are those of lease.Save.
func Save(ctx context.Context, checkpoint json.RawMessage) error {
	c, ok := callOf(ctx)
	if !ok {
		return lease.Save(ctx, checkpoint)
	}
	return c.save(ctx, checkpoint)
}

// Checkpoint returns what was saved by [Save] for the run or the action; nil if nothing was.
func Checkpoint(ctx context.Context) json.RawMessage {
	c, _ := callOf(ctx)
	return bytes.Clone(c.checkpoint)
}
