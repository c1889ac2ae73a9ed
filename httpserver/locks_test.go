package httpserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
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

// TestCheckLockDown: the clients of the hosted API take a 5xx of a check-lock for "go ahead", and a
// 429 for "wait".
func TestCheckLockDown(t *testing.T) {
	unreadable := memory.New()
	if _, err := unreadable.CompareAndSet(t.Context(), "alice:lock/k", 0, []byte(`{"format":99}`), 0); err != nil {
		t.Fatal(err)
	}
	bug := script{Backend: memory.New(), set: func(context.Context) (uint64, error) { panic("a bug") }}
	down := httpserver.WithAuthenticator(func(*http.Request) (string, error) { return "", errors.New("the directory is down") })
	for _, tt := range []struct {
		name   string
		store  backend.Backend
		auth   httpserver.Option
		status string
		code   int // without the option
	}{
		{"the store cannot be reached", failing(backend.ErrUnavailable), nil, "unavailable", 503},
		{"the outcome is unknown", failing(errors.New("cut")), nil, "unknown_outcome", 503},
		{"the store does not answer", silent(), nil, "unknown_outcome", 503},
		{"the record cannot be read", unreadable, nil, "unreadable_record", 500},
		{"a bug", bug, nil, "internal_error", 500},
		{"nobody knows who is admitted", memory.New(), down, "unavailable", 503},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for option, want := range map[int]int{503: tt.code, 429: 429} {
					s := setup{store: tt.store, auth: tt.auth, ordinary: true, handler: []httpserver.Option{httpserver.WithCheckLockDown(option)}}.start(t)
					got := s.post("/v1/check-lock", `{"key":"k"}`)
					got.wantLock(t, want, "", object{"ok": false, "status": tt.status})
					if retry := got.header.Get("Retry-After"); retry != "1" && want != 500 {
						t.Errorf("%d with Retry-After %q", want, retry)
					}
					if tt.status != "unreadable_record" && tt.status != "internal_error" {
						s.get("/v1/ai/status", "k").want(t, 503, object{"status": "unavailable"}) // others are not changed
					}
				}
			})
		})
	}
	t.Run("what a client did wrong is told as ever", func(t *testing.T) {
		s := newServer(t, httpserver.WithCheckLockDown(429))
		s.post("/v1/check-lock", `{"key":""}`).want(t, 422, nil)
		s.post("/v1/check-lock", `{"key":"k"}`).wantLock(t, 200, "locked", nil)
	})
}
