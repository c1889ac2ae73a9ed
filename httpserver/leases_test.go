package httpserver_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestALeaseOverHTTP goes through the life of a lease, answer by answer.
func TestALeaseOverHTTP(t *testing.T) {
	s := newServer(t)
	acquired := s.post("/v1/ai/lease", `{"key":"chat","ttl":1800,"metadata":{"priority":"high"},"unknown":[1]}`)
	acquired.want(t, 200, object{"ok": true, "status": "acquired", "key": "chat", "ttl": 1800, "ttl_left": nil, "version": 1,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": nil, "charged": 1, "attempt": 1})
	id, _ := acquired.body["lease_id"].(string)
	if token, _ := acquired.body["token"].(float64); !strings.HasPrefix(id, "lease_") || token < 1 {
		t.Fatalf("lease_id %q, token %v", id, acquired.body["token"])
	}

	s.clock.Advance(49500 * time.Millisecond)
	inProgress := object{"ok": true, "key": "chat", "ttl_left": 1751, "lease_id": id, "version": 1,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": 5, "metadata": object{"priority": "high"}}
	polling := maps.Clone(inProgress)
	maps.Copy(polling, object{"status": "polling", "ttl": 1800, "charged": 0, "token": absent})
	s.post("/v1/ai/lease", `{"key":"chat"}`).want(t, 200, polling)
	inProgress["status"] = "in_progress"
	s.get("/v1/ai/status", "chat").want(t, 200, inProgress)
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "in_progress", "key": "chat", "result": nil, "retry_after_sec": 5})

	s.send("extend", object{"key": "chat", "lease_id": id, "ttl": 3}).want(t, 200,
		object{"ok": true, "status": "extended", "key": "chat", "lease_id": id, "ttl": 3, "version": 2})
	s.clock.Advance(700 * time.Millisecond)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ttl_left": 3, "retry_after_sec": 3})
	s.clock.Advance(2 * time.Second)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ttl_left": 1, "retry_after_sec": 1})
	s.send("extend", object{"key": "chat", "lease_id": id, "ttl": 3600}).want(t, 200, object{"ttl": 3600, "version": 3})

	completed := s.post("/v1/ai/complete", `{"key":"chat","lease_id":"`+id+`","result":{"messages": 15},"result_hash":"abc"}`)
	completed.want(t, 200, object{"ok": true, "status": "completed", "key": "chat", "version": 4, "done_at": "2025-01-15T10:30:52Z", "result_hash": "abc"})
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "completed", "key": "chat",
		"result": object{"messages": 15}, "result_hash": "abc", "done_at": "2025-01-15T10:30:52Z", "retry_after_sec": absent})
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ok": true, "status": "completed", "done_at": "2025-01-15T10:30:52Z",
		"ttl_left": nil, "retry_after_sec": nil, "result": absent})
	s.post("/v1/ai/lease", `{"key":"chat"}`).want(t, 200, object{"ok": true, "status": "completed", "done_at": "2025-01-15T10:30:52Z",
		"result_hash": "abc", "version": 4, "charged": 0, "token": absent, "result": absent})

	s.clock.Advance(7 * 24 * time.Hour)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ok": true, "status": "not_found", "key": "chat", "lease_id": nil, "version": nil})
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "not_found", "result": nil})
}

// TestAnExtendWithoutTTLKeepsTheLeasesOwn: a lease of 50 seconds must not become one of an hour.
func TestAnExtendWithoutTTLKeepsTheLeasesOwn(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", object{"ttl": 50})
	for _, step := range []struct {
		ttl  any
		want int
	}{{nil, 50}, {20, 20}, {nil, 20}} {
		s.clock.Advance(15 * time.Second)
		s.send("extend", object{"key": "k", "lease_id": id, "ttl": step.ttl}).want(t, 200, object{"status": "extended", "ttl": step.want})
		s.get("/v1/ai/status", "k").want(t, 200, object{"ttl_left": step.want})
	}
}

func TestAnExtendReplacesMetadata(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", object{"metadata": object{"step": 1}})
	s.send("extend", object{"key": "k", "lease_id": id}).want(t, 200, nil)
	s.get("/v1/ai/status", "k").want(t, 200, object{"metadata": object{"step": 1}})
	s.send("extend", object{"key": "k", "lease_id": id, "metadata": object{"step": 2}}).want(t, 200, nil)
	s.get("/v1/ai/status", "k").want(t, 200, object{"metadata": object{"step": 2}})
}

// TestEndsOverHTTP: each way to end a lease, twice as after a lost answer, and what the next to ask
// gets.
func TestEndsOverHTTP(t *testing.T) {
	const stands, anew = false, true
	for _, tt := range []struct {
		name, endpoint string
		fields         object
		status, code   string
		retryable      any
		next           bool
	}{
		{"complete", "complete", object{"result": []int{1}}, "completed", "", absent, stands},
		{"complete without a result", "complete", object{"result": nil}, "completed", "", absent, stands},
		{"fail is permanent", "fail", object{"error_code": "e", "error_hash": "h"}, "failed", "e", absent, stands},
		{"fail, not retryable", "fail", object{"error_code": "e", "retryable": false}, "failed", "e", absent, stands},
		{"fail, retryable", "fail", object{"error_code": "e", "retryable": true}, "failed", "e", true, anew},
		{"cancel is permanent", "cancel", object{"reason": nil}, "failed", "canceled", absent, stands},
		{"cancel with a reason", "cancel", object{"reason": "user left"}, "failed", "canceled:user left", absent, stands},
		{"cancel, not retryable", "cancel", object{"retryable": false}, "failed", "canceled", absent, stands},
		{"cancel, retryable", "cancel", object{"retryable": true}, "failed", "canceled", true, anew},
		{"cancel with a reason, retryable", "cancel", object{"reason": "user left", "retryable": true}, "failed", "canceled:user left", true, anew},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			fields := object{"key": "k", "lease_id": s.mustAcquire("k", nil)}
			maps.Copy(fields, tt.fields)
			code := any(tt.code)
			if tt.code == "" {
				code = nil
			}
			for range 2 {
				s.send(tt.endpoint, fields).want(t, 200, object{"ok": true, "status": tt.status, "key": "k", "version": 2,
					"error_code": code, "done_at": "2025-01-15T10:30:00Z", "retryable": tt.retryable})
			}
			s.get("/v1/ai/status", "k").want(t, 200, object{"status": tt.status, "error_code": code, "retryable": tt.retryable, "retry_after_sec": nil})
			s.get("/v1/ai/result", "k").want(t, 200, object{"status": tt.status, "error_code": code, "retryable": tt.retryable,
				"result": tt.fields["result"], "error_hash": tt.fields["error_hash"]})
			next := s.send("lease", object{"key": "k"})
			if tt.next == anew {
				next.want(t, 200, object{"status": "acquired", "attempt": 2, "version": 3, "charged": 1, "error_code": nil, "retryable": absent})
				return
			}
			next.want(t, 200, object{"status": tt.status, "attempt": 1, "version": 2, "charged": 0, "error_code": code})
			next = s.send("lease", object{"key": "k", "retry_failed": true})
			if tt.status == "failed" {
				next.want(t, 200, object{"status": "acquired", "attempt": 2, "version": 3, "charged": 1})
			} else {
				next.want(t, 200, object{"status": "completed", "charged": 0})
			}
		})
	}
}

func TestReleaseOverHTTP(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", nil)
	release := func() reply { return s.send("release", object{"key": "k", "lease_id": id}) }
	for range 2 { // the second as after a lost answer
		release().want(t, 200, object{"ok": true, "status": "released", "key": "k", "version": 2, "attempt": 1, "done_at": absent})
	}
	s.send("extend", object{"key": "k", "lease_id": id}).want(t, 409, object{"status": "lease_lost"})
	s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "acquired", "version": 3, "attempt": 2, "charged": 1})
	release().want(t, 200, object{"status": "released", "version": 2, "attempt": 1}) // as it was
	s.send("complete", object{"key": "k", "lease_id": id}).want(t, 409, object{"status": "lease_lost"})
	s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "version": 3})
}

// TestNotFoundTellsWhenToAskAgain: the wait of the hosted API's clients polls on through not_found,
// twice a second if it is told nothing.
func TestNotFoundTellsWhenToAskAgain(t *testing.T) {
	s := newServer(t)
	s.mustAcquire("expired", nil)
	s.clock.Advance(time.Minute)
	s.send("release", object{"key": "released", "lease_id": s.mustAcquire("released", nil)}).want(t, 200, nil)
	for _, key := range []string{"unknown", "expired", "released"} {
		for _, path := range []string{"/v1/ai/status", "/v1/ai/result"} {
			got := s.get(path, key)
			got.want(t, 200, object{"ok": true, "status": "not_found", "key": key, "retry_after_sec": 5, "version": nil, "error_code": nil})
		}
	}
}

// TestEveryAnswerHasJustTheseFields mirrors the package documentation.
func TestEveryAnswerHasJustTheseFields(t *testing.T) {
	const leaseFields = "attempt charged done_at error_code first_seen_at key lease_id ok result_hash retry_after_sec status ttl ttl_left version"
	const statusFields = "attempt done_at error_code first_seen_at key lease_id ok result_hash retry_after_sec status ttl_left version"
	const resultFields = "attempt done_at error_code error_hash key ok result result_hash status version"
	const endFields = "attempt done_at error_code key ok result_hash status version"
	s := newServer(t)
	id := s.mustAcquire("done", object{"metadata": object{"a": 1}})
	for _, step := range []struct {
		name   string
		got    reply
		fields string
	}{
		{"acquired", s.send("lease", object{"key": "k"}), leaseFields + " token"},
		{"polling", s.send("lease", object{"key": "k"}), leaseFields},
		{"polling, with metadata", s.send("lease", object{"key": "done"}), leaseFields + " metadata"},
		{"in_progress", s.get("/v1/ai/status", "done"), statusFields + " metadata"},
		{"not_found", s.get("/v1/ai/status", "none"), "done_at error_code first_seen_at key lease_id ok result_hash retry_after_sec status ttl_left version"},
		{"result of what is in progress", s.get("/v1/ai/result", "done"), resultFields + " retry_after_sec"},
		{"extended", s.send("extend", object{"key": "done", "lease_id": id}), "attempt key lease_id ok status ttl version"},
		{"completed", s.send("complete", object{"key": "done", "lease_id": id}), endFields},
		{"result", s.get("/v1/ai/result", "done"), resultFields},
		{"failed", s.send("fail", object{"key": "f", "lease_id": s.mustAcquire("f", nil), "error_code": "e"}), endFields},
		{"canceled", s.send("cancel", object{"key": "c", "lease_id": s.mustAcquire("c", nil)}), endFields},
		{"failed, retryable", s.send("fail", object{"key": "r", "lease_id": s.mustAcquire("r", nil), "error_code": "e", "retryable": true}), endFields + " retryable"},
		{"result of a retryable failure", s.get("/v1/ai/result", "r"), resultFields + " retryable"},
		{"released", s.send("release", object{"key": "g", "lease_id": s.mustAcquire("g", nil)}), "attempt key ok status version"},
		{"locked", s.post("/v1/check-lock", `{"key":"k"}`), "first_seen_at key status success ttl"},
		{"duplicate", s.post("/v1/check-lock", `{"key":"k"}`), "first_seen_at key status success ttl"},
		{"an error", s.send("extend", object{"key": "none", "lease_id": id}), "detail key ok status"},
	} {
		want := strings.Fields(step.fields)
		slices.Sort(want)
		var got []string
		for name := range step.got.body {
			got = append(got, name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s has the fields %v, want %v", step.name, got, want)
		}
	}
}
