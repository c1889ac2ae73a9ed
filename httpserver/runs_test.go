package httpserver_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/runs"
)

// mustRun starts the run of key, and returns its ticket.
func (s *server) mustRun(key string, fields object) string {
	s.t.Helper()
	all := object{"key": key}
	maps.Copy(all, fields)
	got := s.send("run", all)
	got.want(s.t, 200, object{"status": "acquired", "charged": 1})
	id, _ := got.body["lease_id"].(string)
	if id == "" {
		s.t.Fatalf("no lease_id in %v", got.body)
	}
	return id
}

// TestARunOverHTTP goes through the life of a run for which there is no worker, answer by answer.
func TestARunOverHTTP(t *testing.T) {
	s := newServer(t)
	acquired := s.post("/v1/ai/run", `{"key":"report","ttl":1800,"metadata":{"task":"summary","customer":"c_1"},"unknown":1}`)
	acquired.want(t, 200, object{"ok": true, "status": "acquired", "key": "report", "run_id": "report", "ttl": 1800, "ttl_left": nil, "version": 1,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": nil, "charged": 1, "attempt": 1,
		"metadata": object{"task": "summary"}, "token": absent, "checkpoint": absent})
	ticket, _ := acquired.body["lease_id"].(string)
	if !strings.HasPrefix(ticket, "lease_") {
		t.Fatalf("lease_id %q", ticket)
	}
	leased := s.send("lease", object{"key": "other"}).body
	for _, name := range slices.Sorted(maps.Keys(leased)) {
		if _, there := acquired.body[name]; !there && name != "token" {
			t.Errorf("%s stands in the answer to a lease, and not to a run", name)
		}
	}

	s.clock.Advance(49500 * time.Millisecond)
	stands := object{"ok": true, "key": "report", "lease_id": ticket, "version": 1, "ttl_left": 86351,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": 5, "metadata": object{"task": "summary"}}
	inProgress := func() {
		t.Helper()
		polling := maps.Clone(stands)
		maps.Copy(polling, object{"status": "polling", "ttl": 86400, "charged": 0, "token": absent})
		s.post("/v1/ai/lease", `{"key":"report"}`).want(t, 200, polling)
		polling["run_id"] = "report"
		s.post("/v1/ai/run", `{"key":"report","ttl":60,"metadata":{"task":"other"},"run_id":"mine"}`).want(t, 200, polling)
		stands["status"] = "in_progress"
		s.get("/v1/ai/status", "report").want(t, 200, stands)
		s.get("/v1/ai/result", "report").want(t, 200, object{"ok": true, "status": "in_progress", "key": "report", "result": nil, "retry_after_sec": 5})
	}
	inProgress()

	held := object{"key": "report", "lease_id": ticket}
	with := func(fields object) object {
		maps.Copy(fields, held)
		return fields
	}
	s.send("extend", with(object{"ttl": 600, "checkpoint": 7, "metadata": object{"a": 1}})).want(t, 200,
		object{"ok": true, "status": "extended", "key": "report", "lease_id": ticket, "version": 1})
	lost := object{"ok": false, "status": "lease_lost", "key": "report"}
	s.send("complete", with(object{"result": 1})).want(t, 409, lost)
	s.send("fail", with(object{"error_code": "fn_error"})).want(t, 409, lost)
	s.send("release", held).want(t, 409, lost)
	s.send("cancel", with(object{"retryable": true})).want(t, 409, lost)
	inProgress()

	s.send("cancel", with(object{"reason": "user left"})).want(t, 200,
		object{"ok": true, "status": "failed", "key": "report", "version": 2, "error_code": "canceled:user left", "done_at": "2025-01-15T10:30:49Z"})
	ended := object{"ok": true, "status": "failed", "key": "report", "error_code": "canceled:user left", "done_at": "2025-01-15T10:30:49Z"}
	s.get("/v1/ai/status", "report").want(t, 200, ended)
	s.get("/v1/ai/result", "report").want(t, 200, ended)
	s.send("run", object{"key": "report", "run_id": "mine"}).want(t, 200, object{"status": "failed", "error_code": "canceled:user left",
		"run_id": "report", "charged": 0, "retry_after_sec": nil, "version": 2})
	s.send("extend", held).want(t, 409, object{"status": "already_finished"})
	s.send("run", object{"key": "report", "run_id": "mine", "retry_failed": true}).want(t, 200,
		object{"status": "acquired", "run_id": "mine", "charged": 1, "attempt": 2, "version": 3})
}

// TestRunsByWhatStands: what a call gets, depending on what stands under the key. $TICKET is the
// ticket of the run that does.
func TestRunsByWhatStands(t *testing.T) {
	run := func(fields object) func(s *server) string {
		return func(s *server) string { return s.mustRun("k", fields) }
	}
	hand := func(fields object) func(s *server) string {
		return func(s *server) string { return s.mustAcquire("k", fields) }
	}
	end := func(before func(s *server) string, endpoint string, fields object) func(s *server) string {
		return func(s *server) string {
			all := object{"key": "k", "lease_id": before(s)}
			maps.Copy(all, fields)
			s.send(endpoint, all).want(s.t, 200, nil)
			return ""
		}
	}
	nothing := func(*server) string { return "" }
	for _, tt := range []struct {
		name    string
		before  func(s *server) string
		ask     string
		code    int
		want    object
		options []httpserver.Option
	}{
		{"nothing", nothing, `{"key":"k"}`, 200, object{"status": "acquired", "ttl": 3600, "charged": 1, "run_id": "k", "metadata": object{"task": "default"}}, nil},
		{"nothing, and a TTL above the maximum", nothing, `{"key":"k","ttl":1e9}`, 200, object{"status": "acquired", "ttl": 2592000, "ttl_left": nil}, nil},
		{"nothing, and all options", nothing, `{"key":"k","delay":0,"within":60,"attempts":1,"nonce":"n","input_hash":"h","at_most_once":true,"retention":60,"replace":false}`, 200,
			object{"status": "acquired"}, nil},
		{"nothing, and null in place of options", nothing, `{"key":"k","metadata":null,"run_id":null,"agent_id":null,"tool":null,"delay":null}`, 200, object{"status": "acquired"}, nil},

		{"a run", run(nil), `{"key":"k"}`, 200, object{"status": "polling", "lease_id": "$TICKET", "retry_after_sec": 5, "charged": 0}, nil},
		{"a run, and ids are hidden", run(nil), `{"key":"k"}`, 200, object{"status": "polling", "lease_id": nil},
			[]httpserver.Option{httpserver.WithHiddenLeaseIDs()}},
		{"a run of other metadata", run(object{"metadata": object{"task": "a", "n": 1}}), `{"key":"k","metadata":{"n":2}}`, 200,
			object{"status": "polling", "metadata": object{"task": "a"}}, nil},
		{"a run of an input hash", run(object{"input_hash": "mine"}), `{"key":"k"}`, 200, object{"status": "polling"}, nil},
		{"a run of the same input hash", run(object{"input_hash": "mine"}), `{"key":"k","input_hash":"mine","metadata":{"n":2}}`, 200, object{"status": "polling"}, nil},
		{"a run of another input hash", run(object{"input_hash": "mine"}), `{"key":"k","input_hash":"other"}`, 409, object{"status": "input_mismatch", "key": "k"}, nil},
		{"a run of another input hash, to be replaced", run(object{"input_hash": "mine"}), `{"key":"k","input_hash":"other","replace":true}`, 200,
			object{"status": "acquired", "version": 2, "charged": 1}, nil},
		{"a run with the same nonce", run(object{"nonce": "n"}), `{"key":"k","nonce":"n"}`, 200, object{"status": "acquired", "lease_id": "$TICKET",
			"version": 1, "ttl": 86400, "ttl_left": 86390, "charged": 0, "retry_after_sec": nil}, nil},
		{"a run with the same nonce, and ids are hidden", run(object{"nonce": "n"}), `{"key":"k","nonce":"n"}`, 200,
			object{"status": "acquired", "lease_id": "$TICKET"}, []httpserver.Option{httpserver.WithHiddenLeaseIDs()}},
		{"a run past its deadline", run(object{"within": 5}), `{"key":"k"}`, 200, object{"status": "failed", "error_code": "deadline_exceeded"}, nil},

		{"a lease by hand", hand(object{"metadata": object{"a": 1}}), `{"key":"k"}`, 200, object{"status": "polling", "lease_id": nil, "version": 1, "ttl": 60,
			"ttl_left": 50, "retry_after_sec": 5, "charged": 0, "run_id": "k", "metadata": object{"a": 1}}, nil},
		{"a lease by hand of a run_id", hand(object{"metadata": object{"run_id": "r"}}), `{"key":"k"}`, 200, object{"status": "polling", "run_id": "r"}, nil},
		{"a lease by hand with the same nonce", hand(object{"nonce": "n"}), `{"key":"k","nonce":"n"}`, 200, object{"status": "polling", "lease_id": nil, "charged": 0}, nil},
		{"a lease by hand of another input hash", hand(object{"input_hash": "mine"}), `{"key":"k","input_hash":"other"}`, 409, object{"status": "input_mismatch"}, nil},
		{"a lease by hand that has expired", hand(object{"ttl": 5}), `{"key":"k"}`, 200, object{"status": "acquired", "charged": 1, "attempt": 2}, nil},
		{"a lease by hand that was released", end(hand(nil), "release", nil), `{"key":"k"}`, 200, object{"status": "acquired", "charged": 1}, nil},
		{"a lease by hand that has completed", end(hand(nil), "complete", object{"result_hash": "h"}), `{"key":"k"}`, 200,
			object{"status": "completed", "result_hash": "h", "done_at": "2025-01-15T10:30:00Z", "charged": 0, "run_id": "k"}, nil},
		{"a lease by hand that has failed", end(hand(nil), "fail", object{"error_code": "e"}), `{"key":"k"}`, 200, object{"status": "failed", "error_code": "e", "charged": 0}, nil},
		{"a lease by hand that has failed retryably", end(hand(nil), "fail", object{"error_code": "e", "retryable": true}), `{"key":"k"}`, 200, object{"status": "acquired", "charged": 1}, nil},

		{"nothing, and a run_id", nothing, `{"key":"k","run_id":"x/y z"}`, 200, object{"run_id": "x/y z", "metadata": object{"run_id": "x/y z", "task": "default"}}, nil},
		{"nothing, and a run_id in the metadata", nothing, `{"key":"k","metadata":{"run_id":"r","agent_id":"a","n":1}}`, 200,
			object{"run_id": "r", "metadata": object{"run_id": "r", "task": "default", "agent_id": "a"}}, nil},
		{"nothing, and the same run_id in both places", nothing, `{"key":"k","run_id":"r","metadata":{"run_id":"r"}}`, 200, object{"run_id": "r"}, nil},
		{"nothing, and an agent_id that is no name", nothing, `{"key":"k","metadata":{"task":"","run_id":null,"agent_id":[7]}}`, 200,
			object{"run_id": "k", "metadata": object{"task": "default"}}, nil},
		{"a run of a run_id", run(object{"run_id": "r"}), `{"key":"k","run_id":"other"}`, 200, object{"status": "polling", "run_id": "r"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, tt.options...)
			ticket := tt.before(s)
			s.clock.Advance(10 * time.Second)
			if tt.want["lease_id"] == "$TICKET" {
				tt.want["lease_id"] = ticket
			}
			s.post("/v1/ai/run", tt.ask).want(t, tt.code, tt.want)
		})
	}
}

// TestRunsOfNamespaces: API keys of other namespaces have runs of their own.
func TestRunsOfNamespaces(t *testing.T) {
	store := memory.New()
	s := setup{store: store}.start(t)
	s.mustRun("k", nil)
	r := request("POST", "/v1/ai/run", `{"key":"k"}`)
	r.Header.Set("Authorization", "Bearer "+otherKey)
	s.do(r).want(t, 200, object{"status": "acquired", "charged": 1})
	var keys []string
	for e, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	if want := []string{"alice/k", "alice:due/k", "bob/k", "bob:due/k"}; !slices.Equal(keys, want) {
		t.Errorf("the store has %q, want %q", keys, want)
	}
}

// TestTheInputOfARun is its metadata, whole and as they were sent. The record shows what fits.
func TestTheInputOfARun(t *testing.T) {
	name := strings.Repeat(`"\`, 128)
	quoted, _ := json.Marshal(name)
	full := `{"task":` + string(quoted) + `,"run_id":` + string(quoted) + `,"agent_id":` + string(quoted) + `,"x":"`
	full += strings.Repeat("<", 64<<10-len(full)-2) + `"}`
	for _, tt := range []struct {
		name, metadata, input string
		most                  int
		shown                 any
	}{
		{"none", `null`, `{}`, 2048, object{"task": "default"}},
		{"with white space", ` { "n" : 1e400 } `, `{"n":1e400}`, 2048, object{"task": "default"}},
		{"64 KiB", full, full, 2048, object{"run_id": name, "task": name, "agent_id": name}},
		{"64 KiB, and little room", full, full, 1200, object{"run_id": name, "task": name}},
		{"64 KiB, and less room", full, full, 600, object{"run_id": name}},
		{"64 KiB, and no room", full, full, 64, absent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := setup{manager: []lease.Option{lease.WithMaxMetadataBytes(tt.most)}}.start(t)
			task := runs.DefaultTask
			if tt.input == full {
				task = name
			}
			s.post("/v1/ai/run", `{"key":"k","metadata":`+tt.metadata+`}`).want(t, 200, object{"status": "acquired", "metadata": tt.shown})
			s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "metadata": tt.shown})
			r := runs.New(s.manager)
			runs.Task[json.RawMessage, string]{Name: task}.Handle(r, func(_ context.Context, in json.RawMessage) (string, error) {
				return string(in), nil
			})
			defer work(t, r)()
			got, err := runs.Task[json.RawMessage, string]{}.Wait(t.Context(), r, "k")
			if err != nil || got != tt.input {
				t.Errorf("the input has %d bytes, want %d; error %v", len(got), len(tt.input), err)
			}
		})
	}
}
