package httpserver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestNothingThatFailedItsCheckIsSentBack: a refusal has room for what is wrong, and no more. Each
// field of each endpoint is sent with about a million characters, and keys, TTLs and whole bodies
// as every kind of JSON.
func TestNothingThatFailedItsCheckIsSentBack(t *testing.T) {
	const million = 987_654 // about
	const mostBytes = 2048  // of a refusal
	long := strings.Repeat("<", million)
	fields := []string{"key", "lease_id", "ttl", "metadata", "nonce", "input_hash", "replace", "at_most_once", "retry_failed", "retention",
		"checkpoint", "checkpoint_seq", "result", "result_hash", "error_code", "error_hash", "reason", "retryable",
		"run_id", "agent_id", "tool", "delay", "within", "attempts", "unknown", ""}
	values := []string{`"` + long + `"`, `{"` + long + `":1}`, `["` + long + `"]`, strings.Repeat("[", million), strings.Repeat("9", million),
		"-" + strings.Repeat("9", million), "0." + strings.Repeat("0", million) + "1", long, `"` + strings.Repeat(`\ud800`, million/6) + `"`, `"` + long}
	refused := 0
	check := func(what string, r *http.Request) {
		t.Helper()
		s := newServer(t)
		s.mustAcquire("k", nil)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		if w.Code != 200 {
			refused++
		}
		if body := w.Body.String(); len(body) > mostBytes || strings.Contains(body, "<<<") || strings.Contains(body, "99999") || strings.Contains(body, "00000") {
			t.Errorf("%s: answered %d with %d bytes: %.200s", what, w.Code, len(body), body)
		}
		for name, value := range w.Header() {
			if strings.Contains(fmt.Sprint(value), "<<<") {
				t.Errorf("%s: the header %s is %.100q", what, name, value)
			}
		}
	}
	for i, path := range posts {
		for j, field := range fields {
			for _, value := range []string{values[0], values[(i+j)%len(values)]} {
				body := fmt.Sprintf(`{%q:%s}`, field, value)
				if field != "key" {
					body = fmt.Sprintf(`{"key":"k",%q:%s}`, field, value)
				}
				check(fmt.Sprintf("%s of %s", field, path), request(http.MethodPost, path, body))
			}
		}
	}
	for _, value := range values {
		check("the key of a lease", request(http.MethodPost, "/v1/ai/lease", `{"key":`+value+`}`))
		check("the TTL of a lease", request(http.MethodPost, "/v1/ai/lease", `{"key":"l","ttl":`+value+`}`))
		check("a body", request(http.MethodPost, "/v1/ai/lease", value))
	}
	for _, query := range []string{"key=" + url.QueryEscape(long), "key=k&wait=" + url.QueryEscape(long), "key=%" + url.QueryEscape(long), "key=k&" + url.QueryEscape(long) + "=1"} {
		r := request(http.MethodGet, "/v1/ai/status", "")
		r.URL.RawQuery = query
		check("a query", r)
	}
	for _, name := range []string{"Authorization", "Content-Type", "Content-Encoding", "X-Request-Id", "Origin"} {
		r := request(http.MethodPost, "/v1/ai/lease", `{"key":"`+name+`"}`)
		r.Header.Set(name, long)
		check("the header "+name, r)
	}
	r := request(http.MethodGet, "/v1/ai/status", "")
	r.URL.Path = "/" + long
	check("a path", r)
	r = request(http.MethodGet, "/v1/ai/status", "")
	r.Method = long
	check("a method", r)
	if refused < 250 {
		t.Errorf("only %d requests were refused", refused)
	}
}

// TestWhatWasCheckedIsSentBack: a key that the Manager has taken is named by errors too.
func TestWhatWasCheckedIsSentBack(t *testing.T) {
	s := newServer(t)
	id := s.mustAcquire("k<>", nil)
	s.send("extend", object{"key": "k<>", "lease_id": id + "x"}).want(t, 409, object{"key": "k<>"})
	s.send("lease", object{"key": "k<>", "nonce": strings.Repeat("x", 257)}).want(t, 422, object{"key": absent})
}

// TestAnswersAreNotEscapedForHTML: as an escape, a '<' would have six bytes.
func TestAnswersAreNotEscapedForHTML(t *testing.T) {
	s := newServer(t)
	const text = `<a href="x">&</a>` + "\u2028"
	const quoted = `"<a href=\"x\">&</a>` + "\u2028\""
	acquired := s.post("/v1/ai/lease", `{"key":`+quoted+`,"metadata":{"m":`+quoted+`}}`)
	acquired.want(t, 200, object{"status": "acquired"})
	s.post("/v1/ai/complete", fmt.Sprintf(`{"key":%s,"lease_id":%q,"result":%[1]s}`, quoted, acquired.body["lease_id"])).want(t, 200, nil)
	for _, path := range []string{"/v1/ai/status", "/v1/ai/result"} {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, request(http.MethodGet, path+"?key="+url.QueryEscape(text), ""))
		if body := w.Body.String(); strings.Count(body, `<a href=\"x\">&</a>`) != 2 || strings.Contains(body, `\u00`) {
			t.Errorf("%s: %s", path, body)
		}
	}
}
