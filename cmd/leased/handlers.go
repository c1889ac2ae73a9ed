package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/runs/handlers"
	"github.com/ailease/lease/runs/periodic"
	"github.com/ailease/lease/timeline"
)

// The file of --handlers. Its errors name the field, and never the value.

// handlersOff as the file of --handlers has leased work on nothing.
const handlersOff = "off"

// nameForm is that of tasks, tools and periodic runs.
var (
	nameForm     = regexp.MustCompile(`^[a-zA-Z0-9_.:-]{1,128}$`)
	variableForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	unknownField = regexp.MustCompile(`^json: unknown field "([a-z_]{1,32})"$`)
)

// rawTask is a task of a handler that needs no Go.
type rawTask = runs.Task[json.RawMessage, json.RawMessage]

// handlerSet is what the file of --handlers says.
type handlerSet struct {
	concurrency int
	tasks       map[string]workedTask // with that of actions
	tools       map[string]maker
	periodic    []periodicRun
	timeline    *timeline.Store // has what happens to the runs; nil if nothing has
}

// maker makes a handler for the runs of a namespace.
type maker func(namespace string) handlers.Func

type workedTask struct {
	rawTask
	make maker // nil for that of actions
}

type periodicRun struct {
	namespace string
	task      string
	input     json.RawMessage
	job       periodic.Job // without its Start
}

// newHandlerSet has the handler of actions alone.
func newHandlerSet() *handlerSet {
	return &handlerSet{
		concurrency: 10,
		tasks:       map[string]workedTask{runs.DefaultTask: {rawTask: rawTask{Name: runs.DefaultTask, TTL: defaultWorkTTL, Grace: defaultWorkTTL / 3}}},
		tools:       make(map[string]maker),
	}
}

// handlerSet reads the file of --handlers. Without one it has the handler of actions alone; nil is
// to work on nothing.
func (c *config) handlerSet(ctx context.Context, log *slog.Logger) (*handlerSet, error) {
	switch c.handlerFile {
	case handlersOff:
		return nil, nil
	case "":
		return newHandlerSet(), nil
	}
	what := "the file of " + named("handlers")
	text, mode, err := readFile(ctx, c.handlerFile)
	if err != nil {
		return nil, fmt.Errorf("read the handlers: %s: %w", what, withoutPath(err))
	}
	h, secrets, err := c.parseHandlers([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if secrets && mode.Perm()&0o077 != 0 && mode.IsRegular() {
		log.Warn("other users of this machine can read the secrets of handlers: chmod 600 "+what, "mode", fs.FileMode(mode.Perm()).String())
	}
	return h, nil
}

// fieldError says what is wrong with a field of the file.
func fieldError(path, format string, args ...any) error {
	return errors.New(strings.TrimPrefix(path+": ", ".") + fmt.Sprintf(format, args...))
}

// at adds the path of its object to the error of a field.
func at(path string, err error) error {
	if bad, ok := errors.AsType[*lease.FieldError](err); ok {
		return errors.New(path + "." + bad.Field + ": " + bad.Problem)
	}
	return err
}

// strict decodes an object. There are no fields but those of v.
func strict(path string, raw []byte, v any) error {
	if b := bytes.TrimSpace(raw); len(b) == 0 || b[0] != '{' {
		return fieldError(path, "must be an object")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		return nil
	}
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && bad.Field != "" {
		field := strings.ReplaceAll(bad.Field, "handlerFields.", "") // those are embedded
		return fieldError(path+"."+field, "must be %s", jsonKind(bad.Type.Kind().String()))
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return fieldError(path, "there is no field %q", m[1])
	}
	return fieldError(path, "a field is none of those that there are, or of another type")
}

// jsonKind says what a field of a kind takes.
func jsonKind(kind string) string {
	switch kind {
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	case "map", "struct":
		return "an object"
	}
	return "a whole number"
}

// parseHandlers reads a file of handlers. secrets tells whether the file has any itself.
func (c *config) parseHandlers(text []byte) (h *handlerSet, secrets bool, err error) {
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(text, new(json.RawMessage))); ok {
		return nil, false, fmt.Errorf("line %d is not JSON", 1+bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n")))
	}
	var file struct {
		Concurrency *int                       `json:"concurrency"`
		Tasks       map[string]json.RawMessage `json:"tasks"`
		Tools       map[string]json.RawMessage `json:"tools"`
		Periodic    []json.RawMessage          `json:"periodic"`
	}
	if err := strict("", text, &file); err != nil {
		return nil, false, err
	}
	h = newHandlerSet()
	if n := file.Concurrency; n != nil {
		if *n < 1 || *n > 1000 {
			return nil, false, fieldError("concurrency", "%d, must be from 1 to 1000", *n)
		}
		h.concurrency = *n
	}
	for _, name := range slices.Sorted(maps.Keys(file.Tasks)) {
		path, err := pathOf("tasks", name)
		if err != nil {
			return nil, false, err
		}
		if name == runs.DefaultTask {
			return nil, false, fieldError(path, "this name is that of the handler of actions")
		}
		var t taskFields
		if err := strict(path, file.Tasks[name], &t); err != nil {
			return nil, false, err
		}
		if h.tasks[name], err = c.task(path, name, &t); err != nil {
			return nil, false, err
		}
		secrets = secrets || t.hasSecrets()
	}
	for _, name := range slices.Sorted(maps.Keys(file.Tools)) {
		path, err := pathOf("tools", name)
		if err != nil {
			return nil, false, err
		}
		var t handlerFields
		if err := strict(path, file.Tools[name], &t); err != nil {
			return nil, false, err
		}
		if h.tools[name], err = t.maker(path, defaultWorkTTL); err != nil {
			return nil, false, err
		}
		secrets = secrets || t.hasSecrets()
	}
	seen := make(map[string]bool)
	for i, raw := range file.Periodic {
		path := fmt.Sprintf("periodic[%d]", i)
		var p periodicFields
		if err := strict(path, raw, &p); err != nil {
			return nil, false, err
		}
		run, err := c.periodicRun(path, &p, h.tasks)
		if err != nil {
			return nil, false, err
		}
		if id := run.namespace + "/" + run.job.Name; seen[id] {
			return nil, false, fieldError(path+".name", "stands twice in its namespace")
		} else {
			seen[id] = true
		}
		h.periodic = append(h.periodic, run)
	}
	return h, secrets, nil
}

// pathOf is the path of an object by its name.
func pathOf(list, name string) (string, error) {
	if !nameForm.MatchString(name) {
		return "", fieldError(list, "a name has %d bytes, must have from 1 to 128 of the characters a-z, A-Z, 0-9, '_', '.', ':' and '-'", len(name))
	}
	return list + "." + name, nil
}

// duration reads a duration; 0 if there is none.
func duration(path, text string, low, high time.Duration) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fieldError(path, "must be a duration such as 30s or 1h30m")
	case d < low || d > high:
		return 0, fieldError(path, "%v, must be from %v to %v", d, low, high)
	}
	return d, nil
}

// lookup returns the value of a variable that a field names.
func lookup(path, name string) (string, error) {
	if !variableForm.MatchString(name) || strings.HasPrefix(name, variablePrefix+"_") {
		return "", fieldError(path, "%d bytes, must name a variable that is none of leased's", len(name))
	}
	value, ok := os.LookupEnv(name)
	if !ok {
		return "", fieldError(path, "the variable that it names is not set")
	}
	return value, nil
}
