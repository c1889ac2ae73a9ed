package httpserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/internal/natstest"
	"github.com/ailease/lease/timeline"
)

// storyteller is a server with timelines, asked over a network.
type storyteller struct {
	*server
	url   string
	story *timeline.Store
}

func startStory(t testing.TB, b backend.Backend, opts ...httpserver.Option) *storyteller {
	t.Helper()
	story, err := timeline.New(b)
	if err != nil {
		t.Fatal(err)
	}
	s := setup{store: b, manager: []lease.Option{lease.WithObserver(story.Observe)}, handler: append(opts, httpserver.WithTimeline(story))}.start(t)
	over := httptest.NewServer(s.handler)
	t.Cleanup(func() {
		over.Close()
		if err := story.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &storyteller{s, over.URL, story}
}

// onStores runs test on the stores of these names, each with a server of its own.
func onStores(t *testing.T, names string, test func(t *testing.T, s *storyteller)) {
	ran := 0
	for name, open := range map[string]func(t *testing.T) (backend.Backend, error){
		"memory": func(*testing.T) (backend.Backend, error) { return memory.New(), nil },
		"sqlite": func(t *testing.T) (backend.Backend, error) {
			return sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "leases.db"))
		},
		"nats": func(t *testing.T) (backend.Backend, error) {
			return natskv.Open(t.Context(), natstest.Alone(t).ClientURL())
		},
	} {
		if !slices.Contains(strings.Fields(names), name) {
			continue
		}
		ran++
		t.Run(name, func(t *testing.T) {
			b, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.(io.Closer).Close() })
			test(t, startStory(t, b))
		})
	}
	if ran != len(strings.Fields(names)) {
		t.Errorf("%d stores of %s", ran, names)
	}
}

// asked is an answer that came over the network. body is what its JSON is.
type asked struct {
	t    testing.TB
	what string
	code int
	head http.Header
	text string
	body any
}

func (s *storyteller) ask(key, method, path, body string) asked {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	a := asked{t: s.t, what: method + " " + path, code: res.StatusCode, head: res.Header, text: string(text)}
	a.decode()
	return a
}

func (a *asked) decode() {
	a.t.Helper()
	if err := json.Unmarshal([]byte(a.text), &a.body); err != nil {
		a.t.Fatalf("%s: %d %q: %v", a.what, a.code, a.text, err)
	}
}

// event posts an event of alice's.
func (s *storyteller) event(fields object) asked {
	s.t.Helper()
	return s.ask(apiKey, "POST", "/v1/events", toJSON(s.t, fields))
}

func (s *storyteller) mustEvent(fields object) {
	s.t.Helper()
	s.event(fields).is(200, nil)
}

// is checks the code and, unless want is nil, the whole answer.
func (a asked) is(code int, want any) asked {
	a.t.Helper()
	if a.code != code {
		a.t.Errorf("%s: answered %d, want %d: %.500s", a.what, a.code, code, a.text)
	}
	if want != nil && !equalJSON(a.t, a.body, want) {
		a.t.Errorf("%s: answered\n%s, want\n%s", a.what, a.text, toJSON(a.t, want))
	}
	return a
}

// list is the list with a name in the answer, or the answer itself.
func (a asked) list(name string) (all []object) {
	a.t.Helper()
	v := a.body
	if name != "" {
		v, _ = a.body.(object)[name]
	}
	items, ok := v.([]any)
	if a.code != 200 || !ok {
		a.t.Fatalf("%s: %d, no list %q in %.500s", a.what, a.code, name, a.text)
	}
	for _, item := range items {
		all = append(all, item.(object))
	}
	return all
}

// of are the members of a name, one of each entry.
func of(name string, all []object) (values []string) {
	for _, one := range all {
		values = append(values, fmt.Sprint(one[name]))
	}
	return values
}

// an entry as it is shown: with null for what is not known.
func entry(fields object) object {
	e := object{"status": nil, "key": nil, "agent_id": nil, "step": nil, "tool": nil, "message": nil, "event": fields["type"]}
	for name, value := range fields {
		e[name] = value
	}
	return e
}

// TestTimelines mirrors the rows of the wire format about timelines.
func TestTimelines(t *testing.T) {
	onStores(t, "memory sqlite nats", func(t *testing.T, s *storyteller) {
		s.ask(apiKey, "GET", "/v1/events", "").is(200, []any{})
		s.ask(apiKey, "GET", "/v1/runs", "").is(200, object{"total": 0, "items": []any{}})
		s.ask(apiKey, "GET", "/v1/runs/unknown", "").is(200, object{"run_id": "unknown", "total": 0, "events": []any{}})

		posted := s.event(object{"run_id": "run_1", "type": "tool_call", "ts": 1711871400, "status": "start", "duration_ms": 12.5, "step": "s1",
			"tool": "send_mail", "req_id": "r1", "lease_id": "lease_c4n4ry", "agent_id": "a1", "message": "<hello>", "data": object{"a": []any{1, nil}},
			"color": "red", "nothing": nil, "event": "mine", "key": "k", "event_id": 7, "namespace": "bob"})
		id := posted.is(200, nil).body.(object)["event_id"]
		posted.is(200, object{"ok": true, "event_id": id, "run_id": "run_1"})
		shown := entry(object{"event_id": id, "type": "tool_call", "ts": 1711871400, "status": "start", "run_id": "run_1", "duration_ms": 12.5, "step": "s1",
			"tool": "send_mail", "req_id": "r1", "agent_id": "a1", "message": "<hello>", "color": "red", "nothing": nil,
			"data": object{"a": []any{1, nil}, "event": "mine", "key": "k", "event_id": 7, "namespace": "bob"}})
		s.ask(apiKey, "GET", "/v1/events", "").is(200, []any{shown})
		s.ask(apiKey, "GET", "/v1/runs/run_1", "").is(200, object{"run_id": "run_1", "total": 1, "events": []any{shown}})

		s.mustEvent(object{"run_id": "run_1", "type": "tool_result", "ts": "2024-03-31T07:50:01.9Z"})
		s.mustEvent(object{"run_id": "run_2", "type": "note", "ts": 1711871402.75, "status": "fine"})
		s.ask(apiKey, "GET", "/v1/runs", "").is(200, object{"total": 2, "items": []any{
			object{"run_id": "run_2", "last_ts": 1711871402, "last_type": "note", "last_status": "fine", "events_count": 1},
			object{"run_id": "run_1", "last_ts": 1711871401, "last_type": "tool_result", "last_status": nil, "events_count": 2}}})
		s.ask(apiKey, "GET", "/v1/runs?q=run_1", "").is(200, object{"total": 1, "items": []any{
			object{"run_id": "run_1", "last_ts": 1711871401, "last_type": "tool_result", "last_status": nil, "events_count": 2}}})
		if got := of("type", s.ask(apiKey, "GET", "/v1/runs/run_1", "").list("events")); !slices.Equal(got, []string{"tool_call", "tool_result"}) {
			t.Errorf("a timeline is %q, want the oldest first", got)
		}
		if got := of("type", s.ask(apiKey, "GET", "/v1/events", "").list("")); !slices.Equal(got, []string{"note", "tool_result", "tool_call"}) {
			t.Errorf("events are %q, want the newest first", got)
		}
	})
}

// TestWhatTheServerDoesIsAnEvent: it stands in the timelines when its answer is there.
func TestWhatTheServerDoesIsAnEvent(t *testing.T) {
	onStores(t, "memory sqlite", func(t *testing.T, s *storyteller) {
		id := s.mustAcquire("k", object{"metadata": object{"run_id": "run 1", "agent_id": "a1"}})
		now := t0.Unix()
		own := func(fields object) object {
			e := entry(object{"run_id": "run 1", "key": "k", "agent_id": "a1", "ts": now, "attempt": 1})
			for name, value := range fields {
				e[name] = value
			}
			e["event"] = e["type"]
			return e
		}
		check := func(want ...object) {
			t.Helper()
			got := s.ask(apiKey, "GET", "/v1/runs/run%201", "").list("events")
			for _, e := range got {
				if e["event_id"] == nil || e["token"] == nil && e["type"] != "lock:checked" {
					t.Errorf("no event_id or token in %v", e)
				}
				delete(e, "event_id")
				delete(e, "token")
			}
			if !equalJSON(t, got, want) {
				t.Errorf("told\n%s, want\n%s", toJSON(t, got), toJSON(t, want))
			}
		}
		acquired := own(object{"type": "lease:acquired", "status": "acquired"})
		check(acquired)
		s.send("extend", object{"key": "k", "lease_id": id}).want(t, 200, nil)
		extended := own(object{"type": "lease:extended", "status": "in_progress"})
		check(acquired, extended)
		s.send("fail", object{"key": "k", "lease_id": id, "error_code": "no_luck"}).want(t, 200, nil)
		check(acquired, extended, own(object{"type": "lease:failed", "status": "failed", "error_code": "no_luck"}))
		s.post("/v1/check-lock", `{"key":"l"}`).want(t, 200, nil)
		newest := s.ask(apiKey, "GET", "/v1/events?limit=1", "").list("")
		if e := newest[0]; e["event"] != "lock:checked" || e["status"] != "locked" || e["key"] != "l" || e["run_id"] != "l" || e["agent_id"] != nil {
			t.Errorf("a lock is told as %v", e)
		}
	})
}

func TestNamespacesHaveTimelinesOfTheirOwn(t *testing.T) {
	onStores(t, "memory sqlite", func(t *testing.T, s *storyteller) {
		s.mustEvent(object{"run_id": "run_1", "type": "of_alice"})
		s.ask(otherKey, "POST", "/v1/events", `{"run_id":"run_1","type":"of_bob","namespace":"alice"}`).is(200, nil)
		for key, want := range map[string]string{apiKey: "of_alice", otherKey: "of_bob"} {
			if got := of("type", s.ask(key, "GET", "/v1/events", "").list("")); !slices.Equal(got, []string{want}) {
				t.Errorf("events %q, want %s", got, want)
			}
			if got := of("last_type", s.ask(key, "GET", "/v1/runs?q=run", "").list("items")); !slices.Equal(got, []string{want}) {
				t.Errorf("timelines that end with %q, want %s", got, want)
			}
			if got := of("type", s.ask(key, "GET", "/v1/runs/run_1", "").list("events")); !slices.Equal(got, []string{want}) {
				t.Errorf("a timeline of %q, want %s", got, want)
			}
		}
		s.ask("nobody's_key", "GET", "/v1/runs/run_1", "").is(403, nil)
	})
}

func TestPagesOfTimelines(t *testing.T) {
	onStores(t, "memory sqlite", func(t *testing.T, s *storyteller) {
		const n = 205 // more than a page has unless asked for
		var all []timeline.Entry
		for i := range n {
			all = append(all, timeline.Entry{Namespace: "alice", RunID: "run", Type: fmt.Sprint(i)})
		}
		for i := range 60 {
			all = append(all, timeline.Entry{Namespace: "alice", RunID: fmt.Sprintf("other_%d", i), Type: fmt.Sprint(n + i)})
		}
		if err := s.story.Append(t.Context(), all...); err != nil {
			t.Fatal(err)
		}
		numbers := func(from, to, step int) (all []string) {
			for ; from != to; from += step {
				all = append(all, fmt.Sprint(from))
			}
			return all
		}
		for _, tt := range []struct {
			path, list, name string
			total            int // 0: not told
			want             []string
		}{
			{"/v1/events", "", "type", 0, numbers(264, 214, -1)},
			{"/v1/events?limit=3&offset=2", "", "type", 0, numbers(262, 259, -1)},
			{"/v1/events?limit=500&offset=262", "", "type", 0, numbers(2, -1, -1)},
			{"/v1/events?offset=10000", "", "type", 0, nil},
			{"/v1/runs", "items", "last_type", 61, numbers(264, 214, -1)},
			{"/v1/runs?limit=2&offset=59", "items", "last_type", 61, []string{"205", "204"}},
			{"/v1/runs?limit=500&offset=61", "items", "last_type", 61, nil},
			{"/v1/runs?q=other_1&limit=500", "items", "last_type", 11, append(numbers(224, 214, -1), "206")},
			{"/v1/runs?q=nothing", "items", "last_type", 0, nil},
			{"/v1/runs/run", "events", "type", n, numbers(0, 200, 1)},
			{"/v1/runs/run?offset=200", "events", "type", n, numbers(200, 205, 1)},
			{"/v1/runs/run?limit=2&offset=100", "events", "type", n, []string{"100", "101"}},
			{"/v1/runs/run?limit=2000&offset=2147483647", "events", "type", n, nil},
		} {
			a := s.ask(apiKey, "GET", tt.path, "")
			if got := of(tt.name, a.list(tt.list)); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %q, want %q", tt.path, got, tt.want)
			}
			if whole, ok := a.body.(object); ok && whole["total"] != float64(tt.total) {
				t.Errorf("%s: total %v, want %d", tt.path, whole["total"], tt.total)
			}
		}
	})
}

func TestOddRunIDs(t *testing.T) {
	onStores(t, "memory sqlite", func(t *testing.T, s *storyteller) {
		for _, id := range []string{"run x/y", "/", "a//b/", "..", ".", "%", "%2F", "100%", "a+b", "a b?c#d", "é 💡", "\x00\n", "events", strings.Repeat("x", 256), strings.Repeat("💡", 256)} {
			s.mustEvent(object{"run_id": id, "type": "note"})
			a := s.ask(apiKey, "GET", "/v1/runs/"+url.PathEscape(id), "")
			if id == "." || id == ".." { // url.PathEscape leaves them, and clients would walk
				a = s.ask(apiKey, "GET", "/v1/runs/"+strings.ReplaceAll(id, ".", "%2E"), "")
			}
			a.is(200, nil)
			if got := a.body.(object); got["run_id"] != id || got["total"] != 1.0 {
				t.Errorf("%q: %v", id, got)
			}
			if got := s.ask(apiKey, "GET", "/v1/runs?q="+url.QueryEscape(id), "").list("items"); len(got) == 0 || got[0]["run_id"] != id {
				t.Errorf("%q is listed as %v", id, got)
			}
		}
		for _, path := range []string{"/v1/runs/", "/v1/runs/run%20x/y", "/v1/runs/x/", "/v1/runs%2Fx", "/v1/events/x"} {
			s.ask(apiKey, "GET", path, "").is(404, nil)
		}
		s.ask(apiKey, "GET", "//v1/runs/run%20x%2Fy", "").is(200, nil)
	})
}
