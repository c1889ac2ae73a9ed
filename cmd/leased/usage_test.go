package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/timeline"
	"github.com/ailease/lease/usage"
)

func (d *daemon) leasesCounted(t *testing.T) any {
	t.Helper()
	code, a := d.ask(t, "", "GET", "/v1/usage?kind=ai", "")
	if code != 200 {
		t.Fatalf("%d %v", code, a)
	}
	return a["usage"]
}

// TestUsageOutlivesLeased: what was counted just before the end is in the store.
func TestUsageOutlivesLeased(t *testing.T) {
	inEmptyFolder(t)
	const times = 3
	for i := range times {
		d := startDaemon(t, "--no-auth")
		if got := d.leasesCounted(t); got != float64(2*i) {
			t.Errorf("%v leases were counted before start %d, want %d", got, i+1, 2*i)
		}
		for j := range 2 {
			if code, a := d.ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":"k%d_%d"}`, i, j)); code != 200 {
				t.Fatalf("%d %v", code, a)
			}
		}
		if got := d.leasesCounted(t); got != float64(2*i+2) {
			t.Errorf("%v leases are counted, want %d", got, 2*i+2)
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsageOfALeasedThatIsKilled: another on the same file shows it, and goes on doing so.
func TestUsageOfALeasedThatIsKilled(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth")
	p := startProcess(t, os.Stderr, "--no-auth")
	for i := range 5 {
		if code, a := (&daemon{url: p.url}).ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":"k%d"}`, i)); code != 200 {
			t.Fatalf("%d %v", code, a)
		}
	}
	natstest.Eventually(t, "the other shows what was counted", func() bool { return d.leasesCounted(t) == 5.0 })
	p.cmd.Process.Kill()
	p.cmd.Wait()
	if code, a := d.ask(t, "", "POST", "/v1/ai/lease", `{"key":"k5"}`); code != 200 {
		t.Fatalf("%d %v", code, a)
	}
	if got := d.leasesCounted(t); got != 6.0 {
		t.Errorf("%v leases are counted, want 6", got)
	}
}

// TestUsageDoesNotHoldUpTheEnd: a store that hangs is given up, and the log says what is lost.
func TestUsageDoesNotHoldUpTheEnd(t *testing.T) {
	for name, end := range map[string]time.Time{"soon": time.Now().Add(10 * time.Millisecond), "before": time.Now().Add(-time.Second)} {
		t.Run(name, func(t *testing.T) {
			store := leasetest.NewStore(memory.New())
			store.Cut()
			log := &output{}
			c := usage.New(store, usage.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
			c.Count("default", usage.AI, usage.Charged)
			closeUsage(c, end)
			if c.Lost() != 1 || !strings.Contains(log.String(), "counts are lost") {
				t.Errorf("%d lost, log:\n%s", c.Lost(), log)
			}
		})
	}
}

// TestWhatIsWrittenAfterTheEnd: commands may take longer to stop than the end allows. What was
// counted and noted is written all the same.
func TestWhatIsWrittenAfterTheEnd(t *testing.T) {
	store := memory.New()
	defer store.Close()
	past := time.Now().Add(-time.Second)
	c := usage.New(store)
	c.Count("default", usage.AI, usage.Charged)
	closeUsage(c, past)
	if c.Lost() != 0 {
		t.Errorf("%d counts are lost", c.Lost())
	}
	tl, err := timeline.New(store)
	if err != nil {
		t.Fatal(err)
	}
	tl.Note(timeline.Entry{Namespace: "default", RunID: "r", Type: "t"})
	journal{tl, slog.New(slog.DiscardHandler)}.close(past)
	if tl.Dropped() != 0 {
		t.Errorf("%d entries are dropped", tl.Dropped())
	}
}
