package runs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/internal/runlink"
)

// DefaultTask is the name of the task of a run that was started over HTTP and names none.
const DefaultTask = "default"

// Defaults of a [Task].
const (
	defaultAttempts = 5
	defaultWithin   = 24 * time.Hour
	defaultPause    = time.Second
	defaultMostWait = time.Hour
	defaultTTL      = 30 * time.Second
)

// Task is a kind of run: the types of its input and result, and how its runs are treated. In is
// encoded as JSON of up to 64 KiB, Out as JSON of up to 256 KiB. The zero value of every field but
// Name is a good default. A Task is a plain value, safe for concurrent use.
//
// Name, Attempts, Pause, MaxPause, Within, Retention and AtMostOnce go into a run when it is
// started. TTL, Grace, Concurrency and ErrorText are those of the worker.
type Task[In, Out any] struct {
	// Name tells tasks apart, in all programs on the store. Up to 256 bytes. It is no part of the
	// key: two tasks cannot have runs of one key.
	Name string

	// Attempts is how many failures end a run; 5 unless set, and below 0 there is no limit.
	Attempts int

	// Pause is how long a run waits after its first failure, a second unless set. It doubles with
	// each further failure up to MaxPause, an hour unless set. Both are spread by a quarter.
	Pause, MaxPause time.Duration

	// Within is the deadline of a whole run, from the call of Start on: past it the run has failed,
	// with code "deadline_exceeded". 24 hours unless set.
	Within time.Duration

	// Retention is how long the end of a run stays readable, as in [lease.AcquireOptions].
	Retention time.Duration

	// AtMostOnce is for work that must rather stay undone than be done twice: a run whose worker
	// died is not tried again. A failure is permanent unless it is [lease.Retryable].
	AtMostOnce bool

	// TTL is how long a run waits if its worker dies; 30 seconds unless set. The worker extends its
	// claim meanwhile.
	TTL time.Duration

	// Grace is how much time the handler gets to stop, as in [lease.DoOptions].
	Grace time.Duration

	// Concurrency is how many runs of the task one Runner works on at a time. 0: as many as it
	// works on in all.
	Concurrency int

	// ErrorText stores the text of errors too, as in [lease.DoOptions].
	ErrorText bool
}

// StartOptions are those of [Task.Start]. nil stands for the zero value.
type StartOptions struct {
	// Nonce makes Start safe to repeat in another process, as in [lease.AcquireOptions]. Within one
	// call Start repeats itself.
	Nonce string

	// Delay is how long the run waits before its first attempt. It counts towards [Task].Within: a
	// run whose Delay is no shorter fails without an attempt.
	Delay time.Duration

	// InputHash is compared with that of others in place of the hash of the input itself. Up to 256
	// bytes.
	InputHash string

	// AnyInput starts the run without a hash of its input: the key is not compared with other
	// input, now or later. It goes neither with InputHash nor with Replace.
	AnyInput bool

	Metadata    json.RawMessage // a JSON object for others to read, as in [lease.AcquireOptions]
	RetryFailed bool            // starts anew also what has failed for good
	Replace     bool            // starts anew if the key stands for another input; with the same input it does nothing
}

// Start asks for a run of the task. If started is true, this call has started it, and a worker will
// do it, or does so already. Otherwise the key is in progress, or has ended, and is returned as it
// stands, as [lease.Manager.Acquire] does. That it has failed is no error: l.State tells.
//
// Keys are those of the leases of the namespace. A run of another task with the same key and input,
// or a lease that [lease.Do] took, is returned as it stands too.
//
// The id of l is the ticket of the run. Of a key that is leased by hand it is "": a caller who
// waits must not keep a dead holder's lease alive.
//
// Errors: [lease.ErrInputMismatch] if the key stands for another input; [lease.ErrInvalid];
// [lease.ErrUnavailable]; [lease.ErrUnknownOutcome], after which Start may be repeated with the
// Nonce that it had. Start takes 20 seconds at most.
func (t Task[In, Out]) Start(ctx context.Context, r *Runner, key string, in In, opts *StartOptions) (l lease.Lease, started bool, err error) {
	o := StartOptions{}
	if opts != nil {
		o = *opts
	}
	if t.Name == "" {
		return l, false, &lease.Error{Op: "start", Key: key, Err: &lease.FieldError{Field: "task", Problem: "0 bytes, must be from 1 to 256"}}
	}
	input, err := encode(in)
	if err != nil {
		return l, false, &lease.Error{Op: "start", Key: key, Err: &lease.FieldError{Field: "input", Problem: "cannot be encoded as JSON"}}
	}
	hash, err := o.inputHash(input)
	if err != nil {
		return l, false, &lease.Error{Op: "start", Key: key, Err: err}
	}
	if o.Nonce == "" {
		o.Nonce = rand.Text()
	}
	a, err := start(ctx, r.steps, key, runlink.Request{
		Nonce: o.Nonce, Task: t.Name, Input: input, InputHash: hash,
		Metadata: o.Metadata, Retention: t.Retention, Delay: o.Delay, Within: cmp.Or(t.Within, defaultWithin),
		Attempts: max(0, cmp.Or(t.Attempts, defaultAttempts)), PauseFirst: cmp.Or(t.Pause, defaultPause), PauseMost: cmp.Or(t.MaxPause, defaultMostWait),
		AtMostOnce: t.AtMostOnce, RetryFailed: o.RetryFailed, Replace: o.Replace,
	})
	l, _ = a.Lease.(lease.Lease)
	return l, a.Started, err
}

// inputHash is what tells the input from that of others; "" if it is not told apart.
func (o *StartOptions) inputHash(input json.RawMessage) (string, error) {
	switch {
	case o.AnyInput && o.InputHash != "":
		return "", &lease.FieldError{Field: "input_hash", Problem: fmt.Sprintf("%d bytes beside AnyInput, must be one or the other", len(o.InputHash))}
	case o.AnyInput || o.InputHash != "":
		return o.InputHash, nil
	}
	const prefix = "input"
	hash, err := lease.KeyOf(prefix, input)
	return strings.TrimPrefix(hash, prefix+":"), err
}

// encode is json.Marshal without the escapes for HTML, which make six bytes of each '<'.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Wait waits until the run of key has ended, and returns its result. Errors: those of
// [lease.Await]. An end of ctx ends the waiting, and not the run.
func (t Task[In, Out]) Wait(ctx context.Context, r *Runner, key string) (Out, error) {
	if _, err := status(ctx, r.steps, key); err != nil && !errors.Is(err, lease.ErrUnavailable) {
		var none Out
		return none, err
	}
	return lease.Await[Out](ctx, r.manager, key)
}

// Handle has r work on the runs of the task by calling f. It is called before [Runner.Work], and
// once for each name: it panics otherwise, as http.ServeMux does.
//
// f finds its lease in the context, as a function under [lease.Do] does. The context ends if the
// claim was lost, the run was canceled, its deadline has passed, or the worker shuts down; f must
// return then. An error of f fails the attempt, and so does a panic, with code "panic". An input
// that cannot be decoded into In fails the run for good, with code "input".
func (t Task[In, Out]) Handle(r *Runner, f func(ctx context.Context, in In) (Out, error)) {
	r.handle(&handler{
		task: t.Name, limit: t.Concurrency, ttl: cmp.Or(t.TTL, defaultTTL),
		options: runlink.WorkOptions{Grace: t.Grace, ErrorText: t.ErrorText},
		call: func(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
			var in In
			if err := json.Unmarshal(input, &in); err != nil {
				return nil, lease.Permanent(&inputError{t.Name, len(input)})
			}
			out, err := f(ctx, in)
			if err != nil {
				return nil, err
			}
			result, err := encode(out)
			if err != nil {
				return nil, lease.Permanent(&resultError{err})
			}
			return result, nil
		},
	})
}

// inputError is the failure of a run whose input is of another type. It does not show the input.
type inputError struct {
	task string
	size int
}

func (e *inputError) Error() string {
	return fmt.Sprintf("the input of task %q, %d bytes, is of another type", e.task, e.size)
}

func (e *inputError) ErrorCode() string { return "input" }

// resultError is the failure of a run whose result has no JSON.
type resultError struct{ err error }

func (e *resultError) Error() string     { return "the result cannot be encoded: " + e.err.Error() }
func (e *resultError) ErrorCode() string { return "result" }
