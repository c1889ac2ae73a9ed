package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

// wantLock compares an answer of check-lock, and its header.
func (r reply) wantLock(t *testing.T, code int, header string, fields object) {
	t.Helper()
	r.want(t, code, fields)
	if got := r.header.Get("X-OnceOnly-Status"); got != header {
		t.Errorf("X-OnceOnly-Status is %q, want %q", got, header)
	}
}

func TestCheckLockOverHTTP(t *testing.T) {
	s := newServer(t, memory.New())
	first := s.post("/v1/check-lock", `{"key":"charge","ttl":60,"metadata":{"order":7},"unknown":[1]}`)
	first.wantLock(t, 200, "locked", object{"success": true, "status": "locked", "key": "charge", "ttl": 60, "first_seen_at": nil, "ok": absent})
	duplicate := object{"success": false, "status": "duplicate", "key": "charge", "ttl": 60, "first_seen_at": "2025-01-15T10:30:00Z"}
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "duplicate", duplicate)
	s.clock.Advance(time.Minute - 1)
	again := s.post("/v1/check-lock", `{"key":"charge","ttl":5}`)
	again.wantLock(t, 200, "duplicate", duplicate)
	if len(first.body) != 5 || len(again.body) != 5 {
		t.Errorf("there is more in %v or %v", first.body, again.body)
	}
	s.clock.Advance(1)
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "locked", object{"success": true, "ttl": 3600, "first_seen_at": nil})
	s.post("/v1/check-lock", `{"key":"long","ttl":1e15}`).wantLock(t, 200, "locked", object{"ttl": 30 * 24 * 3600})

	t.Run("a lease of the same key has nothing to do with it", func(t *testing.T) {
		s.get("/v1/ai/status", "charge").want(t, 200, object{"status": "not_found"})
		s.post("/v1/ai/lease", `{"key":"charge"}`).want(t, 200, object{"status": "acquired"})
		s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "duplicate", nil)
	})
	t.Run("a retry with the same Idempotency-Key is told again that it locked the key", func(t *testing.T) {
		for _, step := range []struct{ key, status string }{{"rq_1", "locked"}, {"rq_1", "locked"}, {"rq_2", "duplicate"}, {"", "duplicate"}} {
			r := request(http.MethodPost, "/v1/check-lock", `{"key":"retried"}`)
			r.Header.Set("Idempotency-Key", step.key)
			s.do(r).wantLock(t, 200, step.status, nil)
		}
	})
	t.Run("namespaces do not see each other", func(t *testing.T) {
		r := request(http.MethodPost, "/v1/check-lock", `{"key":"charge"}`)
		r.Header.Set("Authorization", "Bearer "+otherKey)
		s.do(r).wantLock(t, 200, "locked", nil)
	})
}

func TestDuplicatesCanBeConflicts(t *testing.T) {
	s := newServer(t, memory.New(), withKeys, httpserver.WithDuplicateConflict())
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "locked", object{"success": true, "status": "locked"})
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 409, "duplicate", object{"ok": false, "status": "duplicate", "key": "charge",
		"detail": object{"error": "Duplicate blocked", "first_seen_at": "2025-01-15T10:30:00Z"}})
	s.clock.Advance(time.Hour)
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "locked", nil)
}

// TestErrorsOfCheckLock: what holds for the other endpoints holds for this one, and a refusal says nothing of a lock.
func TestErrorsOfCheckLock(t *testing.T) {
	const path = "/v1/check-lock"
	for _, tt := range []struct {
		name   string
		store  backend.Backend // nil: a good one
		do     func(s *server) reply
		code   int
		status string
	}{
		{"no bearer token", nil, func(s *server) reply {
			return s.do(httptest.NewRequest(http.MethodPost, path, strings.NewReader(`{"key":"k"}`)))
		}, 401, "unauthorized"},
		{"an unknown API key", nil, func(s *server) reply {
			r := request(http.MethodPost, path, `{"key":"k"}`)
			r.Header.Set("Authorization", "Bearer "+apiKey+"x")
			return s.do(r)
		}, 403, "forbidden"},
		{"a wrong method", nil, func(s *server) reply { return s.do(request(http.MethodGet, path, "")) }, 405, "method_not_allowed"},
		{"a body that is not JSON", nil, func(s *server) reply {
			r := request(http.MethodPost, path, `key=k`)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return s.do(r)
		}, 415, "unsupported_media_type"},
		{"a body too large", nil, func(s *server) reply {
			return s.post(path, `{"key":"k","x":"`+strings.Repeat("x", 1<<20)+`"}`)
		}, 413, "too_large"},
		{"no key", nil, func(s *server) reply { return s.post(path, `{}`) }, 422, "invalid_request"},
		{"a key too long", nil, func(s *server) reply { return s.post(path, `{"key":"`+strings.Repeat("x", 257)+`"}`) }, 422, "invalid_request"},
		{"a TTL of nothing", nil, func(s *server) reply { return s.post(path, `{"key":"k","ttl":0}`) }, 422, "invalid_request"},
		{"metadata that is a list", nil, func(s *server) reply { return s.post(path, `{"key":"k","metadata":[1]}`) }, 422, "invalid_request"},
		{"the store cannot be reached", broken{err: backend.ErrUnavailable}, func(s *server) reply { return s.post(path, `{"key":"k"}`) }, 503, "unavailable"},
		{"a bug", panicking{broken{err: backend.ErrConflict}}, func(s *server) reply { return s.post(path, `{"key":"k"}`) }, 500, "internal_error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := tt.store
			if store == nil {
				store = memory.New()
			}
			s := newServer(t, store, withKeys, httpserver.WithDuplicateConflict())
			got := tt.do(s)
			got.wantLock(t, tt.code, "", object{"ok": false, "status": tt.status})
			if got.body["detail"] == nil {
				t.Errorf("no detail in %v", got.body)
			}
			if tt.store == nil { // and nothing is locked
				s.post(path, `{"key":"k"}`).wantLock(t, 200, "locked", nil)
			}
		})
	}
	t.Run("too many requests", func(t *testing.T) {
		s := newServer(t, memory.New(), withKeys, httpserver.WithRateLimit(0.001, 1))
		s.post(path, `{"key":"k"}`).wantLock(t, 200, "locked", nil)
		got := s.post(path, `{"key":"l"}`)
		got.wantLock(t, 429, "", object{"ok": false, "status": "rate_limited"})
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	})
	t.Run("the request id is echoed", func(t *testing.T) {
		r := request(http.MethodPost, path, `{"key":"k"}`)
		r.Header.Set("X-Request-Id", "abc-1")
		if got := newServer(t, memory.New()).do(r).header.Get("X-Request-Id"); got != "abc-1" {
			t.Errorf("answered %q", got)
		}
	})
}
