package httpserver_test

import (
	"net/http"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/httpserver"
)

// TestWebPagesAreRefusedWithoutAPIKeys: what browsers send for a page of another origin, be it to
// lock a key or to learn one. Programs that are no browsers send none of these headers.
func TestWebPagesAreRefusedWithoutAPIKeys(t *testing.T) {
	alice := lease.WithNamespace("alice")
	open := setup{auth: httpserver.WithoutAuth(), manager: []lease.Option{alice}, handler: []httpserver.Option{httpserver.WithHosts("localhost", "127.0.0.1", "::1")}}
	for _, tt := range []struct {
		name     string
		host     string
		headers  map[string]string
		status   string // of the refusal; "" if it is answered
		withKeys bool   // refused also with API keys
	}{
		{"a program", "127.0.0.1:8080", nil, "", false},
		{"a program that names no port", "localhost", nil, "", false},
		{"a program, in capitals", "LocalHost:80", nil, "", false},
		{"a program, by IPv6", "[::1]:8080", nil, "", false},
		{"a program, by IPv6 without a port", "[::1]", nil, "", false},
		{"an address that somebody typed", "localhost:8080", map[string]string{"Sec-Fetch-Site": "none"}, "", false},
		{"a page of this server", "localhost:8080", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8080"}, "", false},
		{"a page of this server, by an old browser", "localhost:8080", map[string]string{"Origin": "http://localhost:8080"}, "", false},
		{"a page of another site", "localhost:8080", map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, "cross_origin", false},
		{"a page of another site, with a link", "localhost:8080", map[string]string{"Sec-Fetch-Site": "cross-site"}, "cross_origin", false},
		{"a page of another port", "localhost:8080", map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, "cross_origin", false},
		{"a page of another site, by an old browser", "localhost:8080", map[string]string{"Origin": "https://evil.example"}, "cross_origin", false},
		{"a page of another port, by an old browser", "localhost:8080", map[string]string{"Origin": "http://localhost:3000"}, "cross_origin", false},
		{"a page in a sandbox", "localhost:8080", map[string]string{"Origin": "null"}, "cross_origin", false},
		{"a page whose name was made to point here", "evil.example:8080", map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example:8080"}, "foreign_host", true},
		{"the same, by an old browser", "evil.example", nil, "foreign_host", true},
		{"a name that begins like ours", "localhost.evil.example", nil, "foreign_host", true},
		{"another address", "10.0.0.7:8080", nil, "foreign_host", true},
		{"no host", "", nil, "foreign_host", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ask := func(s *server, method, target, body string) reply {
				r := request(method, target, body)
				r.Host = tt.host
				for name, value := range tt.headers {
					r.Header.Set(name, value)
				}
				return s.do(r)
			}
			for _, path := range []string{"/v1/ai/lease", "/v1/check-lock", "/v1/ai/nothing"} {
				s := open.start(t)
				got := ask(s, http.MethodPost, path, `{"key":"k"}`)
				read := ask(s, http.MethodGet, "/v1/ai/status?key=k", "")
				if tt.status == "" {
					if got.code == 403 || read.code != 200 {
						t.Errorf("%s: %d %v, %d", path, got.code, got.body, read.code)
					}
					continue
				}
				got.want(t, 403, object{"ok": false, "status": tt.status, "key": absent})
				read.want(t, 403, object{"ok": false, "status": tt.status})
				if l, err := s.manager.Status(t.Context(), "k"); err != nil || l.State != lease.StateNotFound {
					t.Errorf("the lease is %v, %v", l.State, err)
				}
				if _, locked, err := s.manager.CheckLock(t.Context(), "k", nil); err != nil || !locked {
					t.Errorf("the key was locked, %v", err)
				}
			}
			withKeys := setup{handler: open.handler}.start(t)
			got := ask(withKeys, http.MethodPost, "/v1/ai/lease", `{"key":"k"}`)
			if refused := got.code == 403; refused != tt.withKeys {
				t.Errorf("with an API key: %d %v", got.code, got.body)
			}
		})
	}
}
