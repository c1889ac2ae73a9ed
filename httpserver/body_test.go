package httpserver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// raw sends text over a connection of its own to a server, and returns what comes back until the
// server closes the connection.
func raw(t *testing.T, server *httptest.Server, text string) (answers []*http.Response, bodies []object) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	for from := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(from, nil)
		if err != nil {
			if os.IsTimeout(err) {
				t.Error("the connection is not closed after 20 seconds")
			}
			return answers, bodies
		}
		var body object
		if res.StatusCode != http.StatusContinue {
			if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
		}
		answers, bodies = append(answers, res), append(bodies, body)
	}
}

func head(method, path string, headers ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: leases\r\n%s\r\n", method, path, strings.Join(append(headers, ""), "\r\n"))
}

const bearer, isJSON = "Authorization: Bearer " + apiKey, "Content-Type: application/json"

// TestARefusalClosesAtOnce: no answer waits for the body of a request that was refused without it,
// neither does the connection, and so neither does a shutdown. The server's own timeouts are
// minutes. A 100 before the answer would have the client send the body.
func TestARefusalClosesAtOnce(t *testing.T) {
	s := newServer(t)
	server := httptest.NewUnstartedServer(s.handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 10*time.Minute, 10*time.Minute
	server.Start()
	defer server.Close()
	const never, tooLarge = "Content-Length: 100", "Content-Length: 100000000"
	for _, tt := range []struct {
		name, request string
		code          int
		status        string
	}{
		{"no API key", head("POST", "/v1/ai/lease", isJSON, never), 401, "unauthorized"},
		{"no API key, in chunks", head("POST", "/v1/ai/lease", isJSON, "Transfer-Encoding: chunked"), 401, "unauthorized"},
		{"no API key, with a read", head("GET", "/v1/ai/status?key=k", never), 401, "unauthorized"},
		{"no API key, and half of the body", head("POST", "/v1/ai/lease", isJSON, never) + `{"key":`, 401, "unauthorized"},
		{"no API key, waiting to be told to go on", head("POST", "/v1/ai/lease", isJSON, never, "Expect: 100-continue"), 401, "unauthorized"},
		{"no API key, and no body", head("GET", "/v1/ai/status?key=k"), 401, "unauthorized"},
		{"a wrong API key", head("POST", "/v1/ai/lease", "Authorization: Bearer wrong_key", isJSON, never), 403, "forbidden"},
		{"two API keys", head("POST", "/v1/ai/lease", bearer, bearer, isJSON, never), 422, "invalid_request"},
		{"an unknown path", head("POST", "/v1/ai/nothing", bearer, isJSON, never), 404, "no_such_endpoint"},
		{"a wrong method", head("PUT", "/v1/ai/lease", bearer, isJSON, never), 405, "method_not_allowed"},
		{"no JSON", head("POST", "/v1/ai/lease", bearer, "Content-Type: text/plain", never), 415, "unsupported_media_type"},
		{"a compressed body", head("POST", "/v1/ai/lease", bearer, isJSON, "Content-Encoding: gzip", never), 415, "unsupported_media_type"},
		{"a body announced too large", head("POST", "/v1/ai/lease", bearer, isJSON, tooLarge), 413, "too_large"},
		{"a body announced too large, waiting to be told to go on", head("POST", "/v1/ai/lease", bearer, isJSON, tooLarge, "Expect: 100-continue"), 413, "too_large"},
		{"a read with a body", head("GET", "/v1/ai/status?key=k", bearer, never), 200, "not_found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers, bodies := raw(t, server, tt.request)
			if len(answers) != 1 || answers[0].StatusCode != tt.code || bodies[0]["status"] != tt.status || !answers[0].Close {
				t.Errorf("answered %v %v, want just %d %s, and the end", answers, bodies, tt.code, tt.status)
			}
		})
	}
}

// TestOneWithoutAnAPIKeyGetsOneAnswer, however many requests it sends without reading.
func TestOneWithoutAnAPIKeyGetsOneAnswer(t *testing.T) {
	server := httptest.NewServer(newServer(t).handler)
	defer server.Close()
	answers, _ := raw(t, server, strings.Repeat(head("GET", "/v1/ai/status?key=k"), 20))
	if len(answers) != 1 || answers[0].StatusCode != 401 {
		t.Errorf("answered %v", answers)
	}
}

func TestABodyThatDoesNotComeInTime(t *testing.T) {
	s := newServer(t)
	server := httptest.NewUnstartedServer(s.handler)
	server.Config.ReadTimeout = 50 * time.Millisecond
	server.Start()
	defer server.Close()
	for _, begun := range []string{"", `{"key":"k"`} {
		for _, length := range []string{"Content-Length: 100", "Transfer-Encoding: chunked"} {
			if length[0] == 'T' && begun != "" {
				begun = fmt.Sprintf("%x\r\n%s\r\n", len(begun), begun)
			}
			answers, bodies := raw(t, server, head("POST", "/v1/ai/lease", bearer, isJSON, length)+begun)
			if len(answers) != 1 || answers[0].StatusCode != 408 || bodies[0]["status"] != "request_timeout" || !answers[0].Close {
				t.Errorf("%s, after %q: answered %v %v", length, begun, answers, bodies)
			}
		}
	}
	s.get("/v1/ai/status", "k").want(t, 200, object{"status": "not_found"})
}

// TestAConnectionIsKept after an answer to a request that was read.
func TestAConnectionIsKept(t *testing.T) {
	server := httptest.NewServer(newServer(t).handler)
	defer server.Close()
	lease := func(body string, more ...string) string {
		return head("POST", "/v1/ai/lease", append(more, bearer, isJSON, fmt.Sprintf("Content-Length: %d", len(body)))...) + body
	}
	answers, _ := raw(t, server, lease(`{"key":"k"}`)+lease(`{"key":""}`)+lease(`{`)+lease(`{"key":"k"}`, "Content-Encoding: identity")+
		head("GET", "/v1/ai/status?key=k", bearer)+head("GET", "/v1/ai/nothing", bearer)+head("GET", "/v1/ai/status?key=k", bearer, "Connection: close"))
	var codes []int
	for _, a := range answers {
		codes = append(codes, a.StatusCode)
	}
	if want := "[200 422 422 200 200 404 200]"; fmt.Sprint(codes) != want {
		t.Errorf("answered %v, want %s", codes, want)
	}
}

// TestTwoSlashes: a base URL that ends with a slash makes two of the first one.
func TestTwoSlashes(t *testing.T) {
	s := newServer(t)
	server := httptest.NewServer(s.handler)
	defer server.Close()
	for _, path := range []string{"//v1/ai/lease", "///v1/ai/lease"} {
		body := fmt.Sprintf(`{"key":%q}`, path)
		answers, bodies := raw(t, server, head("POST", path, bearer, isJSON, "Connection: close", fmt.Sprintf("Content-Length: %d", len(body)))+body)
		if len(answers) != 1 || answers[0].StatusCode != 200 || bodies[0]["status"] != "acquired" {
			t.Errorf("%s: %v %v", path, answers, bodies)
		}
	}
	s.post("/v1//ai/lease", `{"key":"k"}`).want(t, 404, object{"status": "no_such_endpoint"})
}
