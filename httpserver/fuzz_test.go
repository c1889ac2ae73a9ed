package httpserver_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

var posts = []string{"/v1/ai/lease", "/v1/ai/extend", "/v1/ai/release", "/v1/ai/complete", "/v1/ai/fail", "/v1/ai/cancel", "/v1/check-lock", "/v1/ai/run"}

// FuzzBody sends any bytes to the endpoints that take a body. Every answer has our format, and none
// is a 500.
func FuzzBody(f *testing.F) {
	for i := range posts {
		for _, body := range []string{
			`{"key":"k","ttl":60,"metadata":{"a":[1,null]},"retry_failed":true,"at_most_once":false,"input_hash":"h","nonce":"n","retention":60}`,
			`{"key":"k","input_hash":"h","replace":true}`, `{"key":"k","lease_id":"$ID","checkpoint":{"c":1e400},"checkpoint_seq":18446744073709551615}`,
			`{"key":"k","lease_id":"$ID","ttl":1e9,"result":{"b":"\ud83d\ude00"},"result_hash":"h","error_code":"e","error_hash":"h","reason":"r","retryable":true}`,
			`{"key":"r","metadata":{"task":"t","run_id":"x/y","agent_id":7,"actions":[{"tool":"a","args":{}}]},"run_id":"x/y","delay":0,"within":60,"attempts":3}`,
			`{"agent_id":"a","tool":"t"}`, `{"key":"r","metadata":{"task":"\ud800"},"delay":1e9}`, `{"key":"\u0000","ttl":-0.5,"lease_id":null}`, `{"KEY":"k"}`, `[]`, `{`, ``, "\xff",
		} {
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, endpoint uint8, body string) {
		s := newServer(t)
		id := s.post("/v1/ai/lease", `{"key":"k"}`).body["lease_id"].(string)
		path := posts[int(endpoint)%len(posts)]
		got := s.post(path, strings.ReplaceAll(body, "$ID", id))
		says := "ok"
		if got.code == 200 && path == "/v1/check-lock" {
			says = "success"
		}
		if ok := got.code == 200; got.code >= 500 || got.body[says] != ok {
			t.Errorf("answered %d %v", got.code, got.body)
		}
	})
}

// FuzzQuery does the same to the endpoints that take a query.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"key=k", "key=", "", "key=%zz", "key=a;b", "key=%ff", "key=k&key=l", "x", "key=" + url.QueryEscape("é 💡")} {
		f.Add(false, q)
		f.Add(true, q)
	}
	f.Fuzz(func(t *testing.T, result bool, query string) {
		s := newServer(t)
		s.post("/v1/ai/lease", `{"key":"k"}`)
		r := httptest.NewRequest(http.MethodGet, "/v1/ai/status", nil)
		r.Header.Set("Authorization", "Bearer "+apiKey)
		if result {
			r.URL.Path = "/v1/ai/result"
		}
		r.URL.RawQuery = query
		got := s.do(r)
		if ok := got.code == 200; got.code >= 500 || got.body["ok"] != ok {
			t.Errorf("answered %d %v", got.code, got.body)
		}
	})
}
