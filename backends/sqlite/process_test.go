package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

// A child process is this test binary, told by the environment which of the roles below to play. It
// begins when its standard input is closed, so that several begin at once.
const (
	roleEnv = "AILEASE_SQLITE_TEST_ROLE"
	pathEnv = "AILEASE_SQLITE_TEST_PATH"
)

var roles = map[string]func(path string) error{
	"increment": increment,
	"scribble":  scribble,
	"write one": writeOne,
}

func TestMain(m *testing.M) {
	role := roles[os.Getenv(roleEnv)]
	if role == nil {
		os.Exit(m.Run())
	}
	io.Copy(io.Discard, os.Stdin)
	if err := role(os.Getenv(pathEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

type child struct {
	*exec.Cmd
	begin  io.Closer
	stdout io.Reader
	stderr strings.Builder
}

func start(t *testing.T, role, path string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.Command(exe)}
	c.Env = append(os.Environ(), roleEnv+"="+role, pathEnv+"="+path)
	c.Stderr = &c.stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.begin = stdin
	if c.stdout, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	return c
}

func (c *child) wantSuccess(t *testing.T) {
	t.Helper()
	if err := c.Wait(); err != nil {
		t.Errorf("child: %v\n%s", err, &c.stderr)
	}
}

const (
	incrementers = 4
	callers      = 4
	increments   = 10
)

// increment opens the file, which may not exist yet, and has several callers add to one counter.
func increment(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path, sqlite.WithBusyTimeout(time.Minute))
	if err != nil {
		return err
	}
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := 0; n < increments && errs[c] == nil; {
				e, err := s.Get(ctx, "counter")
				if err != nil && !errors.Is(err, backend.ErrNotFound) {
					errs[c] = err
					return
				}
				value, _ := strconv.Atoi(string(e.Value)) // absent is 0
				_, err = s.CompareAndSet(ctx, "counter", e.Revision, []byte(strconv.Itoa(value+1)), time.Hour)
				if err == nil {
					n++
				} else if !errors.Is(err, backend.ErrConflict) {
					errs[c] = err
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(append(errs, s.Close())...)
}

func TestSeveralProcessesMakeTheFileAtOnceAndLoseNoUpdate(t *testing.T) {
	for round := range 3 { // the race for a new file is the same each time, its winner is not
		path := newPath(t)
		var children []*child
		for range incrementers {
			children = append(children, start(t, "increment", path))
		}
		for _, c := range children {
			c.begin.Close()
		}
		for _, c := range children {
			c.wantSuccess(t)
		}
		const want = incrementers * callers * increments
		s := open(t, path)
		wantEntry(t, s, "counter", want, strconv.Itoa(want)) // every write moved the counter by one, no loser did
		var migrations int
		if err := raw(t, path).QueryRow("SELECT count(*) FROM bun_migrations").Scan(&migrations); err != nil || migrations != sqlite.SchemaVersion {
			t.Errorf("round %d: %d migrations were applied (%v)", round, migrations, err)
		}
	}
}

// scribble writes as fast as it can and tells what was acknowledged, until it is killed.
func scribble(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%d/%d", c, n)
				revision, err := s.CompareAndSet(ctx, key, 0, []byte(key), 0)
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				fmt.Printf("%s %d\n", key, revision) // one write to the pipe, which is atomic
			}
		})
	}
	wg.Wait()
	return errors.New("it stopped by itself")
}

func TestWhatAKilledProcessHadAcknowledgedIsThere(t *testing.T) {
	path := newPath(t)
	var newest uint64
	acknowledged := make(map[string]uint64)
	c := start(t, "scribble", path)
	c.begin.Close()
	for lines := bufio.NewScanner(c.stdout); lines.Scan(); {
		var key string
		var revision uint64
		if _, err := fmt.Sscan(lines.Text(), &key, &revision); err != nil {
			t.Fatal(err)
		}
		acknowledged[key] = revision
		newest = max(newest, revision)
		if len(acknowledged) == 200 {
			c.Process.Kill() // and read on what it had still told
		}
	}
	c.Wait()
	if len(acknowledged) < 200 {
		t.Fatalf("only %d writes were acknowledged\n%s", len(acknowledged), &c.stderr)
	}

	s := open(t, path)
	for key, revision := range acknowledged {
		wantEntry(t, s, key, revision, key)
	}
	if got := set(t, s, "next", 0, ""); got <= newest {
		t.Errorf("revision %d after %d", got, newest)
	}
	var integrity string
	if err := raw(t, path).QueryRow("PRAGMA integrity_check").Scan(&integrity); err != nil || integrity != "ok" {
		t.Errorf("integrity check: %q, %v", integrity, err)
	}
}

func writeOne(path string) error {
	s, err := sqlite.Open(context.Background(), path)
	if err != nil {
		return err
	}
	if _, err := s.CompareAndSet(context.Background(), "k", 0, []byte("from the child"), 0); err != nil {
		return err
	}
	fmt.Println("written")
	return s.Close()
}

func TestAWatchSeesWhatAnotherProcessWrites(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	ch := watch(t, t.Context(), s, "k")
	wantNext(t, ch, 0, "")
	c := start(t, "write one", path)
	c.begin.Close()
	if line, err := bufio.NewReader(c.stdout).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	begin := time.Now()
	wantNext(t, ch, 1, "from the child")
	if took := time.Since(begin); took > 5*time.Second { // soon is what another test asks; here the machine starts processes
		t.Errorf("it came after %v", took)
	}
	c.wantSuccess(t)
}
