package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
)

const apiKey, otherKey = "test_key_of_alice", "test_key_of_bob"

var t0 = time.Date(2025, 1, 15, 10, 30, 0, 400_000_000, time.UTC)

// server is a handler under test, asked without a network.
type server struct {
	t       testing.TB
	handler http.Handler
	clock   *leasetest.Clock
	manager *lease.Manager
}

func newServer(t testing.TB, b backend.Backend, opts ...httpserver.Option) *server {
	t.Helper()
	clock := leasetest.NewClock(t0)
	m, err := lease.NewManager(b, lease.WithClock(clock))
	if err != nil {
		t.Fatal(err)
	}
	if len(opts) == 0 || opts[0] == nil {
		opts = append(opts, httpserver.WithAPIKeys(map[string]string{apiKey: "alice", otherKey: "bob"}))
	}
	h, err := httpserver.New(m, slices.DeleteFunc(opts, func(o httpserver.Option) bool { return o == nil })...)
	if err != nil {
		t.Fatal(err)
	}
	return &server{t, h, clock, m}
}

// withKeys, as the first option, has newServer add its API keys.
var withKeys httpserver.Option

type reply struct {
	code   int
	header http.Header
	body   map[string]any
}

func (s *server) do(r *http.Request) reply {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	got := reply{code: w.Code, header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &got.body); err != nil {
		s.t.Fatalf("%s %s: %d, body %q: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
	if status, ok := got.body["status"].(string); !ok || status == "" {
		s.t.Errorf("%s %s: no status in %v", r.Method, r.URL, got.body)
	}
	if got.header.Get("X-Request-Id") == "" || got.header.Get("Content-Type") != "application/json" {
		s.t.Errorf("%s %s: headers %v", r.Method, r.URL, got.header)
	}
	return got
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+apiKey)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (s *server) post(path, body string) reply {
	s.t.Helper()
	return s.do(request(http.MethodPost, path, body))
}

func (s *server) get(path, key string) reply {
	s.t.Helper()
	return s.do(request(http.MethodGet, path+"?key="+url.QueryEscape(key), ""))
}

// want compares the answer's fields; a field with the value absent must not be there.
func (r reply) want(t testing.TB, code int, fields map[string]any) {
	t.Helper()
	if r.code != code {
		t.Errorf("answered %d, want %d: %v", r.code, code, r.body)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		got, there := r.body[name]
		switch want := fields[name]; {
		case want == absent:
			if there {
				t.Errorf("%s is %v, must not be there", name, got)
			}
		case !there:
			t.Errorf("%s is missing from %v", name, r.body)
		case !equalJSON(got, want):
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

const absent = "\x00absent"

func equalJSON(got, want any) bool {
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	return bytes.Equal(g, w)
}

type object = map[string]any

// TestALeaseOverHTTP goes through the answers of the wire format's table of leases, row by row.
func TestALeaseOverHTTP(t *testing.T) {
	s := newServer(t, memory.New())
	acquired := s.post("/v1/ai/lease", `{"key":"chat","ttl":1800,"metadata":{"priority":"high"},"unknown":[1]}`)
	acquired.want(t, 200, object{"ok": true, "status": "acquired", "key": "chat", "ttl": 1800, "ttl_left": nil, "version": 1,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": nil, "charged": 1, "attempt": 1})
	id, _ := acquired.body["lease_id"].(string)
	if token, _ := acquired.body["token"].(float64); !strings.HasPrefix(id, "lease_") || token < 1 {
		t.Fatalf("lease_id %q, token %v", id, acquired.body["token"])
	}

	s.clock.Advance(49500 * time.Millisecond)
	inProgress := object{"ok": true, "key": "chat", "ttl_left": 1751, "lease_id": id, "version": 1,
		"first_seen_at": "2025-01-15T10:30:00Z", "done_at": nil, "result_hash": nil, "error_code": nil, "retry_after_sec": 5}
	polling := maps.Clone(inProgress)
	maps.Copy(polling, object{"status": "polling", "ttl": 1800, "charged": 0, "token": absent})
	s.post("/v1/ai/lease", `{"key":"chat"}`).want(t, 200, polling)
	inProgress["status"] = "in_progress"
	s.get("/v1/ai/status", "chat").want(t, 200, inProgress)
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "in_progress", "key": "chat", "result": nil})

	s.post("/v1/ai/extend", `{"key":"chat","lease_id":"`+id+`","ttl":3}`).want(t, 200,
		object{"ok": true, "status": "extended", "key": "chat", "lease_id": id, "ttl": 3, "version": 2})
	s.clock.Advance(700 * time.Millisecond)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ttl_left": 3, "retry_after_sec": 3})
	s.clock.Advance(2 * time.Second)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ttl_left": 1, "retry_after_sec": 1})
	s.post("/v1/ai/extend", `{"key":"chat","lease_id":"`+id+`"}`).want(t, 200, object{"ttl": 3600, "version": 3})

	completed := s.post("/v1/ai/complete", `{"key":"chat","lease_id":"`+id+`","result":{"messages": 15},"result_hash":"abc"}`)
	completed.want(t, 200, object{"ok": true, "status": "completed", "key": "chat", "version": 4, "done_at": "2025-01-15T10:30:52Z", "result_hash": "abc"})
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "completed", "key": "chat",
		"result": object{"messages": 15}, "result_hash": "abc", "done_at": "2025-01-15T10:30:52Z"})
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ok": true, "status": "completed", "done_at": "2025-01-15T10:30:52Z", "ttl_left": nil, "retry_after_sec": nil, "result": absent})
	s.post("/v1/ai/lease", `{"key":"chat"}`).want(t, 200, object{"ok": true, "status": "completed", "done_at": "2025-01-15T10:30:52Z", "result_hash": "abc", "version": 4, "charged": 0, "token": absent})

	s.clock.Advance(7 * 24 * time.Hour)
	s.get("/v1/ai/status", "chat").want(t, 200, object{"ok": true, "status": "not_found", "key": "chat", "lease_id": nil, "version": nil})
	s.get("/v1/ai/result", "chat").want(t, 200, object{"ok": true, "status": "not_found", "result": nil})
}

func TestFailAndCancelOverHTTP(t *testing.T) {
	for _, tt := range []struct {
		name, path, fields, code string
	}{
		{"fail", "/v1/ai/fail", `"error_code":"connection_lost","error_hash":"e1"`, "connection_lost"},
		{"cancel", "/v1/ai/cancel", `"reason":null`, "canceled"},
		{"cancel with a reason", "/v1/ai/cancel", `"reason":"user left"`, "canceled:user left"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, memory.New())
			id := s.post("/v1/ai/lease", `{"key":"k"}`).body["lease_id"].(string)
			for range 2 { // the second time as after a lost answer
				s.post(tt.path, `{"key":"k","lease_id":"`+id+`",`+tt.fields+`}`).want(t, 200,
					object{"ok": true, "status": "failed", "key": "k", "version": 2, "error_code": tt.code, "done_at": "2025-01-15T10:30:00Z"})
			}
			s.get("/v1/ai/result", "k").want(t, 200, object{"ok": true, "status": "failed", "result": nil, "error_code": tt.code})
			s.post("/v1/ai/lease", `{"key":"k"}`).want(t, 200, object{"status": "failed", "error_code": tt.code, "charged": 0})
			s.post("/v1/ai/lease", `{"key":"k","retry_failed":true}`).want(t, 200, object{"status": "acquired", "attempt": 2, "version": 3, "charged": 1})
		})
	}
}

func TestWhatOnlyWeHave(t *testing.T) {
	s := newServer(t, memory.New())
	t.Run("a retry with the same Idempotency-Key gets its lease again", func(t *testing.T) {
		ask := func(idempotencyKey string) reply {
			r := request(http.MethodPost, "/v1/ai/lease", `{"key":"again"}`)
			r.Header.Set("Idempotency-Key", idempotencyKey)
			return s.do(r)
		}
		first := ask("one")
		ask("one").want(t, 200, object{"status": "acquired", "lease_id": first.body["lease_id"], "version": 1, "token": first.body["token"]})
		ask("two").want(t, 200, object{"status": "polling"})
	})
	t.Run("at most once reads as failed past its deadline", func(t *testing.T) {
		s.post("/v1/ai/lease", `{"key":"payment","ttl":60,"at_most_once":true}`)
		s.clock.Advance(time.Minute)
		s.get("/v1/ai/status", "payment").want(t, 200, object{"status": "failed", "error_code": "expired"})
		s.post("/v1/ai/lease", `{"key":"payment"}`).want(t, 200, object{"status": "failed", "error_code": "expired"})
	})
	t.Run("an expired lease is not found and is taken over", func(t *testing.T) {
		old := s.post("/v1/ai/lease", `{"key":"expires","ttl":60}`)
		s.clock.Advance(time.Minute)
		s.get("/v1/ai/status", "expires").want(t, 200, object{"status": "not_found"})
		s.post("/v1/ai/lease", `{"key":"expires"}`).want(t, 200, object{"status": "acquired", "version": 2, "attempt": 2, "first_seen_at": old.body["first_seen_at"]})
	})
	t.Run("a TTL above the maximum is clamped", func(t *testing.T) {
		for i, ttl := range []string{"9999999", "1e15", "1e300"} {
			s.post("/v1/ai/lease", `{"key":"long`+string(rune('a'+i))+`","ttl":`+ttl+`}`).want(t, 200, object{"status": "acquired", "ttl": 30 * 24 * 3600})
		}
	})
	t.Run("namespaces do not see each other", func(t *testing.T) {
		s.post("/v1/ai/lease", `{"key":"mine"}`).want(t, 200, object{"status": "acquired"})
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"mine"}`)
		r.Header.Set("Authorization", "bearer "+otherKey)
		s.do(r).want(t, 200, object{"status": "acquired"})
	})
	t.Run("lease ids can be hidden from pollers", func(t *testing.T) {
		s := newServer(t, memory.New(), withKeys, httpserver.WithHiddenLeaseIDs())
		id := s.post("/v1/ai/lease", `{"key":"k"}`).body["lease_id"].(string)
		s.post("/v1/ai/lease", `{"key":"k"}`).want(t, 200, object{"status": "polling", "lease_id": nil})
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "lease_id": nil})
		s.post("/v1/ai/extend", `{"key":"k","lease_id":"`+id+`"}`).want(t, 200, object{"lease_id": id})
	})
	t.Run("a request id is echoed if it is fit to be, and made if not", func(t *testing.T) {
		for sent, echoed := range map[string]bool{"abc-1": true, "": false, "run 7": true, "a\tb": false, "é": false, strings.Repeat("x", 256): true, strings.Repeat("x", 257): false} {
			r := request(http.MethodGet, "/v1/ai/status?key=k", "")
			r.Header.Set("X-Request-Id", sent)
			if got := s.do(r).header.Get("X-Request-Id"); (got == sent) != echoed {
				t.Errorf("sent %q, answered %q", sent, got)
			}
		}
	})
}

// TestErrors mirrors the wire format's table of errors.
func TestErrors(t *testing.T) {
	missing := func(where string, fields ...string) []any {
		var list []any
		for _, f := range fields {
			list = append(list, object{"type": "missing", "loc": []string{where, f}, "msg": "Field required", "input": object{}})
		}
		return list
	}
	const busy, done = "busy", "done"
	for _, tt := range []struct {
		name   string
		do     func(s *server, id string) reply
		code   int
		status string
		detail any    // all of it, or
		error  string // its error
	}{
		{"no bearer token", func(s *server, _ string) reply {
			return s.do(httptest.NewRequest(http.MethodGet, "/v1/ai/status?key=k", nil))
		}, 401, "unauthorized", "Missing Authorization Bearer token", ""},
		{"another scheme", func(s *server, _ string) reply {
			r := request(http.MethodGet, "/v1/ai/status?key=k", "")
			r.Header.Set("Authorization", "Basic "+apiKey)
			return s.do(r)
		}, 401, "unauthorized", "Missing Authorization Bearer token", ""},
		{"an unknown API key", func(s *server, _ string) reply {
			r := request(http.MethodGet, "/v1/ai/status?key=k", "")
			r.Header.Set("Authorization", "Bearer "+apiKey+"x")
			return s.do(r)
		}, 403, "forbidden", "Invalid API key", ""},
		{"an unknown API key at an unknown path", func(s *server, _ string) reply {
			r := request(http.MethodGet, "/v1/ai/nothing", "")
			r.Header.Set("Authorization", "Bearer "+apiKey+"x")
			return s.do(r)
		}, 403, "forbidden", "Invalid API key", ""},
		{"no key", func(s *server, _ string) reply { return s.post("/v1/ai/lease", `{"ttl":5}`) }, 422, "invalid_request", missing("body", "key"), ""},
		{"no key in a query", func(s *server, _ string) reply {
			return s.do(request(http.MethodGet, "/v1/ai/status", ""))
		}, 422, "invalid_request", missing("query", "key"), ""},
		{"all that is missing, at once", func(s *server, _ string) reply { return s.post("/v1/ai/fail", `{"lease_id":null}`) },
			422, "invalid_request", missing("body", "key", "lease_id", "error_code"), ""},
		{"extend of an unknown key", func(s *server, id string) reply {
			return s.post("/v1/ai/extend", `{"key":"unknown","lease_id":"`+id+`"}`)
		}, 404, "not_found", nil, "not_found"},
		{"complete of an unknown key", func(s *server, id string) reply {
			return s.post("/v1/ai/complete", `{"key":"unknown","lease_id":"`+id+`"}`)
		}, 404, "not_found", nil, "not_found"},
		{"fail with a lease id that does not own the key", func(s *server, _ string) reply {
			return s.post("/v1/ai/fail", `{"key":"busy","lease_id":"lease_other","error_code":"e"}`)
		}, 409, "lease_lost", nil, "lease_lost"},
		{"cancel with a lease id that does not own the key", func(s *server, _ string) reply {
			return s.post("/v1/ai/cancel", `{"key":"busy","lease_id":"lease_other"}`)
		}, 409, "lease_lost", nil, "lease_lost"},
		{"fail of what has completed", func(s *server, id string) reply {
			return s.post("/v1/ai/fail", `{"key":"done","lease_id":"`+id+`","error_code":"e"}`)
		}, 409, "already_finished", nil, "already_finished"},
		{"another input", func(s *server, _ string) reply {
			return s.post("/v1/ai/lease", `{"key":"busy","input_hash":"other"}`)
		}, 409, "input_mismatch", nil, "input_mismatch"},
		{"a body too large", func(s *server, _ string) reply {
			return s.post("/v1/ai/lease", `{"key":"k","x":"`+strings.Repeat("x", 1<<20)+`"}`)
		}, 413, "too_large", nil, "too_large"},
		{"a body that is not JSON", func(s *server, _ string) reply {
			r := request(http.MethodPost, "/v1/ai/lease", `key=k`)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return s.do(r)
		}, 415, "unsupported_media_type", nil, "unsupported_media_type"},
		{"a wrong method", func(s *server, _ string) reply { return s.do(request(http.MethodGet, "/v1/ai/lease", "")) }, 405, "method_not_allowed", nil, "method_not_allowed"},
		{"an unknown path", func(s *server, _ string) reply { return s.do(request(http.MethodGet, "/v1/ai/nothing", "")) }, 404, "no_such_endpoint", nil, "no_such_endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, memory.New())
			s.post("/v1/ai/lease", `{"key":"busy","input_hash":"mine"}`)
			id := s.post("/v1/ai/lease", `{"key":"done"}`).body["lease_id"].(string)
			s.post("/v1/ai/complete", `{"key":"done","lease_id":"`+id+`"}`)
			got := tt.do(s, id)
			got.want(t, tt.code, object{"ok": false, "status": tt.status})
			if tt.detail != nil && !equalJSON(got.body["detail"], tt.detail) {
				t.Errorf("detail is %v, want %v", got.body["detail"], tt.detail)
			}
			if d, _ := got.body["detail"].(map[string]any); tt.error != "" && (d["error"] != tt.error || d["message"] == "") {
				t.Errorf("detail is %v, want error %q", got.body["detail"], tt.error)
			}
			if strings.Contains(toJSON(t, got.body), s.holderOf(busy)) {
				t.Errorf("the holder's lease id stands in %v", got.body)
			}
			for _, key := range []string{"k", "unknown"} {
				s.get("/v1/ai/status", key).want(t, 200, object{"status": "not_found"})
			}
			s.get("/v1/ai/status", done).want(t, 200, object{"status": "completed", "version": 2})
		})
	}
}

func (s *server) holderOf(key string) string {
	return s.get("/v1/ai/status", key).body["lease_id"].(string)
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAlreadyFinishedTellsTheState(t *testing.T) {
	s := newServer(t, memory.New())
	id := s.post("/v1/ai/lease", `{"key":"k"}`).body["lease_id"].(string)
	s.post("/v1/ai/fail", `{"key":"k","lease_id":"`+id+`","error_code":"e"}`)
	got := s.post("/v1/ai/complete", `{"key":"k","lease_id":"`+id+`"}`)
	got.want(t, 409, object{"ok": false, "status": "already_finished", "key": "k"})
	how := object{"state": "failed", "error_code": "e", "version": 2, "done_at": "2025-01-15T10:30:00Z"}
	for name, want := range how {
		if d := got.body["detail"].(map[string]any); !equalJSON(d[name], want) {
			t.Errorf("detail.%s is %v, want %v", name, d[name], want)
		}
	}
}

// TestBadInput shows that each field is checked, that the answer names it, and that nothing is written.
func TestBadInput(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, path, body string
		loc              []string
		says             string
	}{
		{"a key too long", "/v1/ai/lease", `{"key":"` + long(257) + `"}`, []string{"body", "key"}, "257 characters, limit 256"},
		{"an empty key", "/v1/ai/lease", `{"key":""}`, []string{"body", "key"}, "0 characters, must be from 1 to 256"},
		{"a key with a control character", "/v1/ai/lease", `{"key":"a\u0007"}`, []string{"body", "key"}, "U+0007"},
		{"a key with half of a surrogate pair", "/v1/ai/lease", `{"key":"a\ud800"}`, []string{"body", "key"}, "surrogate"},
		{"a key that is a number", "/v1/ai/lease", `{"key":7}`, []string{"body", "key"}, "valid string"},
		{"bytes that are not UTF-8", "/v1/ai/lease", "{\"key\":\"a\xff\"}", []string{"body"}, "UTF-8"},
		{"a TTL of nothing", "/v1/ai/lease", `{"key":"k","ttl":0}`, []string{"body", "ttl"}, "greater than or equal to 1 second, is 0"},
		{"a TTL below nothing", "/v1/ai/lease", `{"key":"k","ttl":-1e300}`, []string{"body", "ttl"}, "greater than or equal"},
		{"a TTL in fractions", "/v1/ai/lease", `{"key":"k","ttl":1.5}`, []string{"body", "ttl"}, "valid integer"},
		{"a TTL that is a text", "/v1/ai/lease", `{"key":"k","ttl":"60"}`, []string{"body", "ttl"}, "valid integer"},
		{"metadata that is a list", "/v1/ai/lease", `{"key":"k","metadata":[1]}`, []string{"body", "metadata"}, "not an object"},
		{"metadata too large", "/v1/ai/lease", `{"key":"k","metadata":{"x":"` + long(2041) + `"}}`, []string{"body", "metadata"}, "2049 bytes, limit 2048"},
		{"an input hash too long", "/v1/ai/lease", `{"key":"k","input_hash":"` + long(257) + `"}`, []string{"body", "input_hash"}, "257 bytes, limit 256"},
		{"a flag that is a text", "/v1/ai/lease", `{"key":"k","retry_failed":"yes"}`, []string{"body", "retry_failed"}, "valid boolean"},
		{"an empty lease id", "/v1/ai/extend", `{"key":"held","lease_id":""}`, []string{"body", "lease_id"}, "0 bytes"},
		{"a result too large", "/v1/ai/complete", `{"key":"held","lease_id":"$ID","result":"` + long(256<<10) + `"}`, []string{"body", "result"}, "262146 bytes, limit 262144"},
		{"a result hash too long", "/v1/ai/complete", `{"key":"held","lease_id":"$ID","result_hash":"` + long(257) + `"}`, []string{"body", "result_hash"}, "257 bytes, limit 256"},
		{"an error code too long", "/v1/ai/fail", `{"key":"held","lease_id":"$ID","error_code":"` + long(129) + `"}`, []string{"body", "error_code"}, "129 bytes, limit 128"},
		{"a reason too long", "/v1/ai/cancel", `{"key":"held","lease_id":"$ID","reason":"` + long(257) + `"}`, []string{"body", "reason"}, "257 bytes, limit 256"},
		{"no object", "/v1/ai/lease", `[]`, []string{"body"}, "object"},
		{"null", "/v1/ai/lease", `null`, []string{"body"}, "object"},
		{"nothing", "/v1/ai/lease", ``, []string{"body"}, "JSON decode error"},
		{"half an object", "/v1/ai/lease", `{"key":"k"`, []string{"body"}, "JSON decode error"},
		{"two objects", "/v1/ai/lease", `{"key":"k"}{}`, []string{"body"}, "JSON decode error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := memory.New()
			s := newServer(t, store)
			id := s.post("/v1/ai/lease", `{"key":"held"}`).body["lease_id"].(string)
			got := s.post(tt.path, strings.ReplaceAll(tt.body, "$ID", id))
			got.want(t, 422, object{"ok": false, "status": "invalid_request"})
			list, _ := got.body["detail"].([]any)
			if len(list) != 1 {
				t.Fatalf("detail is %v", got.body["detail"])
			}
			first := list[0].(map[string]any)
			if !equalJSON(first["loc"], tt.loc) || !strings.Contains(first["msg"].(string), tt.says) {
				t.Errorf("detail is %v, want loc %v and %q", first, tt.loc, tt.says)
			}
			n := 0
			for e, err := range store.List(context.Background(), "") {
				if n++; err != nil || e.Revision != 1 && n > 1 {
					t.Errorf("%v, %v", e, err)
				}
			}
			if n != 1 {
				t.Errorf("the store has %d entries", n)
			}
			s.get("/v1/ai/status", "held").want(t, 200, object{"status": "in_progress", "version": 1})
		})
	}
	t.Run("an Idempotency-Key too long", func(t *testing.T) {
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
		r.Header.Set("Idempotency-Key", long(257))
		got := newServer(t, memory.New()).do(r)
		got.want(t, 422, object{"status": "invalid_request"})
		if loc := got.body["detail"].([]any)[0].(map[string]any)["loc"]; !equalJSON(loc, []string{"header", "Idempotency-Key"}) {
			t.Errorf("loc is %v", loc)
		}
	})
}

// broken answers every call with one error.
type broken struct {
	backend.Backend
	err error
}

func (b broken) Get(context.Context, string) (backend.Entry, error) { return backend.Entry{}, b.err }
func (b broken) CompareAndSet(context.Context, string, uint64, []byte, time.Duration) (uint64, error) {
	return 0, b.err
}

type panicking struct{ backend.Backend }

func (panicking) Get(context.Context, string) (backend.Entry, error) { panic("secret of the store") }

func TestServerErrors(t *testing.T) {
	secret := errors.New("secret address of the store")
	unreadable := memory.New()
	if _, err := unreadable.CompareAndSet(context.Background(), "alice/k", 0, []byte(`{"format":99}`), 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		store  backend.Backend
		do     func(s *server) reply
		code   int
		status string
		retry  string
	}{
		{"the store cannot be reached", broken{err: errors.Join(backend.ErrUnavailable, secret)}, func(s *server) reply { return s.post("/v1/ai/lease", `{"key":"k"}`) }, 503, "unavailable", "1"},
		{"the outcome is unknown", broken{err: secret}, func(s *server) reply {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
			time.AfterFunc(10*time.Millisecond, cancel)
			return s.do(r.WithContext(ctx))
		}, 503, "unknown_outcome", "1"},
		{"the record is unreadable", unreadable, func(s *server) reply { return s.get("/v1/ai/status", "k") }, 500, "unreadable_record", ""},
		{"a bug", panicking{}, func(s *server) reply { return s.get("/v1/ai/status", "k") }, 500, "internal_error", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			s := newServer(t, tt.store, withKeys, httpserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			got := tt.do(s)
			got.want(t, tt.code, object{"ok": false, "status": tt.status})
			if got.header.Get("Retry-After") != tt.retry {
				t.Errorf("Retry-After is %q, want %q", got.header.Get("Retry-After"), tt.retry)
			}
			if strings.Contains(toJSON(t, got.body), "secret") {
				t.Errorf("the client was told %v", got.body)
			}
			if tt.status != "unknown_outcome" && !strings.Contains(log.String(), got.header.Get("X-Request-Id")) { // there, the client has gone
				t.Errorf("the log has no request id: %s", &log)
			}
		})
	}
}

func TestRateLimit(t *testing.T) {
	s := newServer(t, memory.New(), withKeys, httpserver.WithRateLimit(0.001, 2))
	for range 2 {
		s.get("/v1/ai/status", "k").want(t, 200, nil)
	}
	got := s.get("/v1/ai/status", "k")
	got.want(t, 429, object{"ok": false, "status": "rate_limited"})
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	r := request(http.MethodGet, "/v1/ai/status?key=k", "")
	r.Header.Set("Authorization", "Bearer "+otherKey)
	s.do(r).want(t, 200, nil) // another namespace has its own
}

func TestAuthenticator(t *testing.T) {
	verdict := error(nil)
	s := newServer(t, memory.New(), httpserver.WithAuthenticator(func(r *http.Request) (string, error) { return r.Header.Get("X-Team"), verdict }))
	ask := func() reply {
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
		r.Header.Set("X-Team", "team_7")
		return s.do(r)
	}
	ask().want(t, 200, object{"status": "acquired"})
	other, err := s.manager.InNamespace("team_7")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := other.Status(context.Background(), "k"); err != nil || l.State != lease.StateInProgress {
		t.Errorf("in the namespace: %v, %v", l.State, err)
	}
	for _, tt := range []struct {
		err  error
		code int
	}{{httpserver.ErrNoAPIKey, 401}, {httpserver.ErrBadAPIKey, 403}, {errors.New("the directory is down"), 503}} {
		verdict = tt.err
		ask().want(t, tt.code, object{"ok": false})
	}
}

func TestNewRefuses(t *testing.T) {
	m, err := lease.NewManager(memory.New())
	if err != nil {
		t.Fatal(err)
	}
	keys := func(key, namespace string) httpserver.Option {
		return httpserver.WithAPIKeys(map[string]string{key: namespace})
	}
	for _, tt := range []struct {
		name string
		m    *lease.Manager
		opts []httpserver.Option
		says string
	}{
		{"no Manager", nil, []httpserver.Option{httpserver.WithoutAuth()}, "manager"},
		{"no word on who may call", m, nil, "must be one"},
		{"two words on who may call", m, []httpserver.Option{httpserver.WithoutAuth(), keys("long enough", "a")}, "must be one"},
		{"no keys", m, []httpserver.Option{httpserver.WithAPIKeys(nil)}, "no API key"},
		{"an empty list of keys", m, []httpserver.Option{httpserver.WithAPIKeys(map[string]string{})}, "0 keys"},
		{"a short key", m, []httpserver.Option{keys("short", "a")}, "5 bytes, must be from 8 to 256"},
		{"a key with a space", m, []httpserver.Option{keys("long enough", "a")}, "space"},
		{"a bad namespace", m, []httpserver.Option{keys("long_enough", "a/b")}, "namespace"},
		{"a time for the store too short", m, []httpserver.Option{httpserver.WithoutAuth(), httpserver.WithStoreTimeout(time.Millisecond)}, "store_timeout"},
		{"a body limit too small", m, []httpserver.Option{httpserver.WithoutAuth(), httpserver.WithMaxBodyBytes(1)}, "max_body_bytes"},
		{"a rate of nothing", m, []httpserver.Option{httpserver.WithoutAuth(), httpserver.WithRateLimit(0, 1)}, "rate_limit"},
		{"no logger", m, []httpserver.Option{httpserver.WithoutAuth(), httpserver.WithLogger(nil)}, "logger"},
	} {
		_, err := httpserver.New(tt.m, tt.opts...)
		if !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "long") {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}

// TestMounted shows the handler in a mux that has other routes, under a prefix and without, over a real connection.
func TestMounted(t *testing.T) {
	s := newServer(t, memory.New())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") })
	mux.Handle("/v1/", s.handler)
	mux.Handle("/team/leases/", http.StripPrefix("/team/leases", s.handler))
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, path := range []string{"/v1/ai/lease", "/team/leases/v1/ai/lease"} {
		r := request(http.MethodPost, server.URL+path, `{"key":"`+path+`"}`)
		r.RequestURI = ""
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !bytes.Contains(body, []byte(`"status":"acquired"`)) {
			t.Errorf("POST %s: %s", path, body)
		}
	}
	res, err := server.Client().Get(server.URL + "/hello")
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
}
