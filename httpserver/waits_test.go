package httpserver_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
)

func (s *server) status(key, wait string) reply {
	s.t.Helper()
	return s.do(request(http.MethodGet, "/v1/ai/status?"+url.Values{"key": {key}, "wait": {wait}}.Encode(), ""))
}

func TestStatusIsHeld(t *testing.T) {
	then := func(endpoint string, fields object) func(s *server, id string) {
		return func(s *server, id string) {
			all := object{"key": "k", "lease_id": id}
			for name, v := range fields {
				all[name] = v
			}
			s.send(endpoint, all).want(s.t, 200, nil)
		}
	}
	for _, tt := range []struct {
		name   string
		wait   string
		after  time.Duration // something happens
		does   func(s *server, id string)
		took   time.Duration
		status string
	}{
		{"until the lease completes", "30s", 7 * time.Second, then("complete", object{"result": 1}), 7 * time.Second, "completed"},
		{"until it fails", "30", 7 * time.Second, then("fail", object{"error_code": "e"}), 7 * time.Second, "failed"},
		{"until it is released", "30", 7 * time.Second, then("release", nil), 7 * time.Second, "not_found"},
		{"until it expires", "1m", 0, nil, 45 * time.Second, "not_found"},
		{"until the wait is over", "1500ms", 0, nil, 1500 * time.Millisecond, "in_progress"},
		{"not for ever", "5h", time.Second, then("extend", object{"ttl": 3600}), time.Minute, "in_progress"},
		{"not for ever, in seconds", "18000", time.Second, then("extend", object{"ttl": 3600}), time.Minute, "in_progress"},
		{"not at all", "0", 0, nil, 0, "in_progress"},
		{"not unless asked", "", 0, nil, 0, "in_progress"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := setup{ordinary: true}.start(t)
				id := s.mustAcquire("k", object{"ttl": 45})
				began := time.Now()
				if tt.does != nil {
					time.AfterFunc(tt.after, func() { tt.does(s, id) })
				}
				s.status("k", tt.wait).want(t, 200, object{"status": tt.status, "key": "k", "result": absent})
				if took := time.Since(began); took != tt.took {
					t.Errorf("answered after %v, want %v", took, tt.took)
				}
			})
		})
	}
}

// TestStatusIsHeldInTheClockSkew: past its deadline the lease cannot be acquired yet.
func TestStatusIsHeldInTheClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup{ordinary: true, manager: []lease.Option{lease.WithClockSkew(10 * time.Second)}}.start(t)
		s.mustAcquire("k", object{"ttl": 45})
		time.Sleep(50 * time.Second)
		began := time.Now()
		s.status("k", "60s").want(t, 200, object{"status": "not_found"})
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("answered after %v, want 5s", took)
		}
		s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "acquired"})
	})
}

func TestStatusIsNotHeldForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup{ordinary: true}.start(t)
		began := time.Now()
		s.status("none", "30s").want(t, 200, object{"status": "not_found", "retry_after_sec": 5})
		s.mustAcquire("k", nil)
		for _, bad := range []string{"soon", "-1s", "-1", "NaN", "1.5.5", "0x1p4", "1e3"} {
			s.status("k", bad).want(t, 422, object{"status": "invalid_request"})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestEndWaitsAnswersWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := setup{ordinary: true}.start(t)
		s.mustAcquire("k", object{"ttl": 3600})
		began := time.Now()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { s.status("k", "60s").want(t, 200, object{"status": "in_progress"}) })
		}
		time.Sleep(time.Second)
		s.handler.EndWaits()
		all.Wait()
		s.status("k", "60s").want(t, 200, object{"status": "in_progress"})
		if took := time.Since(began); took != time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}
