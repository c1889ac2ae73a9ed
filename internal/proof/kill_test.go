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

// child takes leases through their life, several at a time, as fast as it can. Each operation that has been acknowledged is a line of its output.
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

// oneLife acquires, extends and completes: versions 1, 2 and 3.
func oneLife(ctx context.Context, m *lease.Manager, key string, acknowledge func(Operation) error) error {
	acquired := Operation{Verb: Acquire, Key: key}
	acquired.Lease, acquired.Acquired, acquired.Err = m.Acquire(ctx, key, lease.AcquireOptions{})
	if acquired.Err != nil || !acquired.Acquired {
		return fmt.Errorf("acquire %s: %t, %w", key, acquired.Acquired, acquired.Err)
	}
	id, mark := acquired.Lease.LeaseID, "result of "+key
	for _, step := range []func() Operation{
		func() Operation { return acquired },
		func() Operation {
			l, err := m.Extend(ctx, key, id, 2*time.Hour)
			return Operation{Verb: Extend, Key: key, LeaseID: id, Lease: l, Err: err}
		},
		func() Operation {
			l, err := m.Complete(ctx, key, id, lease.Completion{Result: json.RawMessage(fmt.Sprintf("%q", mark)), ResultHash: mark})
			return Operation{Verb: Complete, Key: key, LeaseID: id, Mark: mark, Lease: l, Err: err}
		},
	} {
		o := step()
		if o.Err != nil {
			return o.Err
		}
		if err := acknowledge(o); err != nil {
			return err
		}
	}
	return nil
}

// TestKilled kills a process that does leases on a file, with SIGKILL at a random moment, again and again on the same file: what it had acknowledged is
// there, at most the one operation under way besides, and the file is sound.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.db")
	kills, acknowledged, unacknowledged := 0, 0, 0
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
		for _, broken := range CheckKept(t.Context(), m, acks) {
			t.Errorf("kill %d: %s", kills, broken)
		}
		last := map[string]lease.Lease{}
		highest := newestToken
		for _, o := range acks {
			last[o.Key] = o.Lease
			highest = max(highest, o.Lease.Token)
			if o.Lease.Token <= newestToken {
				t.Errorf("kill %d: token %d of %s is not greater than those before the last kill, up to %d", kills, o.Lease.Token, o.Key, newestToken)
			}
		}
		newestToken = highest
		acknowledged += len(acks)
		for k, a := range last {
			l, err := m.Result(t.Context(), k)
			if err != nil {
				t.Fatalf("kill %d: %v", kills, err)
			}
			if l.Version < a.Version || l.Version > a.Version+1 {
				t.Errorf("kill %d: %s was acknowledged at version %d, and is at %d", kills, k, a.Version, l.Version)
			}
			if l.Version > a.Version {
				unacknowledged++
			}
			whole := l.Version < 3 && l.State == lease.StateInProgress || l.Version == 3 && l.State == lease.StateCompleted
			if !whole || l.Token != a.Token {
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
	if acknowledged < kills {
		t.Error("the children did too little")
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
