package proof

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/sqlite"
)

// childEnv is the file on which a child process, this test binary, does leases until it is killed.
const childEnv = "AILEASE_PROOF_FILE"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path, os.Getenv(childEnv+"_ROUND")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// child takes leases through their life, several at a time, as fast as it can. Each operation that
// has been acknowledged is a line of its output.
func child(path, round string) error {
	ctx := context.Background()
	store, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}
	var out sync.Mutex
	acknowledge := func(o Operation) error {
		line, err := json.Marshal(o)
		if err != nil {
			return err
		}
		out.Lock()
		defer out.Unlock()
		_, err = os.Stdout.Write(append(line, '\n'))
		return err
	}
	failed := make(chan error)
	for worker := range 8 {
		go func() {
			for n := 0; ; n++ {
				if err := oneLife(ctx, m, fmt.Sprintf("%s.%d.%d", round, worker, n), acknowledge); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// life is what happens to each key: the version is the place. The second lease finds the checkpoint
// of the first, and the third too.
var life = []struct {
	verb    Verb
	state   lease.State // that stands then
	attempt int
}{
	{Acquire, lease.StateInProgress, 1},
	{Extend, lease.StateInProgress, 1},
	{Release, lease.StateExpired, 1},
	{Acquire, lease.StateInProgress, 2},
	{Fail, lease.StateFailed, 2},
	{Acquire, lease.StateInProgress, 3},
	{Complete, lease.StateCompleted, 3},
}

// oneLife takes the key through life.
func oneLife(ctx context.Context, m *lease.Manager, key string, acknowledge func(Operation) error) error {
	id, mark := "", "result of "+key
	for i, step := range life {
		o := Operation{Verb: step.verb, Key: key, LeaseID: id}
		switch step.verb {
		case Extend:
			o.Checkpoint = quoted(mark)
		case Fail:
			o.Mark, o.Retryable = "once", true
		case Complete:
			o.Mark = mark
		}
		o.call(ctx, m)
		if o.Verb == Acquire {
			id = o.Lease.LeaseID
			if handed := string(o.Lease.Checkpoint); !o.Acquired || i > 0 && handed != quoted(mark) {
				return fmt.Errorf("acquire %s: %t, checkpoint %q, %w", key, o.Acquired, handed, o.Err)
			}
		}
		if o.Err != nil {
			return o.Err
		}
		if err := acknowledge(o); err != nil {
			return err
		}
	}
	return nil
}

// TestKilled kills a process that does leases on a file, with SIGKILL at a random moment, again and
// again on the same file: what it had acknowledged is there, at most the one operation under way
// besides, and the file is sound.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	kills, acknowledged, unacknowledged := 0, 0, 0
	reached := make([]int, len(life)+1) // how often each version was acknowledged
	var newestToken uint64
	for s := range seeds(20, 200) {
		chance := rand.New(rand.NewPCG(s, 0))
		acks := runAndKill(t, path, fmt.Sprint("round", kills), time.Duration(20+chance.IntN(120))*time.Millisecond)
		kills++

		store, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatalf("kill %d: %v", kills, err)
		}
		m, err := lease.NewManager(store)
		if err != nil {
			t.Fatal(err)
		}
		broken, _ := CheckKept(t.Context(), m, acks)
		for _, broken := range broken {
			t.Errorf("kill %d: %s", kills, broken)
		}
		last := map[string]lease.Lease{}
		highest := newestToken
		for _, o := range acks {
			last[o.Key] = o.Lease
			reached[o.Lease.Version]++
			highest = max(highest, o.Lease.Token)
			if o.Lease.Token <= newestToken {
				t.Errorf("kill %d: token %d of %s is not greater than those before the last kill, up to %d", kills, o.Lease.Token, o.Key, newestToken)
			}
		}
		newestToken = highest
		acknowledged += len(acks)
		for k, a := range last {
			l, err := m.Status(t.Context(), k)
			if err != nil {
				t.Fatalf("kill %d: %v", kills, err)
			}
			if l.Version < a.Version || l.Version > a.Version+1 {
				t.Errorf("kill %d: %s was acknowledged at version %d, and is at %d", kills, k, a.Version, l.Version)
			}
			if l.Version > a.Version {
				unacknowledged++
			}
			want := life[l.Version-1]
			sameToken := l.Attempt == a.Attempt
			if l.State != want.state || l.Attempt != want.attempt || (l.Token == a.Token) != sameToken || l.Token < a.Token {
				t.Errorf("kill %d: %s is half there: %+v", kills, k, l)
			}
		}
		for e, err := range store.List(t.Context(), "") {
			if err != nil || !json.Valid(e.Value) {
				t.Errorf("kill %d: %s at revision %d: %v", kills, e.Key, e.Revision, err)
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		sound(t, path)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d kills survived, %d operations acknowledged, %d found that had not been", kills, acknowledged, unacknowledged)
	if slices.Contains(reached[1:], 0) {
		t.Errorf("the children did too little: %d", reached[1:])
	}
}

func runAndKill(t *testing.T, path, round string, after time.Duration) []Operation {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), childEnv+"="+path, childEnv+"_ROUND="+round)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var acks []Operation
	lines := bufio.NewScanner(out)
	var kill *time.Timer
	for lines.Scan() {
		if kill == nil { // it is at work
			kill = time.AfterFunc(after, func() { c.Process.Signal(syscall.SIGKILL) })
		}
		var o Operation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			break // the line that it was writing
		}
		acks = append(acks, o)
	}
	err = c.Wait()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed, but ended by itself: %v", err)
	}
	return acks
}

func sound(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
}
