package httpserver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

// TestErrors mirrors the table of errors in the package documentation. None of them changes
// anything.
func TestErrors(t *testing.T) {
	missing := func(where string, fields ...string) []any {
		var list []any
		for _, f := range fields {
			list = append(list, object{"type": "missing", "loc": []string{where, f}, "msg": "Field required", "input": object{}})
		}
		return list
	}
	with := func(name, value string, r *http.Request) *http.Request {
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
		return r
	}
	get := func(target string) *http.Request { return request(http.MethodGet, target, "") }
	post := func(path, body string) *http.Request { return request(http.MethodPost, path, body) }
	for _, tt := range []struct {
		name   string
		ask    *http.Request // $ID in its body is the lease id of what is done
		code   int
		status string
		detail any // all of it; nil: an object with the status as its error
	}{
		{"no bearer token", with("Authorization", "", get("/v1/ai/status?key=k")), 401, "unauthorized", "Missing Authorization Bearer token"},
		{"another scheme", with("Authorization", "Basic "+apiKey, get("/v1/ai/status?key=k")), 401, "unauthorized", "Missing Authorization Bearer token"},
		{"no bearer token at check-lock", with("Authorization", "", post("/v1/check-lock", `{"key":"k"}`)), 401, "unauthorized", "Missing Authorization Bearer token"},
		{"an unknown API key", with("Authorization", "Bearer "+apiKey+"x", get("/v1/ai/status?key=k")), 403, "forbidden", "Invalid API key"},
		{"an unknown API key at an unknown path", with("Authorization", "Bearer "+apiKey+"x", get("/v1/ai/nothing")), 403, "forbidden", "Invalid API key"},

		{"no key", post("/v1/ai/lease", `{"ttl":5}`), 422, "invalid_request", missing("body", "key")},
		{"no key in a query", get("/v1/ai/status"), 422, "invalid_request", missing("query", "key")},
		{"all that is missing, at once", post("/v1/ai/fail", `{"lease_id":null}`), 422, "invalid_request", missing("body", "key", "lease_id", "error_code")},
		{"no lease id", post("/v1/ai/release", `{"key":"k"}`), 422, "invalid_request", missing("body", "lease_id")},

		{"extend of an unknown key", post("/v1/ai/extend", `{"key":"unknown","lease_id":"$ID"}`), 404, "not_found", nil},
		{"release of an unknown key", post("/v1/ai/release", `{"key":"unknown","lease_id":"$ID"}`), 404, "not_found", nil},
		{"complete of an unknown key", post("/v1/ai/complete", `{"key":"unknown","lease_id":"$ID"}`), 404, "not_found", nil},
		{"fail of an unknown key", post("/v1/ai/fail", `{"key":"unknown","lease_id":"$ID","error_code":"e"}`), 404, "not_found", nil},
		{"cancel of an unknown key", post("/v1/ai/cancel", `{"key":"unknown","lease_id":"$ID"}`), 404, "not_found", nil},

		{"extend under another lease id", post("/v1/ai/extend", `{"key":"busy","lease_id":"lease_other"}`), 409, "lease_lost", nil},
		{"release under another lease id", post("/v1/ai/release", `{"key":"busy","lease_id":"lease_other"}`), 409, "lease_lost", nil},
		{"complete under another lease id", post("/v1/ai/complete", `{"key":"busy","lease_id":"lease_other"}`), 409, "lease_lost", nil},
		{"fail under another lease id", post("/v1/ai/fail", `{"key":"busy","lease_id":"lease_other","error_code":"e"}`), 409, "lease_lost", nil},
		{"cancel under another lease id", post("/v1/ai/cancel", `{"key":"busy","lease_id":"lease_other","retryable":true}`), 409, "lease_lost", nil},

		{"extend of what has completed", post("/v1/ai/extend", `{"key":"done","lease_id":"$ID"}`), 409, "already_finished", nil},
		{"release of what has completed", post("/v1/ai/release", `{"key":"done","lease_id":"$ID"}`), 409, "already_finished", nil},
		{"another completion", post("/v1/ai/complete", `{"key":"done","lease_id":"$ID","result":1}`), 409, "already_finished", nil},
		{"fail of what has completed", post("/v1/ai/fail", `{"key":"done","lease_id":"$ID","error_code":"fn_error"}`), 409, "already_finished", nil},
		{"cancel of what has completed", post("/v1/ai/cancel", `{"key":"done","lease_id":"$ID"}`), 409, "already_finished", nil},
		{"another input", post("/v1/ai/lease", `{"key":"busy","input_hash":"other"}`), 409, "input_mismatch", nil},

		{"a run of an agent's tool", post("/v1/ai/run", `{"agent_id":"a","tool":"t"}`), 404, "tool_not_found", nil},
		{"a run of nothing", post("/v1/ai/run", `{}`), 422, "invalid_request", missing("body", "key")},
		{"a run of an agent without a tool", post("/v1/ai/run", `{"agent_id":"a"}`), 422, "invalid_request", missing("body", "tool")},
		{"a run of a tool without an agent", post("/v1/ai/run", `{"tool":"t"}`), 422, "invalid_request", missing("body", "agent_id")},
		{"a run of another input", post("/v1/ai/run", `{"key":"busy","input_hash":"other"}`), 409, "input_mismatch", nil},
		{"a wrong method at run", get("/v1/ai/run"), 405, "method_not_allowed", nil},

		{"a body too large", post("/v1/ai/lease", `{"key":"k","x":"`+strings.Repeat("x", 1<<20)+`"}`), 413, "too_large", nil},
		{"a body too large at check-lock", post("/v1/check-lock", `{"key":"k","x":"`+strings.Repeat("x", 1<<20)+`"}`), 413, "too_large", nil},
		{"a body that is not JSON", with("Content-Type", "application/x-www-form-urlencoded", post("/v1/ai/lease", `key=k`)), 415, "unsupported_media_type", nil},
		{"a body that is not JSON at check-lock", with("Content-Type", "application/x-www-form-urlencoded", post("/v1/check-lock", `key=k`)), 415, "unsupported_media_type", nil},
		{"a wrong method", get("/v1/ai/lease"), 405, "method_not_allowed", nil},
		{"a wrong method at release", get("/v1/ai/release"), 405, "method_not_allowed", nil},
		{"a wrong method at check-lock", get("/v1/check-lock"), 405, "method_not_allowed", nil},
		{"an unknown path", get("/v1/ai/nothing"), 404, "no_such_endpoint", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, httpserver.WithDuplicateConflict())
			busy := s.mustAcquire("busy", object{"input_hash": "mine"})
			id := s.mustAcquire("done", nil)
			s.send("complete", object{"key": "done", "lease_id": id}).want(t, 200, nil)

			var body bytes.Buffer
			if _, err := body.ReadFrom(tt.ask.Body); err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(tt.ask.Method, tt.ask.URL.String(), strings.NewReader(strings.ReplaceAll(body.String(), "$ID", id)))
			r.Header = tt.ask.Header
			got := s.do(r)
			got.want(t, tt.code, object{"ok": false, "status": tt.status})
			if tt.detail != nil {
				got.want(t, tt.code, object{"detail": tt.detail})
			} else {
				got.wantDetail(t, object{"error": tt.status})
				if d := got.body["detail"].(object); d["message"] == "" {
					t.Errorf("no message in %v", d)
				}
			}
			if got.header.Get("X-OnceOnly-Status") != "" {
				t.Errorf("a refusal says that the lock is %q", got.header.Get("X-OnceOnly-Status"))
			}
			if strings.Contains(toJSON(t, got.body), busy) {
				t.Errorf("the holder's lease id stands in %v", got.body)
			}

			for _, key := range []string{"k", "unknown"} {
				s.get("/v1/ai/status", key).want(t, 200, object{"status": "not_found"})
			}
			s.get("/v1/ai/status", "busy").want(t, 200, object{"status": "in_progress", "version": 1})
			s.get("/v1/ai/status", "done").want(t, 200, object{"status": "completed", "version": 2})
			s.post("/v1/check-lock", `{"key":"k"}`).wantLock(t, 200, "locked", nil)
		})
	}
}

func TestARefusalTellsTheState(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", nil)
	s.send("fail", object{"key": "k", "lease_id": id, "error_code": "e"}).want(t, 200, nil)
	got := s.send("complete", object{"key": "k", "lease_id": id})
	got.want(t, 409, object{"ok": false, "status": "already_finished", "key": "k"})
	got.wantDetail(t, object{"state": "failed", "error_code": "e", "version": 2, "done_at": "2025-01-15T10:30:00Z"})

	id = s.mustAcquire("l", nil)
	got = s.send("extend", object{"key": "l", "lease_id": id + "x"})
	got.want(t, 409, object{"ok": false, "status": "lease_lost", "key": "l"})
	got.wantDetail(t, object{"state": "in_progress", "version": 1, "error_code": absent, "done_at": absent})
}

func TestServerErrors(t *testing.T) {
	secret := errors.New("secret address of the store")
	unreadable := memory.New()
	if _, err := unreadable.CompareAndSet(t.Context(), "alice/k", 0, []byte(`{"format":99}`), 0); err != nil {
		t.Fatal(err)
	}
	closed := memory.New()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	panicking := failing(backend.ErrConflict)
	panicking.get = func(context.Context) (backend.Entry, error) { panic(secret) }
	lease := func(s *server) reply { return s.send("lease", object{"key": "k"}) }
	lock := func(s *server) reply { return s.post("/v1/check-lock", `{"key":"k"}`) }
	status := func(s *server) reply { return s.get("/v1/ai/status", "k") }
	run := func(s *server) reply { return s.send("run", object{"key": "k"}) }
	noWrites := failing(secret)
	noWrites.get = nil // a run is read before it is written, and its marker before its record
	for _, tt := range []struct {
		name   string
		store  backend.Backend
		ask    func(s *server) reply
		code   int
		status string
		retry  string // the header Retry-After
		says   string
	}{
		{"the store cannot be reached", failing(errors.Join(backend.ErrUnavailable, secret)), lease, 503, "unavailable", "1", "nothing was written"},
		{"the store cannot be reached for a lock", failing(errors.Join(backend.ErrUnavailable, secret)), lock, 503, "unavailable", "1", "nothing was written"},
		{"the store cannot be reached for a status", failing(errors.Join(backend.ErrUnavailable, secret)), status, 503, "unavailable", "1", "nothing was written"},
		{"the store was closed", closed, lease, 503, "unavailable", "1", "nothing was written"},
		{"the store was closed, for a status", closed, status, 503, "unavailable", "1", "nothing was written"},
		{"the outcome is unknown", failing(secret), lease, 503, "unknown_outcome", "1", "repeat the request with the same fields; a lease or check-lock needs the nonce"},
		{"the outcome of a lock is unknown", failing(secret), lock, 503, "unknown_outcome", "1", "the nonce that it had"},
		{"the record is unreadable", unreadable, status, 500, "unreadable_record", "", "an operator"},
		{"the store cannot be reached for a run", failing(errors.Join(backend.ErrUnavailable, secret)), run, 503, "unavailable", "1", "nothing was written"},
		{"the store was closed, for a run", closed, run, 503, "unavailable", "1", "nothing was written"},
		{"the outcome of a run's marker is unknown", noWrites, run, 503, "unavailable", "1", "nothing was written"},
		{"the record of a run is unreadable", unreadable, run, 500, "unreadable_record", "", "an operator"},
		{"a bug in a run", panicking, run, 500, "internal_error", "", "its log has more"},
		{"a bug", panicking, status, 500, "internal_error", "", "its log has more"},
		{"a bug in a lock", panicking, lock, 500, "internal_error", "", "its log has more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // a write of unknown outcome is pursued for a while
				var log bytes.Buffer
				s := setup{store: tt.store, ordinary: true, handler: []httpserver.Option{httpserver.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))}}.start(t)
				got := tt.ask(s)
				got.want(t, tt.code, object{"ok": false, "status": tt.status})
				got.wantDetail(t, object{"error": tt.status})
				if got.header.Get("Retry-After") != tt.retry || got.header.Get("X-OnceOnly-Status") != "" {
					t.Errorf("headers %v, want Retry-After %q", got.header, tt.retry)
				}
				if answer := toJSON(t, got.body); strings.Contains(answer, "secret") || !strings.Contains(answer, tt.says) {
					t.Errorf("the client was told %s, want it to say %q", answer, tt.says)
				}
				if !strings.Contains(log.String(), got.header.Get("X-Request-Id")) {
					t.Errorf("the log has no request id: %s", &log)
				}
			})
		})
	}
}

// TestASilentStoreIsAnsweredFor before clients of the hosted API give up, after five seconds.
func TestASilentStoreIsAnsweredFor(t *testing.T) {
	fields := object{"key": "k", "lease_id": "lease_1", "error_code": "e"}
	const timeout, settling = 4 * time.Second, 500 * time.Millisecond
	for _, tt := range []struct {
		name   string
		ask    func(s *server) reply
		status string
		took   time.Duration
	}{
		{"status", func(s *server) reply { return s.get("/v1/ai/status", "k") }, "unavailable", timeout},
		{"status, held", func(s *server) reply { return s.status("k", "3s") }, "unavailable", timeout},
		{"result", func(s *server) reply { return s.get("/v1/ai/result", "k") }, "unavailable", timeout},
		{"lease", func(s *server) reply { return s.send("lease", fields) }, "unknown_outcome", timeout + settling},
		{"check-lock", func(s *server) reply { return s.post("/v1/check-lock", `{"key":"k"}`) }, "unknown_outcome", timeout + settling},
		{"run", func(s *server) reply { return s.send("run", object{"key": "k"}) }, "unavailable", timeout},
		// This server has not seen the lease, and so it reads before it writes.
		{"extend", func(s *server) reply { return s.send("extend", fields) }, "unavailable", timeout},
		{"release", func(s *server) reply { return s.send("release", fields) }, "unavailable", timeout},
		{"complete", func(s *server) reply { return s.send("complete", fields) }, "unavailable", timeout},
		{"fail", func(s *server) reply { return s.send("fail", fields) }, "unavailable", timeout},
		{"cancel", func(s *server) reply { return s.send("cancel", fields) }, "unavailable", timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setup{store: silent(), ordinary: true}.start(t)
				began := time.Now()
				got := tt.ask(s)
				got.want(t, 503, object{"status": tt.status, "key": "k"})
				if took := time.Since(began); took != tt.took || got.header.Get("Retry-After") != "1" {
					t.Errorf("answered after %v, want %v; Retry-After is %q", took, tt.took, got.header.Get("Retry-After"))
				}
			})
		})
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
	open := httpserver.WithoutAuth()
	for _, tt := range []struct {
		name string
		m    *lease.Manager
		opts []httpserver.Option
		says string
	}{
		{"no Manager", nil, []httpserver.Option{open}, "manager"},
		{"no choice of who is admitted", m, nil, "must be one"},
		{"two choices of who is admitted", m, []httpserver.Option{open, keys("long enough", "a")}, "must be one"},
		{"no keys", m, []httpserver.Option{httpserver.WithAPIKeys(nil)}, "no API key"},
		{"an empty list of keys", m, []httpserver.Option{httpserver.WithAPIKeys(map[string]string{})}, "0 keys"},
		{"a short key", m, []httpserver.Option{keys("short", "a")}, "5 bytes, must be from 8 to 256"},
		{"a key with a space", m, []httpserver.Option{keys("long enough", "a")}, "space"},
		{"a bad namespace", m, []httpserver.Option{keys("long_enough", "a/b")}, "namespace"},
		{"a time for the store too short", m, []httpserver.Option{open, httpserver.WithStoreTimeout(time.Millisecond)}, "store_timeout"},
		{"a body limit too small", m, []httpserver.Option{open, httpserver.WithMaxBodyBytes(1)}, "max_body_bytes"},
		{"room for less than one body", m, []httpserver.Option{open, httpserver.WithMaxHeldBytes(3<<20 - 1)}, "max_held_bytes"},
		{"no hosts", m, []httpserver.Option{open, httpserver.WithHosts()}, "hosts"},
		{"a code for what is down that clients do not know", m, []httpserver.Option{open, httpserver.WithCheckLockDown(500)}, "must be 503 or 429"},
		{"a rate that is no number", m, []httpserver.Option{open, httpserver.WithRateLimit(math.NaN(), 1)}, "rate_limit"},
		{"a rate without end", m, []httpserver.Option{open, httpserver.WithRateLimit(math.Inf(1), 1)}, "rate_limit"},
		{"a namespace that is a key", m, []httpserver.Option{keys("production", "long key!")}, "namespace of a key must have"},
		{"a rate of nothing", m, []httpserver.Option{open, httpserver.WithRateLimit(0, 1)}, "rate_limit"},
		{"no logger", m, []httpserver.Option{open, httpserver.WithLogger(nil)}, "logger"},
	} {
		_, err := httpserver.New(tt.m, tt.opts...)
		if !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "long") {
			t.Errorf("%s: error %v, want one that says %q", tt.name, err, tt.says)
		}
	}
}
