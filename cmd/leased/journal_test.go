package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/timeline"
)

// TestTimelinesOutliveLeased: what happened just before the end is told by the next leased. Health
// checks are not told.
func TestTimelinesOutliveLeased(t *testing.T) {
	inEmptyFolder(t)
	const times = 3
	for i := range times {
		d := startDaemon(t, "--no-auth")
		if res, err := http.Get(d.url + "/healthz"); err != nil || res.Body.Close() != nil || res.StatusCode != 200 {
			t.Fatalf("%v, error %v", res, err)
		}
		for _, ask := range []struct{ path, body string }{
			{"/v1/events", `{"run_id":"run_1","type":"note"}`},
			{"/v1/ai/lease", fmt.Sprintf(`{"key":"k%d","metadata":{"run_id":"run_1"}}`, i)},
		} {
			if code, a := d.ask(t, "", "POST", ask.path, ask.body); code != 200 {
				t.Fatalf("%d %v", code, a)
			}
		}
		if err := d.stop(); err != nil {
			t.Fatal(err)
		}
	}
	d := startDaemon(t, "--no-auth")
	_, a := d.ask(t, "", "GET", "/v1/runs/run_1", "")
	var got []string
	for _, e := range a["events"].([]any) {
		got = append(got, fmt.Sprint(e.(map[string]any)["type"]))
	}
	if want := strings.Repeat(" note lease:acquired", times)[1:]; strings.Join(got, " ") != want {
		t.Errorf("told %q, want %s", got, want)
	}
	if _, a := d.ask(t, "", "GET", "/v1/runs", ""); a["total"] != 1.0 {
		t.Errorf("timelines %v", a)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	store, err := backends.Open(t.Context(), "sqlite:leased.db")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	story, err := timeline.New(store)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := story.Newest(t.Context(), healthNamespace, 0, 10); len(entries) != 0 || err != nil {
		t.Errorf("of health checks: %v, error %v", entries, err)
	}
}

func TestWithoutAJournal(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:", "--journal=false")
	for _, path := range []string{"/v1/events", "/v1/runs", "/v1/runs/run_1"} {
		if code, a := d.ask(t, "", "GET", path, ""); code != 404 || a["status"] != "no_such_endpoint" {
			t.Errorf("%s: %d %v", path, code, a)
		}
	}
	if code, a := d.ask(t, "", "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 {
		t.Errorf("%d %v", code, a)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
}

// TestTimelinesDoNotHoldUpTheEnd: a store that hangs is given up, and the log says how many events
// are missing.
func TestTimelinesDoNotHoldUpTheEnd(t *testing.T) {
	for name, end := range map[string]time.Time{"soon": time.Now().Add(10 * time.Millisecond), "before": time.Now().Add(-time.Second)} {
		t.Run(name, func(t *testing.T) {
			store := leasetest.NewStore(memory.New())
			store.Cut()
			log := &output{}
			s, err := timeline.New(store)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				s.Note(timeline.Entry{Namespace: "default", RunID: "run", Type: "note"})
			}
			journal{s, slog.New(slog.NewTextHandler(log, nil))}.close(end)
			if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "missing from the timelines") || !strings.Contains(text, "dropped=3") {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}
