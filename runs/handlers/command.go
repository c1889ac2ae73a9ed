package handlers

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease"
)

const (
	defaultGrace       = 3 * time.Second
	maxCheckpointBytes = 64 << 10
	outputDelay        = 500 * time.Millisecond // for output that a program outside of the group holds open
	maxStderrBytes     = 1 << 10                // of the end, which tells most often what was wrong
	exitPermanent      = 65                     // EX_DATAERR of sysexits.h
	exitRetryable      = 75                     // EX_TEMPFAIL
)

// Command is a handler that runs a program, once for each attempt.
//
// The program finds the input, JSON, on its standard input. The result is what it writes to its
// standard output: a JSON value as it is, nothing as null, and any other text as {"stdout": text}.
// In its environment are
//
//	LEASED_KEY         the key of the run; of an action the key, '#' and its number
//	LEASED_TOKEN       the fencing token
//	LEASED_ATTEMPT     grows with each attempt; that of the first is not always 1
//	LEASED_CHECKPOINT  what was saved last, JSON; not there if nothing was
//
// On file descriptor 3 the program saves checkpoints: each line is a JSON value of up to 64 KiB in
// place of the one before. Of lines that come faster than they can be saved, the last is. A line
// that is no such value ends the attempt. Not on Windows.
//
// The exit code says how it went:
//
//	0      the run has completed
//	65     EX_DATAERR: the run has failed for good
//	75     EX_TEMPFAIL: nothing was done, and another attempt follows, even if the run is at most once
//	other  the attempt has failed: another follows, unless the run is at most once
//
// The program leads a process group of its own. If ctx ends, the group gets SIGTERM, and after
// Grace SIGKILL. A program that still exits with 0 has completed, if the lease is still held. When
// the program itself has exited, what is left of its group is killed too: nothing works on without
// the lease. On Linux the program, though not its children, is killed too if this process dies.
//
// The end of its standard error, up to 1 KiB, becomes part of the error's text. That is stored if
// the task has ErrorText, and never logged.
type Command struct {
	Args []string // the program and its arguments
	Dir  string   // the working folder; that of this process unless set

	// Env are further variables, each "NAME=value". Of this process's own the program gets PATH,
	// HOME, USER, LANG, LC_ALL, TZ and TMPDIR alone: the others may hold secrets.
	Env []string

	// Grace is the time between SIGTERM and SIGKILL; 3 seconds unless set. The Grace of the task
	// should be longer, or the lease may be taken over before the program is gone.
	Grace time.Duration
}

// inherited are the variables that each program gets.
var inherited = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SystemRoot"}

// Run runs the program. It is a [Func].
func (c Command) Run(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(c.Args) == 0 {
		return nil, lease.Permanent(&failure{"command_not_started", "the command has no program"})
	}
	run, _ := callOf(ctx)
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = c.Dir, c.environ(run), outputDelay
	cmd.Stdin = bytes.NewReader(input)
	var pipes []io.Closer
	defer func() {
		for _, p := range pipes {
			p.Close()
		}
	}()
	out, outEnd, err := os.Pipe()
	if err != nil {
		return nil, &failure{"command_not_started", "no pipe could be made for the command"}
	}
	pipes = append(pipes, out, outEnd)
	saved, savedEnd, err := os.Pipe()
	if err != nil {
		return nil, &failure{"command_not_started", "no pipe could be made for the command"}
	}
	pipes = append(pipes, saved, savedEnd)
	stderr := &tail{}
	cmd.Stdout, cmd.Stderr = outEnd, stderr
	withCheckpoints(cmd, savedEnd)

	group, err := startGroup(cmd)
	if err != nil {
		return nil, &failure{"command_not_started", "the command could not be started: " + withoutName(err)}
	}
	outEnd.Close()
	savedEnd.Close()
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	var watching, reading sync.WaitGroup
	watching.Go(func() {
		select {
		case <-ended:
			return
		case <-stopping.Done():
		}
		group.terminate()
		late := time.NewTimer(cmp.Or(c.Grace, defaultGrace))
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C:
			group.kill()
		}
	})
	var result json.RawMessage
	var resultErr, checkpointErr error
	reading.Go(func() {
		result, resultErr = readResult(written{out}, "stdout")
		io.Copy(io.Discard, out) // or the program waits for ever
	})
	reading.Go(func() {
		checkpointErr = saveLines(ctx, written{saved}, run, stop)
	})
	err = group.wait()
	close(ended)
	late := time.Now().Add(outputDelay)
	out.SetReadDeadline(late)
	saved.SetReadDeadline(late)
	watching.Wait()
	reading.Wait()
	return c.outcome(ctx, err, checkpointErr, resultErr, result, stderr)
}

// outcome is what an attempt came to.
func (c Command) outcome(ctx context.Context, err, checkpointErr, resultErr error, result json.RawMessage, stderr *tail) (json.RawMessage, error) {
	if checkpointErr != nil {
		return nil, checkpointErr
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return result, resultErr
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	code, text := exitOf(err)
	if said := stderr.String(); said != "" {
		text += ": " + said
	}
	failed := &failure{code, text}
	switch code {
	case fmt.Sprint("exit_", exitPermanent):
		return nil, lease.Permanent(failed)
	case fmt.Sprint("exit_", exitRetryable):
		return nil, lease.Retryable(failed)
	}
	return nil, failed
}

// exitOf is the code of how a program has ended, and the text.
func exitOf(err error) (code, text string) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case !ok:
		return "error", "the command could not be waited for"
	case exit.ExitCode() < 0:
		n := signalOf(exit)
		return fmt.Sprint("signal_", n), fmt.Sprint("the command was ended by signal ", n)
	}
	return fmt.Sprint("exit_", exit.ExitCode()), fmt.Sprint("the command has ended with exit code ", exit.ExitCode())
}

// environ is the environment of an attempt.
func (c Command) environ(run call) []string {
	var env []string
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	env = append(env, c.Env...)
	if run.id != "" {
		env = append(env,
			"LEASED_KEY="+run.id,
			"LEASED_TOKEN="+strconv.FormatUint(run.lease.Token, 10),
			"LEASED_ATTEMPT="+strconv.Itoa(run.lease.Attempt))
	}
	if len(run.checkpoint) > 0 {
		env = append(env, "LEASED_CHECKPOINT="+string(run.checkpoint))
	}
	return env
}

// saveLines saves the lines as checkpoints: while one is being saved, of those that come meanwhile
// the last alone is kept. It calls stop when a line is no checkpoint. A store that is away loses
// one, and not the attempt: the next may be saved, and if the lease is lost its context ends.
func saveLines(ctx context.Context, r io.Reader, run call, stop func()) error {
	var refused error
	var saving sync.WaitGroup
	last := make(chan json.RawMessage, 1)
	saving.Go(func() {
		for checkpoint := range last {
			if run.save == nil || refused != nil {
				continue
			}
			if err := run.save(ctx, checkpoint); errors.Is(err, lease.ErrInvalid) {
				refused = &failure{"checkpoint", fmt.Sprintf("a checkpoint of %d bytes cannot be saved", len(checkpoint))}
				stop()
			}
		}
	})
	err := readLines(r, func(line json.RawMessage) {
		select {
		case <-last:
		default:
		}
		last <- line
	})
	if err != nil {
		stop()
		io.Copy(io.Discard, r)
	}
	close(last)
	saving.Wait()
	return cmp.Or(err, refused)
}

// readLines calls f for each checkpoint, until a line is none.
func readLines(r io.Reader, f func(line json.RawMessage)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxCheckpointBytes+1)
	for lines.Scan() {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			return &failure{"checkpoint", fmt.Sprintf("a checkpoint of %d bytes is not one line of JSON", len(line))}
		}
		f(bytes.Clone(line))
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return &failure{"checkpoint", fmt.Sprintf("a checkpoint has more than %d bytes", maxCheckpointBytes)}
	}
	return nil
}

// written is output that ends once its time is over.
type written struct{ f *os.File }

func (w written) Read(p []byte) (int, error) {
	n, err := w.f.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.EOF
	}
	return n, err
}

// tail keeps the end of what is written.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p[max(0, len(p)-maxStderrBytes):]...)
	t.end = append(t.end[:0], t.end[max(0, len(t.end)-maxStderrBytes):]...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(strings.ToValidUTF8(string(t.end), "?"))
}

// withoutName is what is wrong with a program, without its name and arguments.
func withoutName(err error) string {
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "there is no such program or folder"
	case errors.Is(err, os.ErrPermission):
		return "it may not be run"
	}
	return "the system refuses it"
}
