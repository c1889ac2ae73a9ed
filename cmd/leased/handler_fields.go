package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/runs/handlers"
	"github.com/ailease/lease/runs/periodic"
)

// Limits and defaults of tasks.
const (
	defaultWorkTTL = 30 * time.Second
	minWorkTTL     = 3 * time.Second
	maxWorkTTL     = time.Hour
	maxWorkGrace   = time.Minute
	maxWithin      = 365 * 24 * time.Hour
	maxPause       = 24 * time.Hour
	maxInputBytes  = 64 << 10
	maxArguments   = 100
)

// handlerFields are those of a handler: a command or a URL.
type handlerFields struct {
	Command []string          `json:"command"`
	Dir     string            `json:"dir"`
	Env     map[string]string `json:"env"`
	PassEnv []string          `json:"pass_env"` // names of variables of leased
	Grace   string            `json:"grace"`

	URL        string `json:"url"`
	Secret     string `json:"secret"`
	SecretEnv  string `json:"secret_env"` // the name of a variable
	TimeoutMS  *int   `json:"timeout_ms"`
	MaxRetries *int   `json:"max_retries"`
}

// taskFields are those of a task.
type taskFields struct {
	handlerFields

	Attempts    *int   `json:"attempts"` // -1: no limit
	Pause       string `json:"pause"`
	MaxPause    string `json:"max_pause"`
	Within      string `json:"within"`
	Retention   string `json:"retention"`
	AtMostOnce  bool   `json:"at_most_once"`
	TTL         string `json:"ttl"`
	Concurrency int    `json:"concurrency"`
	ErrorText   bool   `json:"error_text"`
}

// periodicFields are those of a periodic run.
type periodicFields struct {
	Name      string          `json:"name"`
	Namespace string          `json:"namespace"`
	Task      string          `json:"task"`
	Metadata  json.RawMessage `json:"metadata"`
	Every     string          `json:"every"`
	Cron      string          `json:"cron"`
	Zone      string          `json:"zone"`
	Late      string          `json:"late"`
}

// hasSecrets tells whether the file has a secret, or what may be one.
func (f *handlerFields) hasSecrets() bool {
	u, err := url.Parse(f.URL)
	return f.Secret != "" || len(f.Env) > 0 || err == nil && (u.User != nil || u.RawQuery != "")
}

// maker makes handlers of what a file says.
func (f *handlerFields) maker(path string, ttl time.Duration) (maker, error) {
	switch {
	case (len(f.Command) > 0) == (f.URL != ""):
		return nil, fieldError(path, "must have either a command or a url")
	case f.URL != "":
		return f.target(path)
	}
	return f.command(path, ttl)
}

func (f *handlerFields) target(path string) (maker, error) {
	if f.Dir != "" || len(f.Env) > 0 || len(f.PassEnv) > 0 || f.Grace != "" {
		return nil, fieldError(path, "dir, env, pass_env and grace are for commands")
	}
	if (f.Secret == "") == (f.SecretEnv == "") {
		return nil, fieldError(path, "must have either a secret or a secret_env")
	}
	o := handlers.TargetOptions{URL: f.URL, Secret: []byte(f.Secret)}
	if f.SecretEnv != "" {
		value, err := lookup(path+".secret_env", f.SecretEnv)
		if err != nil {
			return nil, err
		}
		o.Secret = []byte(value)
	}
	if n := f.TimeoutMS; n != nil {
		if *n < 250 || *n > 120_000 {
			return nil, fieldError(path+".timeout_ms", "%d, must be from 250 to 120000", *n)
		}
		o.Timeout = time.Duration(*n) * time.Millisecond
	}
	if n := f.MaxRetries; n != nil {
		if *n < 0 || *n > 10 {
			return nil, fieldError(path+".max_retries", "%d, must be from 0 to 10", *n)
		}
		if o.MaxRetries = *n; *n == 0 {
			o.MaxRetries = -1
		}
	}
	target, err := handlers.NewTarget(o)
	if err != nil {
		return nil, at(path, err)
	}
	return func(string) handlers.Func { return target.Run }, nil
}

func (f *handlerFields) command(path string, ttl time.Duration) (maker, error) {
	if f.Secret != "" || f.SecretEnv != "" || f.TimeoutMS != nil || f.MaxRetries != nil {
		return nil, fieldError(path, "secret, secret_env, timeout_ms and max_retries are for a url")
	}
	if f.Command[0] == "" || len(f.Command) > maxArguments || slices.ContainsFunc(f.Command, hasNUL) || hasNUL(f.Dir) {
		return nil, fieldError(path+".command", "%d texts, must be a program and its arguments, limit %d", len(f.Command), maxArguments)
	}
	// It must be gone before another worker can claim the run.
	grace, err := duration(path+".grace", f.Grace, time.Millisecond, min(maxWorkGrace, ttl/4))
	if err != nil {
		return nil, err
	}
	c := handlers.Command{Args: f.Command, Dir: f.Dir, Grace: cmp.Or(grace, min(3*time.Second, ttl/4))}
	for _, name := range f.PassEnv {
		value, err := lookup(path+".pass_env", name)
		if err != nil {
			return nil, err
		}
		c.Env = append(c.Env, name+"="+value)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		if !variableForm.MatchString(name) || strings.HasPrefix(name, variablePrefix+"_") || hasNUL(f.Env[name]) {
			return nil, fieldError(path+".env", "a name has %d bytes, must be that of a variable that is none of leased's", len(name))
		}
		c.Env = append(c.Env, name+"="+f.Env[name])
	}
	return func(namespace string) handlers.Func {
		c := c
		c.Env = append(slices.Clip(c.Env), "LEASED_NAMESPACE="+namespace)
		return c.Run
	}, nil
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }

// task is the task that a file describes.
func (c *config) task(path, name string, f *taskFields) (t workedTask, err error) {
	t.Name, t.AtMostOnce, t.Concurrency, t.ErrorText = name, f.AtMostOnce, f.Concurrency, f.ErrorText
	for _, d := range []struct {
		name, text string
		into       *time.Duration
		low, high  time.Duration
	}{
		{"ttl", f.TTL, &t.TTL, minWorkTTL, min(maxWorkTTL, c.maxTTL)},
		{"pause", f.Pause, &t.Pause, time.Millisecond, maxPause},
		{"max_pause", f.MaxPause, &t.MaxPause, time.Millisecond, maxPause},
		{"within", f.Within, &t.Within, time.Second, maxWithin},
		{"retention", f.Retention, &t.Retention, time.Minute, c.maxRetention},
	} {
		if *d.into, err = duration(path+"."+d.name, d.text, d.low, d.high); err != nil {
			return t, err
		}
	}
	t.TTL = cmp.Or(t.TTL, defaultWorkTTL)
	if n := f.Attempts; n != nil {
		if *n == 0 || *n < -1 || *n > math.MaxInt32 {
			return t, fieldError(path+".attempts", "%d, must be from 1 on, or -1 for no limit", *n)
		}
		t.Attempts = *n
	}
	if f.Concurrency < 0 || f.Concurrency > 1000 {
		return t, fieldError(path+".concurrency", "%d, must be from 0 to 1000", f.Concurrency)
	}
	if len(f.Command) > 0 {
		t.Grace = t.TTL / 3
	}
	t.make, err = f.maker(path, t.TTL)
	return t, err
}

// periodicRun is the periodic run that a file describes.
func (c *config) periodicRun(path string, f *periodicFields, tasks map[string]workedTask) (r periodicRun, err error) {
	r = periodicRun{namespace: cmp.Or(f.Namespace, defaultNamespace), task: cmp.Or(f.Task, runs.DefaultTask), input: f.Metadata}
	if !nameForm.MatchString(f.Name) {
		return r, fieldError(path+".name", "%d bytes, must have from 1 to 128 of the characters a-z, A-Z, 0-9, '_', '.', ':' and '-'", len(f.Name))
	}
	task, ok := tasks[r.task]
	if !ok {
		return r, fieldError(path+".task", "names none of the tasks")
	}
	switch b := []byte(r.input); {
	case len(b) == 0 || string(b) == "null":
		r.input = json.RawMessage("{}")
	case b[0] != '{' || len(b) > maxInputBytes:
		return r, fieldError(path+".metadata", "%d bytes, must be an object, limit %d", len(b), maxInputBytes)
	}
	r.job.Name = f.Name
	switch {
	case (f.Every == "") == (f.Cron == ""):
		return r, fieldError(path, "must have either every or cron")
	case f.Every != "" && f.Zone != "":
		return r, fieldError(path+".zone", "is for cron: every counts in UTC")
	case f.Every != "":
		var d time.Duration
		if d, err = duration(path+".every", f.Every, time.Second, math.MaxInt64); err == nil {
			r.job.Schedule, err = periodic.Every(d)
		}
	default:
		r.job.Schedule, err = periodic.Cron(f.Cron, f.Zone)
	}
	if err != nil {
		return r, at(path, err)
	}
	// An end that is forgotten sooner would be started anew.
	most := min(24*time.Hour, cmp.Or(task.Retention, c.retention)-time.Second)
	if r.job.Late, err = duration(path+".late", f.Late, time.Minute, most); err != nil {
		return r, err
	}
	r.job.Late = cmp.Or(r.job.Late, min(periodic.DefaultLate, most))
	if r.job.Late < time.Minute {
		return r, fieldError(path, "the retention of its runs is too short: must be more than a minute")
	}
	return r, nil
}
