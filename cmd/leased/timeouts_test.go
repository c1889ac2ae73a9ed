package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/httpserver"
)

// pipes is a listener without a network, for the clock of a synctest bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// slowly is a body that takes its time.
type slowly struct {
	io.Reader
	takes time.Duration
}

func (s *slowly) Read(b []byte) (int, error) {
	time.Sleep(s.takes)
	s.takes = 0
	return s.Reader.Read(b)
}

// TestASlowStoreIsAnsweredFor, however long it may take: a client must not get an empty answer. A
// body and a wait may come before.
func TestASlowStoreIsAnsweredFor(t *testing.T) {
	const body = 28 * time.Second
	for _, timeout := range []string{"100ms", "4s", "100s", "10m"} {
		synctest.Test(t, func(t *testing.T) {
			store := newScripted()
			c, err := parse([]string{"--no-auth", "--store-timeout", timeout}, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			m, err := c.manager(store, quiet())
			if err != nil {
				t.Fatal(err)
			}
			handler, api, err := c.handler(m, []httpserver.Option{httpserver.WithoutAuth()}, quiet())
			if err != nil {
				t.Fatal(err)
			}
			listener := newPipes()
			server := c.server(handler, quiet())
			served := make(chan error, 1)
			go func() { served <- server.Serve(listener) }()
			client := &http.Client{Transport: &http.Transport{DialContext: listener.dial, DisableKeepAlives: true}}
			ask := func(what string, r *http.Request, wantCode int, least time.Duration) {
				t.Helper()
				began := time.Now()
				res, err := client.Do(r)
				if err != nil {
					t.Errorf("with %s, %s: %v", timeout, what, err)
					return
				}
				defer res.Body.Close()
				var answer map[string]any
				err = json.NewDecoder(res.Body).Decode(&answer)
				if took := time.Since(began); err != nil || res.StatusCode != wantCode || took < least || took > least+time.Second {
					t.Errorf("with %s, %s: after %v %s %v, %v", timeout, what, took, res.Status, answer, err)
				}
			}
			post := func(path, text string, takes time.Duration) *http.Request {
				r, err := http.NewRequest(http.MethodPost, "http://leases"+path, &slowly{strings.NewReader(text), takes})
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				return r
			}
			ask("a lease", post("/v1/ai/lease", `{"key":"k","ttl":86400}`, 0), 200, 0)
			go func() {
				time.Sleep(30 * time.Second)
				store.silent.Store(true)
			}()
			held, err := http.NewRequest(http.MethodGet, "http://leases/v1/ai/status?key=k&wait=60s", nil)
			if err != nil {
				t.Fatal(err)
			}
			ask("a status that is held", held, 503, longestWait+c.storeTimeout)
			ask("a lease after a slow body", post("/v1/ai/lease", `{"key":"l"}`, body), 503, body+c.storeTimeout)
			ask("an extension", post("/v1/ai/extend", `{"key":"k","lease_id":"lease_x"}`, 0), 503, c.storeTimeout)
			api.EndWaits()
			if err := server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := <-served; err != http.ErrServerClosed {
				t.Error(err)
			}
			client.CloseIdleConnections()
		})
	}
}

// TestTheEndIsSoonEnough for service managers, which kill after ten seconds, and late enough for
// the store.
func TestTheEndIsSoonEnough(t *testing.T) {
	for _, d := range []time.Duration{100 * time.Millisecond, 4 * time.Second, 100 * time.Second, 10 * time.Minute} {
		c := config{storeTimeout: d}
		if c.shutdownTimeout() <= bodyGrace+d {
			t.Errorf("with a store timeout of %v the end takes up to %v", d, c.shutdownTimeout())
		}
	}
	c, err := parse(nil, io.Discard)
	if most := c.shutdownTimeout() + logTimeout; err != nil || most > 10*time.Second {
		t.Errorf("with the defaults the end takes up to %v, %v", most, err)
	}
}

// exhausted is a listener that has no file descriptors left for a while.
type exhausted struct {
	*pipes
	errors int
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.errors--; e.errors >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return e.pipes.Accept()
}

// TestAServerThatIsExhaustedIsOneLine: net/http logs each try to accept a connection.
func TestAServerThatIsExhaustedIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		server := new(config).server(http.NotFoundHandler(), slog.New(slog.NewTextHandler(&b, nil)))
		listener := &exhausted{newPipes(), 100}
		served := make(chan error, 1)
		go func() { served <- server.Serve(listener) }()
		time.Sleep(5 * time.Minute)
		server.Close()
		<-served
		if text := b.String(); listener.errors >= 0 || strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, "too many open files") {
			t.Errorf("%d errors are left; logged\n%s", listener.errors, text)
		}
	})
}
