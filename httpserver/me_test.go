package httpserver_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
)

func aboutMe(namespace string, email, toolErrors, runFailures bool) object {
	return object{"plan": "self-hosted", "namespace": namespace, "email": nil, "email_notifications_enabled": email,
		"tool_error_notifications_enabled": toolErrors, "run_failure_notifications_enabled": runFailures}
}

func TestMe(t *testing.T) {
	s := newServer(t)
	want := func(got reply, me object) {
		t.Helper()
		if got.code != 200 || !equalJSON(t, got.body, me) {
			t.Errorf("%d %v, want %v", got.code, got.body, me)
		}
	}
	want(s.read("/v1/me"), aboutMe("alice", false, false, false))
	for _, step := range []struct {
		body                           string
		email, toolErrors, runFailures bool
	}{
		{`{}`, false, false, false},
		{`{"email_notifications_enabled":true}`, true, false, false},
		{`{"tool_error_notifications_enabled":true,"run_failure_notifications_enabled":true}`, true, true, true},
		{`{"tool_error_notifications_enabled":false,"key":7,"unknown":[1]}`, true, false, true},
		{`{"email_notifications_enabled":null}`, true, false, true},
		{`{"email_notifications_enabled":true}`, true, false, true},
	} {
		me := aboutMe("alice", step.email, step.toolErrors, step.runFailures)
		want(s.tell(request(http.MethodPost, "/v1/me/notifications", step.body)), me)
		want(s.read("/v1/me"), me)
	}
	want(s.tell(as(otherKey, request(http.MethodGet, "/v1/me", ""))), aboutMe("bob", false, false, false))

	t.Run("anything but a boolean is refused, and nothing is changed", func(t *testing.T) {
		for _, value := range []string{`"true"`, "1", "{}", "[]"} {
			got := s.post("/v1/me/notifications", `{"email_notifications_enabled":false,"run_failure_notifications_enabled":`+value+`}`)
			got.want(t, 422, object{"status": "invalid_request", "detail": []any{object{
				"type": "bool_type", "loc": []string{"body", "run_failure_notifications_enabled"}, "msg": "Input should be a valid boolean"}}})
		}
		s.post("/v1/me/notifications", `{"email_notifications_enabled":true,"email_notifications_enabled":false}`).want(t, 422, nil)
		s.post("/v1/me/notifications", `[]`).want(t, 422, nil)
		want(s.read("/v1/me"), aboutMe("alice", true, false, true))
	})
}

// TestNotificationsOnBadDays: a write whose answer was lost, or that comes second, is settled.
func TestNotificationsOnBadDays(t *testing.T) {
	t.Run("an answer is lost", func(t *testing.T) {
		store := leasetest.NewStore(memory.New())
		s := setup{store: store}.start(t)
		for _, on := range []string{"true", "false"} {
			store.LoseAnswer(1)
			s.tell(request(http.MethodPost, "/v1/me/notifications", `{"email_notifications_enabled":`+on+`}`)).want(t, 200, object{"email_notifications_enabled": on == "true"})
		}
	})
	t.Run("another comes before", func(t *testing.T) {
		inner := memory.New()
		other := setup{store: inner}.start(t)
		first := true
		racing := racingStore{inner, func() {
			if first {
				first = false
				other.tell(request(http.MethodPost, "/v1/me/notifications", `{"tool_error_notifications_enabled":true}`))
			}
		}}
		s := setup{store: racing}.start(t)
		got := s.tell(request(http.MethodPost, "/v1/me/notifications", `{"email_notifications_enabled":true}`))
		if !equalJSON(t, got.body, aboutMe("alice", true, true, false)) || first {
			t.Errorf("%d %v, want both settings", got.code, got.body)
		}
	})
	for name, tt := range map[string]struct {
		store  backend.Backend
		status string
		code   int
	}{
		"the store cannot be reached": {failing(backend.ErrUnavailable), "unavailable", 503},
		"the outcome stays unknown": {script{Backend: memory.New(), set: func(context.Context) (uint64, error) { return 0, errors.New("cut") }},
			"unknown_outcome", 503},
		"the settings cannot be read": {script{Backend: memory.New(), get: func(context.Context) (backend.Entry, error) {
			return backend.Entry{Value: []byte("x"), Revision: 1}, nil
		}}, "unreadable_record", 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := setup{store: tt.store, handler: []httpserver.Option{httpserver.WithStoreTimeout(100 * time.Millisecond)}}.start(t)
			s.post("/v1/me/notifications", `{"email_notifications_enabled":true}`).want(t, tt.code, object{"status": tt.status})
			if tt.status != "unknown_outcome" {
				s.read("/v1/me").want(t, tt.code, object{"status": tt.status})
			}
		})
	}
}

// racingStore has another writer come before each write.
type racingStore struct {
	backend.Backend
	before func()
}

func (s racingStore) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	s.before()
	return s.Backend.CompareAndSet(ctx, key, revision, value, keep)
}
