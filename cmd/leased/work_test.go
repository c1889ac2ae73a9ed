package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
)

const workKey = "leased_key_of_workers"

// withHandlers writes a file of handlers, in an empty folder.
func withHandlers(t *testing.T, text string) (args []string) {
	t.Helper()
	inEmptyFolder(t)
	if err := os.WriteFile("handlers.json", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(apiKeyVariable, workKey)
	return []string{"--handlers", "handlers.json"}
}

// starter starts runs on the file of a leased.
func starter(t *testing.T, namespace string) *runs.Runner {
	t.Helper()
	store, err := sqlite.Open(t.Context(), "leased.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	m, err := lease.NewManager(store, lease.WithNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	return runs.New(m)
}

func mustStart(t *testing.T, r *runs.Runner, task rawTask, key, input string) {
	t.Helper()
	if _, started, err := task.Start(t.Context(), r, key, json.RawMessage(input), nil); err != nil || !started {
		t.Fatalf("started is %t, error %v", started, err)
	}
}

// end waits for a run, and returns its result as text, or its code.
func end(t *testing.T, r *runs.Runner, key string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := rawTask{}.Wait(ctx, r, key)
	if code := lease.Code(err); code != "" {
		return code
	}
	if err != nil {
		t.Fatalf("the run of %s: %v", key, err)
	}
	return string(result)
}

// A leased works on the runs of each namespace that has an API key, and shows how they ended.
func TestLeasedWorksOnRuns(t *testing.T) {
	const secret = canary + "_secret"
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if r.Header.Get("X-OnceOnly-Signature") != hex.EncodeToString(mac.Sum(nil)) || r.URL.Query().Get("token") != canary {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write(body)
	}))
	defer server.Close()
	args := withHandlers(t, `{"tasks":{
		"wc": {"command":["sh","-c","echo \"[\\\"$LEASED_NAMESPACE\\\", $(wc -c), \\\"$LEASED_KEY\\\", \\\"$TOKEN$SECRET\\\"]\""],"env":{"TOKEN":"t"}},
		"fails": {"command":["sh","-c","echo `+canary+` >&2; exit 3"],"attempts":2,"pause":"1ms"},
		"stands": {"command":["sh","-c","echo `+canary+`; exit 65"]},
		"mail": {"url":"`+server.URL+`/?token=`+canary+`","secret_env":"SECRET"}},
		"tools":{"mail":{"url":"`+server.URL+`/?token=`+canary+`","secret_env":"SECRET"},"cat":{"command":["cat"]}}}`)
	t.Setenv("SECRET", secret)
	if err := os.WriteFile("keys", []byte("leased_key_of_alice alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, append(args, "--api-keys", "keys")...)
	alice, ours := starter(t, "alice"), starter(t, defaultNamespace)
	for _, tt := range []struct {
		r                      *runs.Runner
		task, key, input, want string
	}{
		{ours, "wc", "k1", `{"a":1}`, `["default",7,"k1","t"]`},
		{alice, "wc", "k1", `{"a":12}`, `["alice",8,"k1","t"]`},
		{ours, "fails", "k2", `{}`, "attempts_exhausted"},
		{ours, "stands", "k3", `{}`, "exit_65"},
		{alice, "mail", "k4", `{"to":"` + canary + `"}`, `{"args":{"to":"` + canary + `"}}`},
		{ours, "default", "k5", `{}`, `{"actions":[]}`},
		{alice, "default", "k6", `{"actions":[{"tool":"cat","args":1},{"tool":"mail"}]}`, `{"actions":[{"tool":"cat","status":"completed","result":1},{"tool":"mail","status":"completed","result":{"args":null}}]}`},
		{ours, "default", "k7", `{"actions":[{"tool":"none"}]}`, "tool_not_found"},
		{ours, "default", "k8", `{"actions":[{"tool":"mail"}],"dry_run":true}`, `{"actions":[{"tool":"mail","status":"dry_run"}],"dry_run":true}`},
	} {
		task := rawTask{Name: tt.task, Attempts: 2, Pause: time.Millisecond}
		mustStart(t, tt.r, task, tt.key, tt.input)
		if got := end(t, tt.r, tt.key); got != tt.want {
			t.Errorf("%s ended as %s, want %s", tt.key, got, tt.want)
		}
	}
	if requests != 2 {
		t.Errorf("%d requests came", requests)
	}
	if code, a := d.ask(t, "leased_key_of_alice", "GET", "/v1/ai/result?key=k4", ""); code != 200 || a["status"] != "completed" {
		t.Errorf("over HTTP: %d %v", code, a)
	}
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if text := d.log.String() + d.out.String(); strings.Contains(text, canary) || !strings.Contains(text, "shutting down") {
		t.Errorf("printed %s", text)
	}
}

// The timeline of a run has each call of a tool, between the start and the end.
func TestTheTimelineOfActions(t *testing.T) {
	store := memory.New()
	defer store.Close()
	story, err := timeline.New(store)
	if err != nil {
		t.Fatal(err)
	}
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	c := config{maxTTL: time.Hour, retention: time.Hour, maxRetention: time.Hour}
	h, _, err := c.parseHandlers([]byte(`{"tools":{"cat":{"command":["cat"]},"stop":{"command":["sh","-c","exit 65"]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	h.timeline = story
	stop, err := h.work(t.Context(), m, []string{defaultNamespace}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := runs.New(m, runs.WithTimeline(story))
	mustStart(t, r, rawTask{Name: "default"}, "k", `{"actions":[{"tool":"cat","args":"`+canary+`"},{"tool":"stop"}]}`)
	if got := end(t, r, "k"); got != "exit_65" {
		t.Errorf("the run ended as %s", got)
	}
	stop()
	entries, _, err := r.Timeline(t.Context(), "k", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range entries {
		var fields struct {
			Tool     string
			Step     int
			Message  string
			Duration *int64 `json:"duration_ms"`
		}
		if len(e.Fields) > 0 {
			if err := json.Unmarshal(e.Fields, &fields); err != nil {
				t.Error(err)
			}
		}
		if e.Type == "tool_result" && fields.Duration == nil || strings.Contains(string(e.Fields), canary) {
			t.Errorf("%s has %s", e.Type, e.Fields)
		}
		if strings.HasPrefix(e.Type, "tool_") || strings.HasPrefix(e.Type, "run_") {
			told = append(told, strings.TrimRight(fmt.Sprint(e.Type, " ", e.Status, " ", fields.Tool, fields.Step, " ", fields.Message), " "))
		}
	}
	want := []string{
		"run_started started 0", "tool_call start cat0", "tool_result completed cat0", "tool_call start stop1", "tool_result failed stop1 exit_65", "run_finished failed 0",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told was %q, want %q", told, want)
	}
}

// Without the flag there is the handler of actions alone, and with off none.
func TestLeasedWithoutHandlers(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv(apiKeyVariable, workKey)
	r := starter(t, defaultNamespace)
	mustStart(t, r, rawTask{Name: "default"}, "k", "{}")
	off := startDaemon(t, "--handlers=off")
	if code, a := off.ask(t, workKey, "GET", "/v1/ai/status?key=k", ""); code != 200 || a["status"] != "in_progress" {
		t.Errorf("a leased that works on nothing has done a run: %d %v", code, a)
	}
	if err := off.stop(); err != nil {
		t.Error(err)
	}
	if h, err := (&config{handlerFile: handlersOff}).handlerSet(t.Context(), nil); h != nil || err != nil {
		t.Errorf("off is %+v, error %v", h, err)
	}
	startDaemon(t)
	if got := end(t, r, "k"); got != `{"actions":[]}` {
		t.Errorf("the run without actions ended as %s", got)
	}
}

// A leased that shuts down gives its runs back before it ends, and the next goes on from the
// checkpoint.
func TestShutdownGivesRunsBack(t *testing.T) {
	args := withHandlers(t, `{"tasks":{"slow":{"grace":"10ms","command":["sh","-c",
		"trap '' TERM; if [ -z \"$LEASED_CHECKPOINT\" ]; then echo '\"half\"' >&3; touch began; sleep 1000; fi; echo \"[$LEASED_CHECKPOINT]\""]}}}`)
	first := startProcess(t, nil, args...)
	r := starter(t, defaultNamespace)
	mustStart(t, r, rawTask{Name: "slow"}, "k", "{}")
	awaitFile(t, "began")
	if err := first.end(t); err != nil {
		t.Errorf("it ended with %v", err)
	}
	startDaemon(t, args...)
	began := time.Now()
	if got := end(t, r, "k"); got != `["half"]` {
		t.Errorf("the run ended as %s", got)
	}
	if d := time.Since(began); d > defaultWorkTTL/2 {
		t.Errorf("it was taken over after %v: it was not given back", d)
	}
}

// A leased that is killed takes its commands along: nothing works on beside the next.
func TestACommandDiesWithLeased(t *testing.T) {
	args := withHandlers(t, `{"tasks":{"slow":{"command":["sh","-c","echo $$ >pid.new; mv pid.new pid; exec sleep 1000"]}}}`)
	p := startProcess(t, nil, args...)
	mustStart(t, starter(t, defaultNamespace), rawTask{Name: "slow"}, "k", "{}")
	var pid int
	if _, err := fmt.Sscan(awaitFile(t, "pid"), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the command does not run: %v", err)
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") { // gone, or only to be waited for
			return
		}
		if time.Now().After(end) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the command works on")
		}
	}
}

// awaitFile waits for a file, and returns its text.
func awaitFile(t *testing.T, name string) string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(name); err == nil {
			return string(text)
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}

// Two leased start each tick of a periodic run, and it runs once.
func TestPeriodicRuns(t *testing.T) {
	args := withHandlers(t, `{"tasks":{"tick":{"command":["sh","-c","echo $LEASED_KEY >>ticks; cat"]}},
		"periodic":[{"name":"often","every":"1s","task":"tick","metadata":{"a":1}}]}`)
	daemons := []*daemon{startDaemon(t, args...), startDaemon(t, args...)}
	store, err := sqlite.Open(t.Context(), "leased.db")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	count := func() (completed, others int) {
		for l, err := range m.List(t.Context(), &lease.Filter{Prefix: "often@"}) {
			if err != nil {
				t.Fatal(err)
			}
			if l.State == lease.StateCompleted {
				completed++
			} else {
				others++
			}
		}
		return completed, others
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if completed, _ := count(); completed >= 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no three ticks within a minute")
		}
	}
	for _, d := range daemons {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}
	completed, others := count()
	ran := strings.Fields(awaitFile(t, "ticks"))
	ticks := slices.Compact(slices.Sorted(slices.Values(ran)))
	if n := len(ticks); n < completed || n > completed+others {
		t.Errorf("%d ticks have completed, %d not, and the commands of %d ran", completed, others, n)
	}
	// What was under way when a leased ended was given back, and its command perhaps ran again.
	for _, key := range ticks[:max(0, len(ticks)-2)] {
		if n := strings.Count(strings.Join(ran, " ")+" ", key+" "); n != 1 {
			t.Errorf("the command of %s ran %d times", key, n)
		}
	}
}
