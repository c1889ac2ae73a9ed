package runs_test

import (
	"bufio"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

var kills = flag.Int("runs.kills", 4, "how often a worker with four runs under way is killed, on each store")

// steps is how many steps a run has that workers are killed in.
const steps = 6

// inSteps does its steps in a table that every attempt writes with its token.
var inSteps = runs.Task[string, int]{Name: "in steps", Attempts: -1, TTL: time.Second}

func TestMain(m *testing.M) {
	if url := os.Getenv("RUNS_WORKER"); url != "" {
		if err := workInSteps(url, os.Getenv("RUNS_TABLE")); err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// workInSteps is the worker process.
func workInSteps(url, table string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	store, err := backends.Open(ctx, url)
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		return err
	}
	db, err := openTable(table)
	if err != nil {
		return err
	}
	defer db.Close()
	tl, err := timeline.New(store)
	if err != nil {
		return err
	}
	r := runs.New(m, runs.WithConcurrency(4), runs.WithTimeline(tl))
	inSteps.Handle(r, func(ctx context.Context, key string) (int, error) {
		token, err := lease.Token(ctx, key)
		if err != nil {
			return 0, err
		}
		var done int
		if _, err := lease.Load(ctx, &done); err != nil {
			return 0, err
		}
		for step := done + 1; step <= steps; step++ {
			res, err := db.ExecContext(ctx, `INSERT INTO steps (key, step, token) SELECT ?1, ?2, ?3
				WHERE NOT EXISTS (SELECT 1 FROM steps WHERE key = ?1 AND token > ?3)`, key, step, int64(token))
			if err != nil {
				return 0, err
			}
			if n, _ := res.RowsAffected(); n == 0 {
				fmt.Println("stale", key)
				return 0, fmt.Errorf("another attempt has written")
			}
			fmt.Println("step", key, step)
			if err := lease.Save(ctx, step); err != nil {
				return 0, err
			}
			if fmt.Sprint(step) == os.Getenv("RUNS_HANG_AT") {
				<-ctx.Done() // until the process is killed
			}
			if err := ctx.Err(); err != nil {
				return 0, err
			}
		}
		return steps, nil
	})
	return r.Work(ctx)
}

func openTable(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS steps (id INTEGER PRIMARY KEY, key TEXT, step INTEGER, token INTEGER)`)
	return db, err
}

// process is a worker process, and what it says.
type process struct {
	cmd  *exec.Cmd
	said chan string
}

func startProcess(t *testing.T, url, table string, hangAt int) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), said: make(chan string, 10_000)}
	p.cmd.Env = append(os.Environ(), "RUNS_WORKER="+url, "RUNS_TABLE="+table, fmt.Sprint("RUNS_HANG_AT=", hangAt))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.said)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.said <- s.Text()
		}
		_, _ = io.Copy(io.Discard, out)
	}()
	t.Cleanup(func() { p.kill() })
	return p
}

// kill ends the process without a word, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	for range p.said {
	}
	_ = p.cmd.Wait()
}

// waitFor waits until the process says that so many runs are at a step.
func (p *process) waitFor(t *testing.T, step, runs int) {
	t.Helper()
	for line := range p.said {
		switch {
		case !strings.HasPrefix(line, "step "):
			t.Fatalf("a worker said %q", line)
		case strings.HasSuffix(line, fmt.Sprint(" ", step)):
			if runs--; runs == 0 {
				return
			}
		}
	}
	t.Fatal("a worker ended")
}

// TestKilledWorkers kills worker processes in the middle of their runs. Others finish the runs from
// their checkpoints, and no attempt writes after another has begun.
func TestKilledWorkers(t *testing.T) {
	t.Parallel()
	for _, store := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"sqlite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "leases.db") }},
		{"nats", func(t *testing.T) string { return natstest.StartCluster(t).URL() + "?replicas=3" }},
	} {
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			url, table := store.url(t), filepath.Join(t.TempDir(), "steps.db")
			s, err := backends.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			m, err := lease.NewManager(s)
			if err != nil {
				t.Fatal(err)
			}
			db, err := openTable(table)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			tl, err := timeline.New(s)
			if err != nil {
				t.Fatal(err)
			}
			r := runs.New(m, runs.WithTimeline(tl))
			began := time.Now()
			killed := 0
			for round := range *kills {
				var keys []string
				for i := range 4 {
					keys = append(keys, fmt.Sprintf("run_%d_%d", round, i))
					if _, started, err := inSteps.Start(t.Context(), r, keys[i], keys[i], nil); err != nil || !started {
						t.Fatalf("started is %t, error %v", started, err)
					}
				}
				step := 1 + round%steps
				first := startProcess(t, url, table, step)
				first.waitFor(t, step, len(keys))
				first.kill()
				second := startProcess(t, url, table, 0)
				for _, key := range keys {
					if n, err := inSteps.Wait(t.Context(), r, key); err != nil || n != steps {
						t.Fatalf("%s has %d steps, error %v", key, n, err)
					}
					if l, err := m.Status(t.Context(), key); err != nil {
						t.Error(err)
					} else if l.Failures > 0 {
						killed++
						mustTell(t, r, key, l.Failures+1)
					}
				}
				second.kill()
				if s := stories(t, db, keys); s != "" {
					t.Fatal(s)
				}
			}
			t.Logf("%d kills met %d runs; %v", *kills, killed, time.Since(began).Round(time.Second))
			if killed < 4**kills {
				t.Error("some runs were not met")
			}
		})
	}
}

// mustTell checks the timeline of a run whose workers were killed but for the last.
func mustTell(t *testing.T, r *runs.Runner, key string, attempts int) {
	t.Helper()
	words := []string{"run_started"}
	for range attempts - 1 {
		words = append(words, "attempt_started", "attempt_failed/expired")
	}
	want := strings.Join(append(words, "attempt_started", "run_finished/completed"), " ")
	// Whoever reads before the last worker is done appends the end, and what that worker notes
	// follows.
	if got := strings.Join(strings.Fields(strings.ReplaceAll(told(t, r, key), "attempt_completed", "")), " "); got != want {
		t.Errorf("told\n%s, want\n%s", got, want)
	}
}

// stories tells what is wrong with the steps that were written for keys, or nothing.
func stories(t *testing.T, db *sql.DB, keys []string) string {
	t.Helper()
	for _, key := range keys {
		rows, err := db.Query(`SELECT step, token FROM steps WHERE key = ? ORDER BY id`, key)
		if err != nil {
			t.Fatal(err)
		}
		var story strings.Builder
		var last, token, wrong int
		for rows.Next() {
			var s, k int
			if err := rows.Scan(&s, &k); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&story, "step %d with token %d\n", s, k)
			// One attempt goes on step by step. The next begins where the one before was, or
			// repeats the one step whose checkpoint it had not saved.
			if k < token || k == token && s != last+1 || k > token && s != last+1 && s != last {
				wrong++
			}
			last, token = s, k
		}
		rows.Close()
		if wrong > 0 || last != steps {
			return key + ":\n" + story.String()
		}
	}
	return ""
}
