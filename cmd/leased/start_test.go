package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/backends/memory"
)

// scripted is a store whose opening, reads and writes a test decides. It is "scripted:" in a URL.
type scripted struct {
	*memory.Store
	opening func() error
	full    atomic.Bool // then it reads, and takes no writes
	silent  atomic.Bool // then it does not answer
	away    atomic.Bool // then it cannot be reached
	cut     atomic.Bool // then the outcome of writes is unknown
	gets    atomic.Int64
	sets    atomic.Int64
}

var current atomic.Pointer[scripted]

func init() {
	backends.Register("scripted", func(context.Context, *url.URL) (backends.Store, error) {
		s := current.Load()
		if s.opening != nil {
			if err := s.opening(); err != nil {
				return nil, err
			}
		}
		return s, nil
	})
}

func newScripted() *scripted {
	s := &scripted{Store: memory.New()}
	current.Store(s)
	return s
}

func (s *scripted) Get(ctx context.Context, key string) (backend.Entry, error) {
	s.gets.Add(1)
	if err := s.fails(ctx); err != nil {
		return backend.Entry{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s *scripted) CompareAndSet(ctx context.Context, key string, revision uint64, value []byte, keep time.Duration) (uint64, error) {
	s.sets.Add(1)
	if err := s.fails(ctx); err != nil {
		return 0, err
	}
	if s.full.Load() {
		return 0, errors.Join(backend.ErrUnavailable, errors.New("no space left on device"))
	}
	return s.Store.CompareAndSet(ctx, key, revision, value, keep)
}

func (s *scripted) fails(ctx context.Context) error {
	switch {
	case s.away.Load():
		return errors.Join(backend.ErrUnavailable, errors.New("no route to host"))
	case s.cut.Load():
		return errors.New("connection reset by peer")
	case s.silent.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// TestNobodyIsServedBeforeTheStoreIsOpen: whoever could connect would wait, and take it for an
// answer that is slow.
func TestNobodyIsServedBeforeTheStoreIsOpen(t *testing.T) {
	inEmptyFolder(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	connected := errors.New("not tried")
	newScripted().opening = func() error {
		conn, err := net.Dial("tcp", addr)
		if connected = err; err == nil {
			conn.Close()
		}
		return nil
	}
	d := startDaemon(t, "--no-auth", "--backend", "scripted:", "--addr", addr)
	if op := new(net.OpError); !errors.As(connected, &op) {
		t.Errorf("while the store was being opened, a connection got: %v", connected)
	}
	if code, a := d.ask(t, "", "POST", "/v1/ai/lease", `{"key":"k"}`); code != 200 {
		t.Errorf("%d %v", code, a)
	}
}

// TestAWrongAddressIsToldFirst, before a store is opened, or made.
func TestAWrongAddressIsToldFirst(t *testing.T) {
	inEmptyFolder(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	newScripted().opening = func() error {
		t.Error("the store was opened")
		return nil
	}
	err = run(t.Context(), []string{"--no-auth", "--backend", "scripted:", "--addr", taken.Addr().String()}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "--addr") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
}

// TestABaseURLThatEndsWithASlash is served, and not redirected: clients would repeat a POST as a
// GET.
func TestABaseURLThatEndsWithASlash(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:")
	if code, a := d.ask(t, "", "POST", "//v1/ai/lease", `{"key":"k"}`); code != 200 || a["status"] != "acquired" {
		t.Errorf("%d %v", code, a)
	}
	if code, a := d.ask(t, "", "GET", "//healthz", ""); code != 404 || a["status"] != "no_such_endpoint" {
		t.Errorf("%d %v", code, a)
	}
}

// TestNoWebPageUsesLeased that asks for no API key.
func TestNoWebPageUsesLeased(t *testing.T) {
	inEmptyFolder(t)
	d := startDaemon(t, "--no-auth", "--backend", "memory:")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(d.url, "http://"))
	for _, tt := range []struct {
		name, host, header, value string
		code                      int
	}{
		{"a program", "", "", "", 200},
		{"a program, by another name", "localhost:" + port, "", "", 200},
		{"a page of another site", "", "Sec-Fetch-Site", "cross-site", 403},
		{"a page of another site, by an old browser", "", "Origin", "https://evil.example", 403},
		{"a page whose name was made to point here", "evil.example:" + port, "", "", 403},
	} {
		r, err := http.NewRequest(http.MethodPost, d.url+"/v1/check-lock", strings.NewReader(`{"key":"`+tt.name+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			r.Header.Set(tt.header, tt.value)
		}
		r.Host = tt.host
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != tt.code {
			t.Errorf("%s: %s, want %d", tt.name, res.Status, tt.code)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", tt.name, res.Header)
		}
	}
}

// TestCheckLockDownOfLeased: clients of the hosted API wait, with 429.
func TestCheckLockDownOfLeased(t *testing.T) {
	inEmptyFolder(t)
	for flag, want := range map[string]int{"503": 503, "429": 429} {
		newScripted().full.Store(true)
		d := startDaemon(t, "--no-auth", "--backend", "scripted:", "--check-lock-down", flag, "--store-timeout", "100ms")
		if code, a := d.ask(t, "", "POST", "/v1/check-lock", `{"key":"k"}`); code != want || a["status"] != "unavailable" {
			t.Errorf("%s: %d %v", flag, code, a)
		}
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	}
}
