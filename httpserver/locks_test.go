package httpserver_test

import (
	"net/http"
	"testing"
	"time"

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
	s := newServer(t)
	s.post("/v1/check-lock", `{"key":"charge","ttl":60,"metadata":{"order":7},"unknown":[1]}`).wantLock(t, 200, "locked",
		object{"success": true, "status": "locked", "key": "charge", "ttl": 60, "first_seen_at": nil, "ok": absent})
	duplicate := object{"success": false, "status": "duplicate", "key": "charge", "ttl": 60, "first_seen_at": "2025-01-15T10:30:00Z"}
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "duplicate", duplicate)
	s.clock.Advance(time.Minute - 1)
	s.post("/v1/check-lock", `{"key":"charge","ttl":5}`).wantLock(t, 200, "duplicate", duplicate)
	s.clock.Advance(1)
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "locked", object{"success": true, "ttl": 3600, "first_seen_at": nil})
	s.post("/v1/check-lock", `{"key":"long","ttl":1e15}`).wantLock(t, 200, "locked", object{"ttl": 30 * 24 * 3600})

	t.Run("a lease of the same key has nothing to do with it", func(t *testing.T) {
		s.get("/v1/ai/status", "charge").want(t, 200, object{"status": "not_found"})
		s.post("/v1/ai/lease", `{"key":"charge"}`).want(t, 200, object{"status": "acquired"})
		s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "duplicate", nil)
	})
	t.Run("a call that is repeated with its nonce is told again that it locked the key", func(t *testing.T) {
		for _, step := range []struct{ body, status string }{
			{`{"key":"retried","nonce":"n1"}`, "locked"},
			{`{"key":"retried","nonce":"n1"}`, "locked"},
			{`{"key":"retried","nonce":"n2"}`, "duplicate"},
			{`{"key":"retried","nonce":""}`, "duplicate"},
			{`{"key":"retried"}`, "duplicate"},
		} {
			s.post("/v1/check-lock", step.body).wantLock(t, 200, step.status, object{"success": step.status == "locked", "status": step.status})
		}
	})
	t.Run("namespaces do not see each other", func(t *testing.T) {
		r := request(http.MethodPost, "/v1/check-lock", `{"key":"charge"}`)
		r.Header.Set("Authorization", "Bearer "+otherKey)
		s.do(r).wantLock(t, 200, "locked", nil)
	})
}

func TestDuplicatesCanBeConflicts(t *testing.T) {
	s := newServer(t, httpserver.WithDuplicateConflict())
	s.post("/v1/check-lock", `{"key":"charge","nonce":"n1"}`).wantLock(t, 200, "locked", object{"success": true, "status": "locked"})
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 409, "duplicate", object{"ok": false, "status": "duplicate", "key": "charge",
		"detail": object{"error": "Duplicate blocked", "first_seen_at": "2025-01-15T10:30:00Z"}})
	s.post("/v1/check-lock", `{"key":"charge","nonce":"n1"}`).wantLock(t, 200, "locked", object{"success": true, "status": "locked"})
	s.clock.Advance(time.Hour)
	s.post("/v1/check-lock", `{"key":"charge"}`).wantLock(t, 200, "locked", nil)
}
