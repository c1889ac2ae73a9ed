package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/internal/natstest"
)

// TestShutdown: a request that is under way when leased is told to end is answered.
func TestShutdown(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth")
	body, send := io.Pipe()
	r, err := http.NewRequest(http.MethodPost, d.url+"/v1/ai/lease", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Expect", "100-continue") // the body is sent once the handler reads it
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	answered := make(chan error, 1)
	go func() {
		res, err := client.Do(r)
		if err == nil {
			res.Body.Close()
			if res.StatusCode != 200 {
				err = fmt.Errorf("answered %s", res.Status)
			}
		}
		answered <- err
	}()
	io.WriteString(send, `{"key":`) // returns when the body is read: the request is under way
	stopped := make(chan error, 1)
	go func() { stopped <- d.stop() }()
	for !strings.Contains(d.log.String(), "shutting down") {
		time.Sleep(time.Millisecond)
	}
	io.WriteString(send, `"k"}`)
	send.Close()
	if err := <-answered; err != nil {
		t.Errorf("the request: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("leased: %v", err)
	}
}

// TestShutdownAnswersWhatIsHeld: a status request that is held does not delay the shutdown.
func TestShutdownAnswersWhatIsHeld(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:")
	if code, a := d.ask(t, "", "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "acquired" {
		t.Fatalf("%d %v", code, a)
	}
	answered := make(chan string, 1)
	go func() {
		res, err := http.Get(d.url + "/v1/ai/status?key=k&wait=60s")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answered <- fmt.Sprint(string(body), err)
	}()
	natstest.Eventually(t, "the request is held", func() bool {
		var stacks strings.Builder
		pprof.Lookup("goroutine").WriteTo(&stacks, 1)
		return strings.Contains(stacks.String(), "lease.(*Manager).Wait")
	})
	began := time.Now()
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if a := <-answered; !strings.Contains(a, `"status":"in_progress"`) {
		t.Error(a)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the shutdown took %v", took)
	}
}

// TestTheLastEventsAreLogged, although the log is slower than the requests.
func TestTheLastEventsAreLogged(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemonLogging(t, &output{slow: 2 * time.Millisecond}, "--no-auth", "--backend", "memory:")
	const leases = 50
	for i := range leases {
		key := fmt.Sprintf("k%d", i)
		_, a := d.ask(t, "", "POST", "/v1/ai/lease", fmt.Sprintf(`{"key":%q}`, key))
		if code, a := d.ask(t, "", "POST", "/v1/ai/release", fmt.Sprintf(`{"key":%q,"lease_id":%q}`, key, a["lease_id"])); code != 200 || a["status"] != "released" {
			t.Fatalf("%d %v", code, a)
		}
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(d.log.String(), `msg="lease: released"`); n != leases {
		t.Errorf("%d of %d events were logged:\n%s", n, leases, d.log)
	}
}

// stackOf tells whether there is a goroutine with all of the functions on its stack.
func stackOf(functions ...string) bool {
	var stacks strings.Builder
	pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		if !slices.ContainsFunc(functions, func(f string) bool { return !strings.Contains(stack, f) }) {
			return true
		}
	}
	return false
}

const (
	shutdownKey             = "test_key_of_shutdown"
	bearer, isJSON, nothing = "Authorization: Bearer " + shutdownKey, "Content-Type: application/json", "Content-Length: 100"
)

func head(method, path string, headers ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: leases\r\n%s\r\n", method, path, strings.Join(append(headers, ""), "\r\n"))
}

// dial sends text over a connection of its own, as far as the daemon takes it.
func (d *daemon) dial(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.(*net.TCPConn).SetReadBuffer(4096)
	go io.WriteString(conn, text)
	return conn
}

// TestNobodyWithoutAnAPIKeyIsWaitedFor: the daemon ends the connection by itself, long before it is
// told to end, and before it gives up those who have sent no request.
func TestNobodyWithoutAnAPIKeyIsWaitedFor(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv(apiKeyVariable, shutdownKey)
	d := startDaemon(t, "--backend", "memory:")
	const noRequest = "no HTTP"
	texts := map[string]string{
		"a body that is never sent":                             head("POST", "/v1/ai/lease", isJSON, nothing),
		"half of a body":                                        head("POST", "/v1/ai/lease", isJSON, nothing) + `{"key":`,
		"a body in chunks that is never sent":                   head("POST", "/v1/ai/lease", isJSON, "Transfer-Encoding: chunked"),
		"a body that waits to be asked for":                     head("POST", "/v1/ai/lease", isJSON, nothing, "Expect: 100-continue"),
		"a body of a health check that is never sent":           head("GET", "/healthz", nothing),
		"a body of no health check that is never sent":          head("PUT", "/healthz", nothing),
		"a body for an unknown path that is never sent":         head("PUT", "/", nothing),
		"many requests, of which no answer is read for a while": strings.Repeat(head("GET", "/v1/ai/status?key=k"), 10_000),
		noRequest: strings.Repeat("\x16\x03\x01", 1000),
	}
	ended := make(chan string, len(texts))
	for name, text := range texts {
		conn := d.dial(t, text)
		go func() {
			answer, err := io.ReadAll(conn)
			if n := strings.Count(string(answer), "HTTP/1.1 "); n != 1 {
				t.Errorf("%s: %d answers, %v", name, n, err)
			}
			ended <- name
		}()
	}
	for i := range len(texts) {
		if name := <-ended; (name == noRequest) != (i == len(texts)-1) {
			t.Errorf("%s was ended as number %d of %d", name, i+1, len(texts))
		}
	}
	half := d.dial(t, "POST /v1/ai/lease HTTP/1.1\r\nHost: le")
	second := d.dial(t, head("GET", "/healthz")+"POST /v1/ai/lease HTTP/1.1\r\nHost: le")
	if _, err := io.ReadFull(second, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := d.stop(); err != nil {
		t.Errorf("leased: %v", err)
	}
	half.Close()
}

// TestNobodyWithAnAPIKeySpoilsTheShutdown: not by a body that is never sent, nor by answers that
// are never read. Others are answered meanwhile.
func TestNobodyWithAnAPIKeySpoilsTheShutdown(t *testing.T) {
	inEmptyFolder(t)
	t.Setenv(apiKeyVariable, shutdownKey)
	d := startDaemon(t, "--backend", "memory:", "--store-timeout", "100ms")
	_, a := d.ask(t, shutdownKey, "POST", "/v1/ai/lease", `{"key":"large"}`)
	if code, a := d.ask(t, shutdownKey, "POST", "/v1/ai/complete", fmt.Sprintf(`{"key":"large","lease_id":%q,"result":%q}`, a["lease_id"], strings.Repeat("x", 256<<10-2))); code != 200 {
		t.Fatalf("%d %v", code, a)
	}
	d.dial(t, head("POST", "/v1/ai/lease", bearer, isJSON, nothing)+`{"key":`)
	natstest.Eventually(t, "a body is waited for", func() bool { return stackOf("httpserver.(*call).readAll", "waitRead") })
	d.dial(t, strings.Repeat(head("GET", "/v1/ai/result?key=large", bearer), 100))
	natstest.Eventually(t, "a large answer is not read", func() bool { return stackOf("httpserver.(*call).answer", "waitWrite") })
	if err := d.stop(); err != nil {
		t.Errorf("leased: %v", err)
	}
}

// tight is a listener whose connections send little ahead of what their clients read.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		conn.(*net.TCPConn).SetWriteBuffer(4096)
	}
	return conn, err
}

// TestSmallAnswersThatAreNotReadEnd with the end: no handler is left that could give them up.
func TestSmallAnswersThatAreNotReadEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := newEnding(tight{l})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%01000d", 0) })}
	served := make(chan error, 1)
	go func() { served <- server.Serve(conns) }()
	d := &daemon{url: "http://" + l.Addr().String()}
	d.dial(t, strings.Repeat(head("GET", "/"), 1000))
	natstest.Eventually(t, "an answer is not read", func() bool { return stackOf("net/http.(*response).finishRequest", "waitWrite") })
	now := time.Now()
	conns.end(now, now)
	if err := server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != http.ErrServerClosed {
		t.Error(err)
	}
}

// TestADeadlineOfTheEndIsNotExtended: a server sets new deadlines for each request.
func TestADeadlineOfTheEndIsNotExtended(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := newEnding(l)
	defer e.Close()
	connect := func() net.Conn {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		conn, err := e.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	timesOut := func(what string, conn net.Conn) {
		t.Helper()
		if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
			t.Errorf("%s: a read ends with %v", what, err)
		}
		if _, err := conn.Write([]byte("x")); !os.IsTimeout(err) {
			t.Errorf("%s: a write ends with %v", what, err)
		}
	}
	before := connect()
	past := time.Now().Add(-time.Second)
	e.end(past, past)
	after := connect()
	for what, conn := range map[string]net.Conn{"a connection from before the end": before, "one from after it": after} {
		timesOut(what, conn)
		conn.SetDeadline(time.Now().Add(time.Hour))
		timesOut(what+", with a later deadline", conn)
		conn.SetReadDeadline(time.Time{})
		conn.SetWriteDeadline(time.Time{})
		timesOut(what+", without one", conn)
	}
	e.end(time.Now().Add(time.Hour), time.Now().Add(time.Hour))
	before.SetDeadline(past)
	timesOut("an earlier deadline of its own", before)
	for _, conn := range []net.Conn{before, after} {
		conn.Close()
	}
	if len(e.conns) != 0 {
		t.Errorf("%d closed connections are kept", len(e.conns))
	}
}
