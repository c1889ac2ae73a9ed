package httpserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/backends/sqlite"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/usage"
)

// startCounting returns a server that counts in the store by the clock of its Manager.
func startCounting(t testing.TB, store backend.Backend, opts ...httpserver.Option) (*server, *usage.Counters) {
	t.Helper()
	day := leasetest.NewClock(t0)
	c := usage.New(store, usage.WithClock(day))
	s := setup{store: store, handler: append(opts, httpserver.WithUsage(c))}.start(t)
	return s, c
}

// tell sends a request to an endpoint about no key, whose answer has no status.
func (s *server) tell(r *http.Request) reply {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	got := reply{code: w.Code, header: w.Header()}
	if err := json.Unmarshal(w.Body.Bytes(), &got.body); err != nil {
		s.t.Fatalf("%s %s: %d, body %q: %v", r.Method, r.URL, w.Code, w.Body, err)
	}
	return got
}

func (s *server) read(target string) reply {
	s.t.Helper()
	return s.tell(request(http.MethodGet, target, ""))
}

func as(key string, r *http.Request) *http.Request {
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// TestWhatIsCounted mirrors "Usage" in the package documentation.
func TestWhatIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before []string // path and body
		call   [2]string
		kind   string
		want   usage.Tally
	}{
		{"a lease that was acquired", nil, [2]string{"/v1/ai/lease", `{"key":"k"}`}, "ai", usage.Tally{Requests: 1, Charged: 1}},
		{"a lease that another holds", []string{"/v1/ai/lease", `{"key":"k"}`}, [2]string{"/v1/ai/lease", `{"key":"k"}`}, "ai", usage.Tally{Requests: 1, Polling: 1}},
		{"a lease that has completed", []string{"/v1/ai/lease", `{"key":"k"}`, "/v1/ai/complete", `{"key":"k","lease_id":"$ID"}`}, [2]string{"/v1/ai/lease", `{"key":"k"}`}, "ai", usage.Tally{Requests: 1, Blocked: 1}},
		{"a lease that has failed", []string{"/v1/ai/lease", `{"key":"k"}`, "/v1/ai/fail", `{"key":"k","lease_id":"$ID","error_code":"e"}`}, [2]string{"/v1/ai/lease", `{"key":"k"}`}, "ai", usage.Tally{Requests: 1, Blocked: 1}},
		{"a lease again by its nonce", []string{"/v1/ai/lease", `{"key":"k","nonce":"n"}`}, [2]string{"/v1/ai/lease", `{"key":"k","nonce":"n"}`}, "ai", usage.Tally{Requests: 1}},
		{"another input", []string{"/v1/ai/lease", `{"key":"k","input_hash":"a"}`}, [2]string{"/v1/ai/lease", `{"key":"k","input_hash":"b"}`}, "ai", usage.Tally{}},
		{"a lease without a key", nil, [2]string{"/v1/ai/lease", `{}`}, "ai", usage.Tally{}},
		{"an extension", []string{"/v1/ai/lease", `{"key":"k"}`}, [2]string{"/v1/ai/extend", `{"key":"k","lease_id":"$ID"}`}, "ai", usage.Tally{}},
		{"a key that was locked", nil, [2]string{"/v1/check-lock", `{"key":"k"}`}, "make", usage.Tally{Requests: 1, Charged: 1}},
		{"a duplicate", []string{"/v1/check-lock", `{"key":"k"}`}, [2]string{"/v1/check-lock", `{"key":"k"}`}, "make", usage.Tally{Requests: 1, Blocked: 1}},
		{"a lock again by its nonce", []string{"/v1/check-lock", `{"key":"k","nonce":"n"}`}, [2]string{"/v1/check-lock", `{"key":"k","nonce":"n"}`}, "make", usage.Tally{Requests: 1}},
		{"a lock without a key", nil, [2]string{"/v1/check-lock", `{}`}, "make", usage.Tally{}},
	} {
		for _, conflict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, duplicates are conflicts: %t", tt.name, conflict), func(t *testing.T) {
				var opts []httpserver.Option
				if conflict {
					opts = append(opts, httpserver.WithDuplicateConflict())
				}
				s, c := startCounting(t, memory.New(), opts...)
				id := ""
				ask := func(path, body string) {
					if got := s.post(path, withID(body, id)); id == "" {
						id, _ = got.body["lease_id"].(string)
					}
				}
				for i := 0; i < len(tt.before); i += 2 {
					ask(tt.before[i], tt.before[i+1])
				}
				s.clock.Advance(time.Second)
				before := sumsOf(t, c)
				ask(tt.call[0], tt.call[1])
				after := sumsOf(t, c)
				got, same := minus(after.AI, before.AI), minus(after.Make, before.Make)
				if tt.kind == "make" {
					got, same = same, got
				}
				if got != tt.want || same != (usage.Tally{}) {
					t.Errorf("counted %v, and %v of the other kind, want %v", got, same, tt.want)
				}
			})
		}
	}
}

func withID(body, id string) string { return strings.ReplaceAll(body, "$ID", id) }

func sumsOf(t *testing.T, c *usage.Counters) usage.Sums {
	t.Helper()
	sums, err := c.Month(t.Context(), "alice", t0)
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func minus(a, b usage.Tally) usage.Tally {
	return usage.Tally{Requests: a.Requests - b.Requests, Charged: a.Charged - b.Charged, Blocked: a.Blocked - b.Blocked, Polling: a.Polling - b.Polling}
}

// TestUsage mirrors the rows of the endpoints.
func TestUsage(t *testing.T) {
	s, _ := startCounting(t, memory.New())
	for range 3 {
		s.post("/v1/check-lock", `{"key":"charge"}`)
		s.post("/v1/ai/lease", `{"key":"chat"}`)
	}
	s.do(as(otherKey, request(http.MethodPost, "/v1/ai/lease", `{"key":"chat"}`)))

	month := func(charged, blocked, polling int) object {
		return object{"usage": charged, "limit": nil, "requests_total_month": charged + blocked + polling,
			"blocked_total_month": blocked, "charged_total_month": charged, "polling_total_month": polling}
	}
	with := func(o object, fields ...any) object {
		for i := 0; i < len(fields); i += 2 {
			o[fields[i].(string)] = fields[i+1]
		}
		return o
	}
	day := func(charged, blocked, polling int) object {
		return object{"requests": charged + blocked + polling, "charged": charged, "blocked": blocked, "polling": polling}
	}
	makes, leases := month(1, 2, 0), month(1, 0, 2)
	for _, tt := range []struct {
		name, target string
		key          string
		want         object
		headers      bool
	}{
		{"usage is of check-lock unless the kind says otherwise", "/v1/usage", apiKey, with(month(1, 2, 0), "plan", "self-hosted", "month", "2025-01", "kind", "make"), true},
		{"usage of check-lock", "/v1/usage?kind=make", apiKey, with(month(1, 2, 0), "plan", "self-hosted", "month", "2025-01", "kind", "make"), true},
		{"usage of leases", "/v1/usage?kind=ai&unknown=1", apiKey, with(month(1, 0, 2), "plan", "self-hosted", "month", "2025-01", "kind", "ai"), true},
		{"usage of all", "/v1/usage/all", apiKey, object{"plan": "self-hosted", "month": "2025-01", "make": makes, "ai": leases}, true},
		{"usage of all in another namespace", "/v1/usage/all", otherKey, object{"plan": "self-hosted", "month": "2025-01", "make": month(0, 0, 0), "ai": month(1, 0, 0)}, true},
		{"metrics of two days", "/v1/metrics?from_day=2025-01-14&to_day=2025-01-15", apiKey, object{"from_day": "2025-01-14", "to_day": "2025-01-15", "days": []any{
			object{"day": "2025-01-14", "make": day(0, 0, 0), "ai": day(0, 0, 0)},
			object{"day": "2025-01-15", "make": day(1, 2, 0), "ai": day(1, 0, 2)},
		}}, false},
		{"metrics in another namespace", "/v1/metrics?from_day=2025-01-15", otherKey, object{"from_day": "2025-01-15", "to_day": "2025-01-15", "days": []any{
			object{"day": "2025-01-15", "make": day(0, 0, 0), "ai": day(1, 0, 0)},
		}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.tell(as(tt.key, request(http.MethodGet, tt.target, "")))
			if got.code != 200 || !equalJSON(t, got.body, tt.want) {
				t.Errorf("%d %v, want %v", got.code, toJSON(t, got.body), toJSON(t, tt.want))
			}
			plan, month := got.header.Get("X-OnceOnly-Plan"), got.header.Get("X-OnceOnly-Month")
			if tt.headers && (plan != "self-hosted" || month != "2025-01") {
				t.Errorf("plan %q and month %q in the headers", plan, month)
			}
		})
	}
	t.Run("days default to the last 30", func(t *testing.T) {
		got := s.read("/v1/metrics")
		got.want(t, 200, object{"from_day": "2024-12-17", "to_day": "2025-01-15"})
		days, _ := got.body["days"].([]any)
		if len(days) != 30 || days[29].(object)["day"] != "2025-01-15" {
			t.Errorf("%d days: %v", len(days), days)
		}
	})
	t.Run("the longest range", func(t *testing.T) {
		got := s.read("/v1/metrics?from_day=2024-01-16")
		if days, _ := got.body["days"].([]any); got.code != 200 || len(days) != usage.MaxDays {
			t.Errorf("%d with %d days, want %d", got.code, len(days), usage.MaxDays)
		}
	})
}

func TestUsageRefuses(t *testing.T) {
	s, _ := startCounting(t, memory.New())
	for target, field := range map[string]string{
		"/v1/usage?kind=lease":                                 "kind",
		"/v1/usage?kind=":                                      "kind",
		"/v1/usage?kind=ai&kind=ai":                            "kind",
		"/v1/metrics?from_day=yesterday":                       "from_day",
		"/v1/metrics?from_day=":                                "from_day",
		"/v1/metrics?from_day=2025-02-30":                      "from_day",
		"/v1/metrics?from_day=2025-01-15T10:30:00Z":            "from_day",
		"/v1/metrics?to_day=2025-1-15":                         "to_day",
		"/v1/metrics?to_day=0000-01-01":                        "to_day",
		"/v1/metrics?to_day=1969-12-31":                        "to_day",
		"/v1/metrics?to_day=2025-01-15&to_day=2025-01-15":      "to_day",
		"/v1/metrics?from_day=2025-01-16":                      "from_day",
		"/v1/metrics?from_day=2025-01-15&to_day=2025-01-14":    "from_day",
		"/v1/metrics?from_day=2024-01-15&to_day=2025-01-15":    "from_day",
		"/v1/metrics?from_day=1970-01-01&to_day=9999-12-31":    "from_day",
		"/v1/metrics?from_day=secret_of_alice&to_day=20250115": "from_day",
	} {
		got := s.read(target)
		got.want(t, 422, object{"status": "invalid_request"})
		list, _ := got.body["detail"].([]any)
		if len(list) == 0 || !equalJSON(t, list[0].(object)["loc"], []any{"query", field}) && !equalJSON(t, list[len(list)-1].(object)["loc"], []any{"query", field}) {
			t.Errorf("%s: %v, want a problem of %s", target, got.body["detail"], field)
		}
	}
}

// TestUsageNotCounted: zeros would be untrue.
func TestUsageNotCounted(t *testing.T) {
	s := newServer(t)
	s.mustAcquire("k", nil)
	for _, target := range []string{"/v1/usage", "/v1/usage/all", "/v1/metrics"} {
		got := s.read(target)
		got.want(t, 404, object{"status": "usage_not_counted"})
		got.wantDetail(t, object{"error": "usage_not_counted"})
	}
	if _, err := httpserver.New(s.manager, httpserver.WithoutAuth(), httpserver.WithUsage(nil)); err == nil {
		t.Error("WithUsage(nil) was accepted")
	}
}

// TestUsageIsAway: the store hangs, and leases are what they were.
func TestUsageIsAway(t *testing.T) {
	inner := memory.New()
	counts := leasetest.NewStore(inner)
	clock := leasetest.NewClock(t0)
	c := usage.New(counts, usage.WithClock(clock))
	s := setup{store: inner, handler: []httpserver.Option{httpserver.WithUsage(c), httpserver.WithStoreTimeout(100 * time.Millisecond)}}.start(t)
	counts.Cut()
	for i := range 50 { // each would be refused after 100 ms if it waited for the counters
		s.mustAcquire(fmt.Sprintf("k%d", i), nil)
	}
	for _, target := range []string{"/v1/usage", "/v1/usage/all", "/v1/metrics"} {
		s.read(target).want(t, 503, object{"status": "unavailable"})
	}
	counts.Heal()
	if got := s.read("/v1/usage?kind=ai"); got.code != 200 || got.body["usage"] != 50.0 {
		t.Errorf("%d %v, want 50", got.code, got.body)
	}
}

// TestTwoServersCountTogether on one file.
func TestTwoServersCountTogether(t *testing.T) {
	file := filepath.Join(t.TempDir(), "leases.db")
	var servers [2]*server
	var counters [2]*usage.Counters
	for i := range servers {
		store, err := sqlite.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		servers[i], counters[i] = startCounting(t, store)
	}
	for i := range 10 {
		for _, s := range servers { // one acquires and locks, one finds the other
			s.send("lease", object{"key": fmt.Sprintf("k%d", i)})
			s.post("/v1/check-lock", fmt.Sprintf(`{"key":"k%d"}`, i))
		}
	}
	for _, c := range counters {
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range servers {
		got := s.read("/v1/usage/all")
		if got.code != 200 {
			t.Fatalf("%d %v", got.code, got.body)
		}
		reply{got.code, got.header, got.body["ai"].(object)}.want(t, 200, object{"requests_total_month": 20, "charged_total_month": 10, "polling_total_month": 10})
		reply{got.code, got.header, got.body["make"].(object)}.want(t, 200, object{"requests_total_month": 20, "charged_total_month": 10, "blocked_total_month": 10})
	}
}
