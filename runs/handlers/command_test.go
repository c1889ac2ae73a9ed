//go:build unix

package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs/handlers"
)

// sh is a command that runs a script.
func sh(script string) handlers.Command {
	return handlers.Command{Args: []string{"sh", "-c", script}}
}

func TestWhatACommandWritesIsTheResult(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"its input":          {"cat", `{"n":1}`},
		"an object":          {`echo '{"words": 3}'`, `{"words": 3}`},
		"a number":           {"echo 42", "42"},
		"nothing":            {"true", "null"},
		"white space":        {"echo; echo", "null"},
		"text":               {"echo all is well; echo so far", `{"stdout":"all is well\nso far"}`},
		"two JSON values":    {`echo '{}'; echo '{}'`, `{"stdout":"{}\n{}"}`},
		"what is not UTF-8":  {`printf '"\377"'`, `{"stdout":"\"\ufffd\""}`},
		"what is just small": {"head -c 262142 /dev/zero | tr '\\0' 1", strings.Repeat("1", 262142)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sh(tt.script).Run(leasetest.Context(t, lease.Lease{}), json.RawMessage(`{"n":1}`))
			if err != nil || string(got) != tt.want {
				t.Errorf("the result is %.100s, error %v, want %.100s", got, err, tt.want)
			}
		})
	}
}

func TestHowACommandEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		command   handlers.Command
		code      string
		permanent bool
		says      string
	}{
		"an exit code":       {sh("echo boom >&2; exit 3"), "exit_3", false, "exit code 3: boom"},
		"EX_DATAERR":         {sh("exit 65"), "exit_65", true, ""},
		"EX_TEMPFAIL":        {sh("exit 75"), "exit_75", false, ""},
		"a signal":           {sh("kill -9 $$"), "signal_9", false, ""},
		"no such program":    {handlers.Command{Args: []string{"./nowhere_s3cret"}}, "command_not_started", false, "no such program"},
		"no such folder":     {handlers.Command{Args: []string{"true"}, Dir: "nowhere_s3cret"}, "command_not_started", false, "no such program or folder"},
		"no program":         {handlers.Command{}, "command_not_started", true, ""},
		"a result too large": {sh("head -c 3000000 /dev/zero | tr '\\0' 1"), "result", true, "more than 262144 bytes"},
		"no checkpoint":      {sh("echo '{' >&3; sleep 100"), "checkpoint", false, "1 bytes"},
		"a large checkpoint": {sh("head -c 66000 /dev/zero | tr '\\0' 1 >&3; sleep 100"), "checkpoint", false, "more than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.command.Run(leasetest.Context(t, lease.Lease{}), nil)
			if got != nil {
				t.Errorf("the result is %.100s", got)
			}
			mustFail(t, err, tt.code, tt.permanent)
			if !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error is %v, want one that says %q", err, tt.says)
			}
		})
	}
}

// EX_TEMPFAIL says that nothing was done: an at-most-once run may be tried again.
func TestAtMostOnceAfterTempfail(t *testing.T) {
	for code, retryable := range map[string]bool{"75": true, "1": false} {
		m := newManager(t)
		_, err := lease.Do(t.Context(), m, "k", &lease.DoOptions{AtMostOnce: true}, func(ctx context.Context) (json.RawMessage, error) {
			return sh("exit "+code).Run(ctx, nil)
		})
		if l, _ := m.Status(t.Context(), "k"); l.Retryable != retryable || !errors.Is(err, lease.ErrFailed) {
			t.Errorf("exit code %s: %v, retryable is %t", code, err, l.Retryable)
		}
	}
}

// The end of the standard error is kept, and not more.
func TestTheStandardErrorIsBounded(t *testing.T) {
	_, err := sh("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1").Run(t.Context(), nil)
	if err == nil || !strings.HasSuffix(err.Error(), "xthe end") || len(err.Error()) > 1200 {
		t.Errorf("the error is %.100v, of %d bytes", err, len(err.Error()))
	}
}

func TestTheEnvironmentOfACommand(t *testing.T) {
	t.Setenv("LEASED_API_KEY", "s3cret")
	t.Setenv("ANOTHER", "s3cret")
	command := sh("env")
	command.Env = []string{"OURS=1"}
	l := lease.Lease{Key: "k 1", Token: 77, Attempt: 3, Checkpoint: json.RawMessage(`{"page":2}`)}
	got, err := command.Run(leasetest.Context(t, l), nil)
	if err != nil {
		t.Fatal(err)
	}
	var result struct{ Stdout string }
	if err := json.Unmarshal(got, &result); err != nil {
		t.Fatal(err)
	}
	env := "\n" + result.Stdout + "\n"
	for _, want := range []string{"LEASED_KEY=k 1", "LEASED_TOKEN=77", "LEASED_ATTEMPT=3", `LEASED_CHECKPOINT={"page":2}`, "OURS=1", "PATH=" + os.Getenv("PATH")} {
		if !strings.Contains(env, "\n"+want+"\n") {
			t.Errorf("no %s in %s", want, env)
		}
	}
	if strings.Contains(env, "s3cret") {
		t.Errorf("secrets of this process are in %s", env)
	}
}

// The next attempt finds the last checkpoint.
func TestACommandGoesOnFromItsCheckpoint(t *testing.T) {
	r, _ := work(t, newManager(t), sh(`
		if [ -z "$LEASED_CHECKPOINT" ]; then echo '{"page":1}' >&3; echo '{"page":2}' >&3; exit 1; fi
		echo "$LEASED_CHECKPOINT"`).Run)
	mustStart(t, r, "k", "{}")
	if got := mustComplete(t, r, "k"); got != `{"page":2}` {
		t.Errorf("the second attempt found the checkpoint %s", got)
	}
}

// A store that takes its time does not hold up the command, and the last line is saved.
func TestTheLastCheckpointIsSaved(t *testing.T) {
	inMemory := memory.New()
	t.Cleanup(func() { inMemory.Close() })
	store := leasetest.NewStore(inMemory)
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lease.Do(t.Context(), m, "k", nil, func(ctx context.Context) (json.RawMessage, error) {
		store.Delay(100 * time.Millisecond)
		return sh("for i in 1 2 3 4 5 6 7 8 9; do seq 1000 >&3; done; echo 42 >&3; exit 1").Run(ctx, nil)
	})
	if l, _, next := m.Acquire(t.Context(), "k", nil); string(l.Checkpoint) != "42" || lease.Code(err) != "exit_1" {
		t.Errorf("the next finds checkpoint %s, error %v after %v", l.Checkpoint, next, err)
	}
}

// fifo makes a named pipe. writers returns a channel that is closed once some program has opened it
// for writing, and none has it open any more.
func fifo(t *testing.T) (name string, opened, closed chan struct{}) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, closed = make(chan struct{}), make(chan struct{})
	go func() {
		f, err := os.Open(name) // waits for a writer
		if err != nil {
			return
		}
		defer f.Close()
		close(opened)
		io.Copy(io.Discard, f)
		close(closed)
	}()
	return name, opened, closed
}

// mustClose fails the test unless the channel is closed before long.
func mustClose(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatal(what)
	}
}

// A command is killed with all that it has started, though none of it heeds SIGTERM.
func TestTheWholeGroupIsKilled(t *testing.T) {
	name, opened, closed := fifo(t)
	command := sh(`trap '' TERM; (trap '' TERM; sleep 1000; sleep 1000) 4>"$FIFO" & wait; sleep 1000`)
	command.Env, command.Grace = []string{"FIFO=" + name}, 20*time.Millisecond
	ctx, cancel := context.WithCancel(leasetest.Context(t, lease.Lease{}))
	ended := make(chan error, 1)
	go func() {
		_, err := command.Run(ctx, nil)
		ended <- err
	}()
	mustClose(t, "the grandchild does not begin", opened)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	mustClose(t, "the grandchild works on", closed)
}

// What a command leaves behind when it exits works without a lease: it is killed.
func TestNothingIsLeftBehind(t *testing.T) {
	name, opened, closed := fifo(t)
	command := sh(`(touch "$FIFO.begun"; sleep 1000) 4>"$FIFO" &
		until [ -e "$FIFO.begun" ]; do sleep 0.01; done; echo 1`)
	command.Env = []string{"FIFO=" + name}
	if got, err := command.Run(leasetest.Context(t, lease.Lease{}), nil); err != nil || string(got) != "1" {
		t.Errorf("the result is %s, error %v", got, err)
	}
	mustClose(t, "the grandchild has not begun", opened)
	mustClose(t, "the grandchild works on", closed)
}

// A program that has left the group, and holds the output open, does not hold up the run.
func TestAProgramThatHasLeftTheGroup(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "pid")
	command := sh(`setsid sh -c 'echo $$ >"$PID"; exec sleep 1000' & until [ -s "$PID" ]; do sleep 0.01; done; echo 1`)
	command.Env = []string{"PID=" + name}
	got, err := command.Run(leasetest.Context(t, lease.Lease{}), nil)
	if err != nil || string(got) != "1" {
		t.Errorf("the result is %s, error %v", got, err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Errorf("the program is gone: %v", err)
	}
}

// A command that ends in time when it is told to has completed; one that was just ended has not.
func TestSIGTERMComesFirst(t *testing.T) {
	for _, tt := range []struct{ trap, want string }{{`trap 'echo 7; exit 0' TERM`, "7"}, {`trap 'exit 3' TERM`, ""}} {
		name, opened, _ := fifo(t)
		command := sh(tt.trap + `; exec 4>"$FIFO"; while :; do sleep 0.01; done`)
		command.Env, command.Grace = []string{"FIFO=" + name}, time.Minute
		ctx, cancel := context.WithCancel(leasetest.Context(t, lease.Lease{}))
		go func() { <-opened; cancel() }()
		got, err := command.Run(ctx, nil)
		if string(got) != tt.want || (tt.want == "") != errors.Is(err, context.Canceled) {
			t.Errorf("%s: the result is %q, error %v", tt.trap, got, err)
		}
	}
}

// A worker that shuts down gives its run back, and another goes on with the checkpoint.
func TestShutdownHandsACommandOn(t *testing.T) {
	m := newManager(t)
	name, opened, _ := fifo(t)
	command := sh(`
		if [ -z "$LEASED_CHECKPOINT" ]; then echo '"half"' >&3; exec 4>"$FIFO"; exec sleep 1000; fi
		echo "[\"again\", $LEASED_CHECKPOINT]"`)
	command.Env = []string{"FIFO=" + name}
	first, stop := work(t, m, command.Run)
	mustStart(t, first, "k", "{}")
	mustClose(t, "the command does not begin", opened)
	stop()
	if l, err := m.Status(t.Context(), "k"); err != nil || l.Failures != 0 || l.State != lease.StateInProgress {
		t.Errorf("after the shutdown the run is %s with %d failures, error %v", l.State, l.Failures, err)
	}
	second, _ := work(t, m, command.Run)
	if got := mustComplete(t, second, "k"); got != `["again","half"]` {
		t.Errorf("the second attempt says %s", got)
	}
}

// A command that is a tool has a key and a checkpoint for each action.
func TestACommandThatIsATool(t *testing.T) {
	tool := sh(`
		if [ "$LEASED_KEY$LEASED_CHECKPOINT" = k#0 ]; then echo '"half"' >&3; exit 1; fi
		echo "[\"$LEASED_KEY\", $(cat), \"$LEASED_CHECKPOINT\"]" | sed 's/""half""/"half"/'`)
	actions := handlers.Actions{Tools: map[string]handlers.Func{"t": tool.Run}}
	r, _ := work(t, newManager(t), actions.Run)
	mustStart(t, r, "k", `{"actions":[{"tool":"t","args":1},{"tool":"t","args":2}]}`)
	want := `{"actions":[{"tool":"t","status":"completed","result":["k#0",1,"half"]},{"tool":"t","status":"completed","result":["k#1",2,""]}]}`
	if got := mustComplete(t, r, "k"); got != want {
		t.Errorf("the result is %s, want %s", got, want)
	}
}
