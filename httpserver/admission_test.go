package httpserver_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

func TestNamespacesDoNotSeeEachOther(t *testing.T) {
	s := newServer(t)
	s.mustAcquire("k", nil)
	for _, path := range []string{"/v1/ai/lease", "/v1/check-lock"} {
		s.post(path, `{"key":"k"}`)
		r := request(http.MethodPost, path, `{"key":"k"}`)
		r.Header.Set("Authorization", "bearer "+otherKey)
		got := s.do(r)
		if got.body["status"] != "acquired" && got.body["status"] != "locked" {
			t.Errorf("%s: %v", path, got.body)
		}
	}
}

func TestLeaseIDsCanBeHiddenFromPollers(t *testing.T) {
	s := newServer(t, httpserver.WithHiddenLeaseIDs())
	id := s.mustAcquire("k", object{"nonce": "n1"})
	s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "polling", "lease_id": nil})
	s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress", "lease_id": nil})
	s.send("lease", object{"key": "k", "nonce": "n1"}).want(t, 200, object{"status": "acquired", "lease_id": id})
	s.send("extend", object{"key": "k", "lease_id": id}).want(t, 200, object{"lease_id": id})
}

func TestARequestIDIsSentBackIfItCanBe(t *testing.T) {
	s := newServer(t)
	for sent, echoed := range map[string]bool{"abc-1": true, "": false, "run 7": true, "a\tb": false, "é": false, strings.Repeat("x", 256): true, strings.Repeat("x", 257): false} {
		for _, r := range []*http.Request{request(http.MethodGet, "/v1/ai/status?key=k", ""), request(http.MethodPost, "/v1/check-lock", `{"key":"k"}`)} {
			r.Header.Set("X-Request-Id", sent)
			if got := s.do(r).header.Get("X-Request-Id"); (got == sent) != echoed {
				t.Errorf("sent %q, answered %q", sent, got)
			}
		}
	}
}

func TestRateLimit(t *testing.T) {
	s := newServer(t, httpserver.WithRateLimit(0.001, 2))
	s.get("/v1/ai/status", "k").want(t, 200, nil)
	s.post("/v1/check-lock", `{"key":"k"}`).want(t, 200, nil)
	for _, path := range []string{"/v1/ai/lease", "/v1/check-lock"} {
		got := s.post(path, `{"key":"l"}`)
		got.wantLock(t, 429, "", object{"ok": false, "status": "rate_limited"})
		if got.header.Get("Retry-After") != "60" { // it would be 1000: clients sleep for as long as it says
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
	}
	r := request(http.MethodGet, "/v1/ai/status?key=k", "")
	r.Header.Set("Authorization", "Bearer "+otherKey)
	s.do(r).want(t, 200, nil) // another namespace has its own limit
}

func TestAuthenticator(t *testing.T) {
	verdict := error(nil)
	s := setup{auth: httpserver.WithAuthenticator(func(r *http.Request) (string, error) {
		return r.Header.Get("X-Team"), verdict
	})}.start(t)
	ask := func() reply {
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
		r.Header.Set("X-Team", "team_7")
		return s.do(r)
	}
	ask().want(t, 200, object{"status": "acquired"})
	team, err := s.manager.InNamespace("team_7")
	if err != nil {
		t.Fatal(err)
	}
	if l, err := team.Status(t.Context(), "k"); err != nil || l.State != lease.StateInProgress {
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

func TestWithoutAuthEverybodyIsInTheManagersNamespace(t *testing.T) {
	s := setup{auth: httpserver.WithoutAuth(), manager: []lease.Option{lease.WithNamespace("alice")}}.start(t)
	r := request(http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
	r.Header.Del("Authorization")
	s.do(r).want(t, 200, object{"status": "acquired"})
	if l, err := s.manager.Status(t.Context(), "k"); err != nil || l.State != lease.StateInProgress {
		t.Errorf("in the namespace: %v, %v", l.State, err)
	}
}

// TestMounted shows the handler in a mux with other routes, under a prefix and without, over a real
// connection.
func TestMounted(t *testing.T) {
	s := setup{store: memory.New()}.start(t)
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
