package httpserver_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
)

// waiting is a server in a synctest bubble, by whose clock it goes.
func waiting(t *testing.T) (*server, *httpserver.Handler) {
	t.Helper()
	return waitingFor(t, memory.New())
}

func waitingFor(t *testing.T, store backend.Backend) (*server, *httpserver.Handler) {
	t.Helper()
	m, err := lease.NewManager(store)
	if err != nil {
		t.Fatal(err)
	}
	h, err := httpserver.New(m, httpserver.WithAPIKeys(map[string]string{apiKey: "alice"}))
	if err != nil {
		t.Fatal(err)
	}
	return &server{t: t, handler: h, manager: m}, h
}

func (s *server) status(key, wait string) reply {
	s.t.Helper()
	return s.do(request(http.MethodGet, "/v1/ai/status?"+url.Values{"key": {key}, "wait": {wait}}.Encode(), ""))
}

func TestStatusIsHeld(t *testing.T) {
	for _, c := range []struct {
		name   string
		wait   string
		after  time.Duration // something happens
		does   func(s *server, id string)
		took   time.Duration
		status string
	}{
		{"until the lease completes", "30s", 7 * time.Second, func(s *server, id string) {
			s.post("/v1/ai/complete", `{"key":"k","lease_id":"`+id+`"}`)
		}, 7 * time.Second, "completed"},
		{"until it fails", "30", 7 * time.Second, func(s *server, id string) {
			s.post("/v1/ai/fail", `{"key":"k","lease_id":"`+id+`","error_code":"e"}`)
		}, 7 * time.Second, "failed"},
		{"until it expires", "1m", 0, nil, 45 * time.Second, "not_found"},
		{"until the time is over", "1500ms", 0, nil, 1500 * time.Millisecond, "in_progress"},
		{"not for ever", "5h", time.Second, func(s *server, id string) {
			s.post("/v1/ai/extend", `{"key":"k","lease_id":"`+id+`","ttl":3600}`)
		}, time.Minute, "in_progress"},
		{"not for ever, in seconds", "18000", time.Second, func(s *server, id string) {
			s.post("/v1/ai/extend", `{"key":"k","lease_id":"`+id+`","ttl":3600}`)
		}, time.Minute, "in_progress"},
		{"not at all", "0", 0, nil, 0, "in_progress"},
		{"not unless asked", "", 0, nil, 0, "in_progress"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := waiting(t)
				id := s.post("/v1/ai/lease", `{"key":"k","ttl":45}`).body["lease_id"].(string)
				begun := time.Now()
				if c.does != nil {
					time.AfterFunc(c.after, func() { c.does(s, id) })
				}
				s.status("k", c.wait).want(t, 200, map[string]any{"status": c.status, "key": "k"})
				if took := time.Since(begun); took != c.took {
					t.Errorf("answered after %v, want %v", took, c.took)
				}
			})
		})
	}
}

func TestStatusIsHeldForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, h := waiting(t)
		begun := time.Now()
		s.status("none", "30s").want(t, 200, map[string]any{"status": "not_found"})
		s.post("/v1/ai/lease", `{"key":"k"}`)
		for _, bad := range []string{"soon", "-1s", "-1", "NaN", "1.5.5", "0x1p4", "1e3"} {
			s.status("k", bad).want(t, 422, map[string]any{"status": "invalid_request"})
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %v", took)
		}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { s.status("k", "60s").want(t, 200, map[string]any{"status": "in_progress"}) })
		}
		time.Sleep(time.Second)
		h.EndWaits()
		all.Wait()
		s.status("k", "60s").want(t, 200, map[string]any{"status": "in_progress"})
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}

func TestStatusShowsTheHoldersNotes(t *testing.T) {
	s := newServer(t, memory.New())
	s.post("/v1/ai/lease", `{"key":"k","metadata":{"progress":"half"}}`)
	if m, ok := s.get("/v1/ai/status", "k").body["metadata"].(map[string]any); !ok || m["progress"] != "half" {
		t.Errorf("metadata is %v", m)
	}
}

// hung is a store that does not answer.
type hung struct{ backend.Backend }

func (hung) Get(ctx context.Context, _ string) (backend.Entry, error) {
	<-ctx.Done()
	return backend.Entry{}, ctx.Err()
}

func (hung) CompareAndSet(ctx context.Context, _ string, _ uint64, _ []byte, _ time.Duration) (uint64, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// TestAHungStoreIsTold: before the clients of the hosted API give up, which is after five seconds.
func TestAHungStoreIsTold(t *testing.T) {
	const body = `{"key":"k","lease_id":"lease_1","error_code":"e"}`
	for _, c := range []struct {
		name   string
		ask    func(s *server) reply
		status string
		took   time.Duration
	}{
		{"status", func(s *server) reply { return s.get("/v1/ai/status", "k") }, "unavailable", 4 * time.Second},
		{"result", func(s *server) reply { return s.get("/v1/ai/result", "k") }, "unavailable", 4 * time.Second},
		{"status, held", func(s *server) reply { return s.status("k", "3s") }, "unavailable", 7 * time.Second},
		{"lease", func(s *server) reply { return s.post("/v1/ai/lease", body) }, "unknown_outcome", 4500 * time.Millisecond},
		{"check-lock", func(s *server) reply { return s.post("/v1/check-lock", body) }, "unknown_outcome", 4500 * time.Millisecond},
		{"extend", func(s *server) reply { return s.post("/v1/ai/extend", body) }, "unavailable", 4 * time.Second}, // of what this server has not seen: it is read first
		{"complete", func(s *server) reply { return s.post("/v1/ai/complete", body) }, "unavailable", 4 * time.Second},
		{"fail", func(s *server) reply { return s.post("/v1/ai/fail", body) }, "unavailable", 4 * time.Second},
		{"cancel", func(s *server) reply { return s.post("/v1/ai/cancel", body) }, "unavailable", 4 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := waitingFor(t, hung{})
				begun := time.Now()
				got := c.ask(s)
				got.want(t, 503, object{"status": c.status, "key": "k"})
				if took := time.Since(begun); took != c.took || got.header.Get("Retry-After") == "" {
					t.Errorf("answered after %v, want %v; Retry-After is %q", took, c.took, got.header.Get("Retry-After"))
				}
			})
		})
	}
}
