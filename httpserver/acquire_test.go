package httpserver_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
)

func TestANonceMakesALeaseSafeToRepeat(t *testing.T) {
	s := newServer(t)
	first := s.post("/v1/ai/lease", `{"key":"k","ttl":60,"nonce":"n1"}`)
	first.want(t, 200, object{"status": "acquired", "ttl_left": nil, "charged": 1})
	s.clock.Advance(19500 * time.Millisecond)
	for range 2 {
		s.post("/v1/ai/lease", `{"key":"k","ttl":60,"nonce":"n1"}`).want(t, 200, object{"ok": true, "status": "acquired", "lease_id": first.body["lease_id"],
			"token": first.body["token"], "version": 1, "attempt": 1, "ttl": 60, "ttl_left": 41, "charged": 0, "retry_after_sec": nil})
	}
	for _, body := range []string{`{"key":"k","nonce":"n2"}`, `{"key":"k","nonce":""}`, `{"key":"k","nonce":null}`, `{"key":"k"}`} {
		s.post("/v1/ai/lease", body).want(t, 200, object{"status": "polling", "charged": 0, "token": absent})
	}
	t.Run("it is the same lease after an extension", func(t *testing.T) {
		s.send("extend", object{"key": "k", "lease_id": first.body["lease_id"], "checkpoint": 7}).want(t, 200, object{"version": 2})
		s.clock.Advance(10 * time.Second)
		s.post("/v1/ai/lease", `{"key":"k","nonce":"n1"}`).want(t, 200, object{"status": "acquired", "lease_id": first.body["lease_id"],
			"version": 2, "ttl_left": 50, "charged": 0, "checkpoint": 7})
	})
	t.Run("after an end the end is told", func(t *testing.T) {
		s.send("fail", object{"key": "k", "lease_id": first.body["lease_id"], "error_code": "e", "retryable": true})
		s.post("/v1/ai/lease", `{"key":"k","nonce":"n1"}`).want(t, 200, object{"status": "failed", "charged": 0, "token": absent})
		s.post("/v1/ai/lease", `{"key":"k","nonce":"n2"}`).want(t, 200, object{"status": "acquired", "attempt": 2, "charged": 1})
	})
}

// TestAnAcquireOfASlowStoreIsCharged, also if its answer is lost on the way from the store and the
// Manager finds out what became of it. Nobody had this lease before.
func TestAnAcquireOfASlowStoreIsCharged(t *testing.T) {
	for _, lost := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := leasetest.NewStore(memory.New())
			store.Delay(100 * time.Millisecond)
			if lost {
				store.LoseAnswer(1)
			}
			s := setup{store: store, ordinary: true, handler: []httpserver.Option{httpserver.WithStoreTimeout(time.Minute)}}.start(t)
			began := time.Now()
			s.send("lease", object{"key": "k", "ttl": 60}).want(t, 200, object{"status": "acquired", "charged": 1, "ttl_left": nil})
			if time.Since(began) < 100*time.Millisecond {
				t.Error("the store was not slow")
			}
		})
	}
}

// TestALeaseAcquiredAgainInTheClockSkew: past its deadline it is still its holder's.
func TestALeaseAcquiredAgainInTheClockSkew(t *testing.T) {
	s := setup{manager: []lease.Option{lease.WithClockSkew(10 * time.Second)}}.start(t)
	id := s.mustAcquire("k", object{"nonce": "n1"})
	s.clock.Advance(65 * time.Second)
	s.post("/v1/ai/lease", `{"key":"k","nonce":"n1"}`).want(t, 200, object{"status": "acquired", "lease_id": id, "version": 1, "ttl_left": 0, "charged": 0})
	s.post("/v1/ai/lease", `{"key":"k","nonce":"n2"}`).want(t, 200, object{"status": "polling", "ttl_left": 0, "retry_after_sec": 5})
}

// TestAnIdempotencyKeyMeansNothing: people derive that header from the operation, and two workers
// would share it.
func TestAnIdempotencyKeyMeansNothing(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/v1/ai/lease", "/v1/check-lock"} {
		for _, status := range []string{"first", "second"} {
			r := request(http.MethodPost, path, `{"key":"k"}`)
			r.Header.Set("Idempotency-Key", "order_7")
			got := s.do(r)
			if first := got.body["status"] == "acquired" || got.body["status"] == "locked"; first != (status == "first") {
				t.Errorf("%s: the %s call got %v", path, status, got.body)
			}
		}
	}
}

// TestInputsOverHTTP: what a call with an input hash gets, depending on what stands under the key.
func TestInputsOverHTTP(t *testing.T) {
	held := func(s *server, fields object) string { return s.mustAcquire("k", fields) }
	completed := func(s *server, fields object) string {
		id := held(s, fields)
		s.send("complete", object{"key": "k", "lease_id": id}).want(s.t, 200, nil)
		return id
	}
	mine, mineOnce := object{"input_hash": "mine"}, object{"input_hash": "mine", "at_most_once": true}
	mismatch := object{"ok": false, "status": "input_mismatch", "key": "k"}
	for _, tt := range []struct {
		name   string
		before func(s *server, fields object) string
		is     object
		ask    object
		code   int
		want   object
	}{
		{"the same input is shared", held, mine, object{"input_hash": "mine"}, 200, object{"status": "polling"}},
		{"no input is not compared", held, mine, object{}, 200, object{"status": "polling"}},
		{"another input is refused", held, mine, object{"input_hash": "other"}, 409, mismatch},
		{"another input of what is done is refused", completed, mine, object{"input_hash": "other"}, 409, mismatch},
		{"the same input is not replaced", held, mine, object{"input_hash": "mine", "replace": true}, 200, object{"status": "polling", "charged": 0}},
		{"another input replaces the holder", held, mine, object{"input_hash": "other", "replace": true}, 200,
			object{"status": "acquired", "version": 2, "attempt": 2, "charged": 1, "ttl_left": nil}},
		{"another input replaces what is done", completed, mine, object{"input_hash": "other", "replace": true}, 200,
			object{"status": "acquired", "version": 3, "attempt": 2, "charged": 1}},
		{"at most once is never replaced", held, mineOnce, object{"input_hash": "other", "replace": true}, 409, mismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			id := tt.before(s, tt.is)
			ask := object{"key": "k"}
			for name, v := range tt.ask {
				ask[name] = v
			}
			s.send("lease", ask).want(t, tt.code, tt.want)
			if tt.want["status"] == "acquired" {
				s.send("extend", object{"key": "k", "lease_id": id}).want(t, 409, object{"status": "lease_lost"})
			}
		})
	}
	t.Run("a call that was replaced does not come back", func(t *testing.T) {
		s := newServer(t)
		held(s, object{"input_hash": "old", "nonce": "n1"})
		held(s, object{"input_hash": "new", "replace": true})
		s.send("lease", object{"key": "k", "input_hash": "old", "nonce": "n1", "replace": true}).want(t, 409, object{"ok": false, "status": "lease_lost"})
	})
}

func TestAtMostOnceOverHTTP(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("payment", object{"at_most_once": true})
	s.clock.Advance(time.Minute)
	expired := object{"ok": true, "status": "failed", "error_code": "expired", "done_at": "2025-01-15T10:31:00Z"}
	s.get("/v1/ai/status", "payment").want(t, 200, expired)
	s.get("/v1/ai/result", "payment").want(t, 200, expired)
	s.send("lease", object{"key": "payment"}).want(t, 200, expired)
	s.send("lease", object{"key": "payment", "at_most_once": true}).want(t, 200, expired)
	s.send("extend", object{"key": "payment", "lease_id": id}).want(t, 409, object{"status": "already_finished"})
	s.send("complete", object{"key": "payment", "lease_id": id}).want(t, 200, object{"status": "completed"})

	for _, tt := range []struct {
		name string
		stop func(key, id string) // of plain work
		code string
	}{
		{"expired", func(string, string) { s.clock.Advance(time.Minute) }, "expired"},
		{"released", func(key, id string) { s.send("release", object{"key": key, "lease_id": id}) }, "released"},
		{"failed", func(key, id string) {
			s.send("fail", object{"key": key, "lease_id": id, "error_code": "e", "retryable": true})
		}, "e"},
	} {
		t.Run("it does not begin over plain work that "+tt.name, func(t *testing.T) {
			tt.stop(tt.name, s.mustAcquire(tt.name, nil))
			s.send("lease", object{"key": tt.name, "at_most_once": true}).want(t, 200, object{"status": "failed", "error_code": tt.code, "charged": 0})
			s.send("lease", object{"key": tt.name, "at_most_once": true, "retry_failed": true}).want(t, 200, object{"status": "acquired", "charged": 1})
		})
	}
	t.Run("it begins anew over what was released", func(t *testing.T) {
		s.send("release", object{"key": "r", "lease_id": s.mustAcquire("r", object{"at_most_once": true})}).want(t, 200, object{"status": "released"})
		s.send("lease", object{"key": "r", "at_most_once": true}).want(t, 200, object{"status": "acquired", "attempt": 2})
	})
}

func TestALeaseHasARetentionOfItsOwn(t *testing.T) {
	s := newServer(t)
	for key, retention := range map[string]any{"short": 60, "long": 30 * 24 * 3600, "usual": nil} {
		id := s.mustAcquire(key, object{"retention": retention})
		s.send("complete", object{"key": key, "lease_id": id}).want(t, 200, nil)
	}
	after := func(d time.Duration, want map[string]string) {
		s.clock.Advance(t0.Add(d).Sub(s.clock.Now()))
		for key, status := range want {
			s.get("/v1/ai/status", key).want(t, 200, object{"key": key, "status": status})
		}
	}
	const day = 24 * time.Hour
	after(time.Minute-1, map[string]string{"short": "completed", "usual": "completed", "long": "completed"})
	after(time.Minute, map[string]string{"short": "not_found", "usual": "completed", "long": "completed"})
	after(7*day, map[string]string{"usual": "not_found", "long": "completed"})
	after(30*day-1, map[string]string{"long": "completed"})
	after(30*day, map[string]string{"long": "not_found"})
}

func TestAnExpiredLeaseIsTakenOver(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k", nil)
	s.clock.Advance(time.Minute)
	s.get("/v1/ai/status", "k").want(t, 200, object{"status": "not_found"})
	s.send("lease", object{"key": "k"}).want(t, 200, object{"status": "acquired", "version": 2, "attempt": 2, "charged": 1, "first_seen_at": "2025-01-15T10:30:00Z"})
	s.send("complete", object{"key": "k", "lease_id": id}).want(t, 409, object{"status": "lease_lost"})
}

func TestATTLAboveTheMaximumIsClamped(t *testing.T) {
	s := newServer(t)
	for i, ttl := range []string{"9999999", "1e15", "1e300"} {
		s.post("/v1/ai/lease", fmt.Sprintf(`{"key":"k%d","ttl":%s}`, i, ttl)).want(t, 200, object{"status": "acquired", "ttl": 30 * 24 * 3600, "charged": 1})
	}
}
