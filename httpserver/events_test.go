package httpserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/httpserver"
	"github.com/ailease/lease/timeline"
)

// TestEventsThatAreRefused: the answer names the field, and the limit if there is one. Nothing is
// added, and nothing that was sent is sent back.
func TestEventsThatAreRefused(t *testing.T) {
	const canary = "c4n4ry"
	long := func(n int) string { return canary + strings.Repeat("x", n-len(canary)) }
	s := startStory(t, memory.New())
	for _, tt := range []struct {
		name, body string
		code       int
		says       []string
	}{
		{"no run id and no type", `{}`, 422, []string{`"loc":["body","run_id"]`, `"loc":["body","type"]`, `"type":"missing"`}},
		{"null for both", `{"run_id":null,"type":null}`, 422, []string{`"loc":["body","run_id"]`, `"loc":["body","type"]`}},
		{"an empty run id", `{"run_id":"","type":"note"}`, 422, []string{`"run_id"`, "0 bytes, must be from 1 to 1274"}},
		{"a long run id", `{"run_id":"` + long(1275) + `","type":"note"}`, 422, []string{`"run_id"`, "1275 bytes, must be from 1 to 1274"}},
		{"a run id that is no text", `{"run_id":7,"type":"note"}`, 422, []string{`"run_id"`, "string_type"}},
		{"half a character", `{"run_id":"\ud800","type":"note"}`, 422, []string{`"run_id"`, "surrogate"}},
		{"half a character in a name", `{"run_id":"r","type":"note","\ud800":1}`, 422, []string{"surrogate"}},
		{"an empty type", `{"run_id":"r","type":""}`, 422, []string{`"type"`, "0 bytes"}},
		{"a long type", `{"run_id":"r","type":"` + long(257) + `"}`, 422, []string{`"loc":["body","type"]`, "257 bytes, limit 256"}},
		{"a long status", `{"run_id":"r","type":"note","status":"` + long(257) + `"}`, 422, []string{`"status"`, "257 bytes, limit 256"}},
		{"a status that is no text", `{"run_id":"r","type":"note","status":200}`, 422, []string{`"status"`, "string_type"}},
		{"a long agent id", `{"run_id":"r","type":"note","agent_id":"` + long(257) + `"}`, 422, []string{`"agent_id"`, "257 bytes, limit 256"}},
		{"a time that is none", `{"run_id":"r","type":"note","ts":"` + canary + `"}`, 422, []string{`"ts"`, "RFC 3339"}},
		{"a time before 1970", `{"run_id":"r","type":"note","ts":-1}`, 422, []string{`"ts"`, "from 1970"}},
		{"a time in year 10000", `{"run_id":"r","type":"note","ts":253402300800}`, 422, []string{`"ts"`, "to 9999"}},
		{"a time without end", `{"run_id":"r","type":"note","ts":1e999}`, 422, []string{"64-bit"}},
		{"a time that is a list", `{"run_id":"r","type":"note","ts":[1]}`, 422, []string{`"ts"`}},
		{"a run id twice", `{"run_id":"r","type":"note","run_\u0069d":"r"}`, 422, []string{`"loc":["body","run_id"]`, "more than once"}},
		{"another field twice", `{"run_id":"r","type":"note","` + canary + `":1,"` + canary + `":1}`, 422, []string{`"loc":["body"]`, "more than once"}},
		{"a key, and no object to keep it in", `{"run_id":"r","type":"note","key":"k","data":[1]}`, 422, []string{`"data"`, "valid object"}},
		{"a key, and another in data", `{"run_id":"r","type":"note","key":"k","data":{"key":"` + canary + `"}}`, 422, []string{`"loc":["body","key"]`, "more than once"}},
		{"too deep", `{"run_id":"r","type":"note","data":` + strings.Repeat("[", 256) + strings.Repeat("]", 256) + `}`, 422, []string{"257 arrays and objects", "limit 256"}},
		{"a number too large", `{"run_id":"r","type":"note","data":[{"a":-1.5E+400}]}`, 422, []string{"a number of 9 bytes", "64-bit"}},
		{"an entry too large", `{"run_id":"r","type":"note","data":"` + long(65536) + `"}`, 422, []string{`"loc":["body","entry"]`, "limit 65536"}},
		{"a body too large", `{"run_id":"r","type":"note","data":"` + long(131072) + `"}`, 413, []string{"too_large", "131072 bytes"}},
		{"a list", `[]`, 422, []string{"valid JSON object"}},
		{"nothing", `null`, 422, []string{"valid JSON object"}},
		{"no JSON", `{"run_id":`, 422, []string{"json_invalid"}},
	} {
		a := s.ask(apiKey, "POST", "/v1/events", tt.body)
		if a.code != tt.code || strings.Contains(a.text, canary) || len(a.text) > 1000 || slices.ContainsFunc(tt.says, func(say string) bool { return !strings.Contains(a.text, say) }) {
			t.Errorf("%s: answered %d %.1000s, want %d and %q", tt.name, a.code, a.text, tt.code, tt.says)
		}
	}
	s.ask(apiKey, "GET", "/v1/events", "").is(200, []any{})
}

// TestEventsThatAreJustTaken are those at the limits.
func TestEventsThatAreJustTaken(t *testing.T) {
	s := startStory(t, memory.New())
	for i, fields := range []string{
		`"ts":0`, `"ts":253402300799`, `"ts":"9999-12-31T23:59:59Z"`, `"ts":null,"status":null,"agent_id":null,"lease_id":null,"key":null,"data":null`,
		`"data":` + strings.Repeat("[", 255) + strings.Repeat("]", 255), `"data":"` + strings.Repeat("x", 65400) + `"`,
		`"status":"` + strings.Repeat("x", 256) + `"`, ` "a" : [ 1 , "\ud800" ] , "b":"}" `, `"\u0061\"":[1e308,-0,-1.5E-400]`, `"":""`, `"lease_id":{}`,
	} {
		id := fmt.Sprintf("run_%d", i)
		s.ask(apiKey, "POST", "/v1/events", fmt.Sprintf(`{"run_id":%q,"type":"note",%s}`, id, fields)).is(200, nil)
		if got := s.ask(apiKey, "GET", "/v1/runs/"+id, "").list("events"); len(got) != 1 || got[0]["type"] != "note" {
			t.Errorf("%.100s: %.1000v", fields, got)
		}
	}
}

func TestPagesThatAreRefused(t *testing.T) {
	s := startStory(t, memory.New())
	longID := strings.Repeat("x", 1275)
	for _, tt := range []struct {
		path string
		says []string
	}{
		{"/v1/events?limit=0", []string{`"loc":["query","limit"]`, "greater than or equal to 1"}},
		{"/v1/events?limit=501", []string{`"loc":["query","limit"]`, "less than or equal to 500"}},
		{"/v1/events?limit=99999999999999999999", []string{"less than or equal to 500"}},
		{"/v1/events?limit=x&offset=1.5", []string{`"loc":["query","limit"]`, `"loc":["query","offset"]`, "valid integer"}},
		{"/v1/events?limit=", []string{"valid integer"}},
		{"/v1/events?limit=1&limit=1", []string{"more than once"}},
		{"/v1/events?offset=10001", []string{`"loc":["query","offset"]`, "less than or equal to 10000"}},
		{"/v1/runs?limit=501", []string{"less than or equal to 500"}},
		{"/v1/runs?offset=-1", []string{"greater than or equal to 0"}},
		{"/v1/runs?offset=2147483648", []string{"less than or equal to 2147483647"}},
		{"/v1/runs?q=%ff", []string{`"loc":["query","q"]`, "UTF-8"}},
		{"/v1/runs?q=" + strings.Repeat("x", 1281), []string{`"loc":["query","q"]`, "up to 1280 bytes: it has 1281"}},
		{"/v1/runs?q=a&q=b", []string{`"loc":["query","q"]`, "more than once"}},
		{"/v1/runs?q=%zz", []string{"not URL-encoded"}},
		{"/v1/runs/r?limit=2001", []string{"less than or equal to 2000"}},
		{"/v1/runs/r?limit=0", []string{"greater than or equal to 1"}},
		{"/v1/runs/r?offset=-1", []string{"greater than or equal to 0"}},
		{"/v1/runs/%ff", []string{`"loc":["path","run_id"]`, "not valid UTF-8"}},
		{"/v1/runs/" + longID, []string{`"loc":["path","run_id"]`, "1275 bytes, must be from 1 to 1274"}},
	} {
		a := s.ask(apiKey, "GET", tt.path, "")
		if a.code != 422 || strings.Contains(a.text, "xxx") || slices.ContainsFunc(tt.says, func(say string) bool { return !strings.Contains(a.text, say) }) {
			t.Errorf("%.50s: answered %d %.1000s, want %q", tt.path, a.code, a.text, tt.says)
		}
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"PUT", "/v1/events", "GET, HEAD, POST"}, {"POST", "/v1/runs", "GET, HEAD"}, {"DELETE", "/v1/runs/r", "GET, HEAD"},
	} {
		if a := s.ask(apiKey, tt.method, tt.path, ""); a.code != 405 || a.head.Get("Allow") != tt.allow {
			t.Errorf("%s: %d, allow %q, want %q", a.what, a.code, a.head.Get("Allow"), tt.allow)
		}
	}
	s.ask("", "GET", "/v1/runs/r", "").is(401, nil)
	if res, err := http.Head(s.url + "/v1/runs/r"); err != nil || res.StatusCode != 401 || res.Body.Close() != nil {
		t.Errorf("%v, error %v", res, err)
	}
}

func TestWithoutTimelines(t *testing.T) {
	s := newServer(t)
	for _, r := range []*http.Request{
		request("GET", "/v1/events", ""), request("POST", "/v1/events", `{"run_id":"r","type":"note"}`), request("GET", "/v1/runs", ""), request("GET", "/v1/runs/r", ""),
	} {
		s.do(r).want(t, 404, object{"ok": false, "status": "no_such_endpoint"})
	}
	if _, err := httpserver.New(s.manager, httpserver.WithoutAuth(), httpserver.WithTimeline(nil)); err == nil || !strings.Contains(err.Error(), "timeline: must not be nil") {
		t.Errorf("error %v", err)
	}
}

func TestEventsAreLimitedInRate(t *testing.T) {
	s := startStory(t, memory.New(), httpserver.WithRateLimit(1e-6, 1))
	s.ask(apiKey, "GET", "/v1/runs", "").is(200, nil)
	if a := s.ask(apiKey, "POST", "/v1/events", `{"run_id":"r","type":"note"}`); a.code != 429 || a.head.Get("Retry-After") == "" {
		t.Errorf("answered %d %s", a.code, a.text)
	}
}

// TestNoSecretIsInATimeline: neither a lease id, nor a result, nor an API key, nor what a lease
// carries, is in any answer about timelines.
func TestNoSecretIsInATimeline(t *testing.T) {
	onStores(t, "memory sqlite", func(t *testing.T, s *storyteller) {
		secrets := []string{"c4n4ry", apiKey, otherKey}
		with := object{"metadata": object{"run_id": "r", "note": "c4n4ry"}, "nonce": "c4n4ry", "input_hash": "c4n4ry"}
		for i, end := range []object{
			{"result": object{"a": "c4n4ry"}, "result_hash": "c4n4ry"}, {"error_code": "e", "error_hash": "c4n4ry"}, {}, {},
		} {
			key := fmt.Sprintf("k%d", i)
			id := s.mustAcquire(key, with)
			secrets = append(secrets, id)
			s.send("extend", object{"key": key, "lease_id": id, "checkpoint": "c4n4ry"}).want(t, 200, nil)
			s.event(object{"run_id": "r", "type": "note", "lease_id": id, "data": object{"i": i}}).is(200, nil)
			end["key"], end["lease_id"] = key, id
			s.send([]string{"complete", "fail", "release", "cancel"}[i], end).want(t, 200, nil)
		}
		s.post("/v1/check-lock", `{"key":"l","nonce":"c4n4ry","metadata":{"run_id":"r","note":"c4n4ry"}}`).want(t, 200, nil)
		var all strings.Builder
		for _, path := range []string{"/v1/events?limit=500", "/v1/runs?limit=500", "/v1/runs/r?limit=2000", "/v1/runs/c4n4r%79?limit=0", "/v1/events?offset=c4n4ry"} {
			for _, key := range []string{apiKey, otherKey} {
				all.WriteString(s.ask(key, "GET", path, "").text)
			}
		}
		for _, secret := range secrets {
			if i := strings.Index(all.String(), secret); i >= 0 {
				t.Errorf("a secret is told: %.200s", all.String()[max(0, i-100):])
			}
		}
		if n := len(s.ask(apiKey, "GET", "/v1/runs/r", "").list("events")); n != 17 || len(secrets) != 7 {
			t.Errorf("%d entries, %d secrets", n, len(secrets))
		}
	})
}

// FuzzEvent posts any bytes as an event, and reads the timeline at any path with any query. No
// answer is a 500, and what was taken can be read.
func FuzzEvent(f *testing.F) {
	for _, body := range []string{
		`{"run_id":"r","type":"t","ts":1711871400.5,"status":"s","data":{"a":[1,{"b":"}"}]},"x":null}`, `{"run_id":"r","type":"t","key":"k","data":{"\u006bey":1}}`,
		` { "run_id" : "r" , "type":"\ud83d\ude00","ts":"2025-01-15T10:30:00+01:00" , "\"":"\\" } `, `{"run_id":"r/é %","type":"t","event":{},"namespace":[]}`,
		`{"run_id":"r","type":"t","step":1,"step":2}`, `{"run_id":"r","type":"t","lease_id":"l","data":[]}`, `{}`, `[]`, `{`, "\xff", `null`,
	} {
		f.Add(body, "r", "limit=10&offset=0&q=r")
	}
	for _, path := range []string{"", "a%2Fb", "%", "%zz", "%ff", "a/b", "..", "%2e%2e", "r%20x%2Fy", "%00", strings.Repeat("x", 1300)} {
		f.Add(`{"run_id":"r","type":"t"}`, path, "limit=-1&offset=99999999999999999999")
	}
	f.Fuzz(func(t *testing.T, body, path, query string) {
		story, err := timeline.New(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		s := newServer(t, httpserver.WithTimeline(story))
		ask := func(r *http.Request) asked {
			t.Helper()
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			a := asked{t: t, what: r.Method + " " + r.URL.String(), code: w.Code, head: w.Header(), text: w.Body.String()}
			if a.code >= 500 {
				t.Errorf("%s: answered %d %s", a.what, a.code, a.text)
			}
			a.decode()
			return a
		}
		posted := ask(request("POST", "/v1/events", body))
		r := request("GET", "/v1/runs", "")
		if u, err := url.Parse("/v1/runs/" + path); err == nil {
			r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
		}
		r.URL.RawQuery = query
		ask(r)
		r = request("GET", "/v1/events", "")
		r.URL.RawQuery = query
		ask(r)
		if posted.code != 200 {
			return
		}
		id := posted.body.(object)["run_id"].(string)
		events := ask(request("GET", "/v1/runs/"+url.PathEscape(id), "")).list("events")
		if len(events) != 1 || events[0]["run_id"] != id || events[0]["event_id"] != posted.body.(object)["event_id"] {
			t.Errorf("posted %s, and read %v", body, events)
		}
	})
}

// TestReadersOfTimelinesWaitForEachOther: a page is in memory for a moment, and so few are read at
// a time. Nobody else waits for them.
func TestReadersOfTimelinesWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turns = 2 // of 16 MiB each
		store := &slowJournal{Store: memory.New(), opened: make(chan struct{}), began: make(chan struct{}, 100)}
		story, err := timeline.New(store)
		if err != nil {
			t.Fatal(err)
		}
		s := setup{store: store, ordinary: true, handler: []httpserver.Option{httpserver.WithTimeline(story), httpserver.WithMaxHeldBytes(turns * 16 << 20)}}.start(t)
		codes := make(chan int, 100)
		for range 10 {
			for _, path := range []string{"/v1/events", "/v1/runs/r"} {
				go func() {
					w := httptest.NewRecorder()
					s.handler.ServeHTTP(w, request("GET", path, ""))
					codes <- w.Code
				}()
			}
		}
		synctest.Wait()
		if n := len(store.began); n != turns {
			t.Errorf("%d pages are read, want %d", n, turns)
		}
		s.mustAcquire("k", nil)
		s.get("/v1/ai/status", "k").want(t, 200, object{"status": "in_progress"})
		s.tells(request("POST", "/v1/events", `{"run_id":"r","type":"note"}`), 200)
		close(store.opened)
		for range 20 {
			if code := <-codes; code != 200 {
				t.Errorf("answered %d", code)
			}
		}
	})
}
