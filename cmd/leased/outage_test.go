package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/httpserver"
)

// TestAnOutageIsOneLineOfEachPart: of the requests, of the health check and, if outcomes are
// unknown, of the Manager. That goes for its begin and its end, whatever is asked meanwhile.
func TestAnOutageIsOneLineOfEachPart(t *testing.T) {
	const requests = 26_000
	asked := []struct{ method, path, body string }{
		{"POST", "/v1/ai/lease", `{"key":"new%d"}`}, {"POST", "/v1/ai/lease", `{"key":"held"}`}, {"POST", "/v1/check-lock", `{"key":"k%d"}`},
		{"POST", "/v1/ai/extend", `{"key":"held","lease_id":"$ID"}`}, {"POST", "/v1/ai/release", `{"key":"held","lease_id":"$ID"}`},
		{"POST", "/v1/ai/complete", `{"key":"held","lease_id":"$ID"}`}, {"POST", "/v1/ai/fail", `{"key":"held","lease_id":"$ID","error_code":"e"}`},
		{"POST", "/v1/ai/cancel", `{"key":"held","lease_id":"$ID"}`}, {"GET", "/v1/ai/status?key=held", ""},
		{"GET", "/v1/ai/status?key=held&wait=2s", ""}, {"GET", "/v1/ai/result?key=held", ""}, {"GET", "/healthz", ""},
	}
	const (
		begins, ends       = "requests fail: the store does not answer as it should", "the store answers again"
		unhealthy, healthy = "health check fails", "health check succeeds again"
		settled            = "lease: outcome_settled"
	)
	for name, tt := range map[string]struct {
		trouble func(s *scripted) *atomic.Bool
		lines   []string
	}{
		"the store cannot be reached": {func(s *scripted) *atomic.Bool { return &s.away }, []string{begins, ends, unhealthy, healthy}},
		"the connection is cut":       {func(s *scripted) *atomic.Bool { return &s.cut }, []string{begins, ends, unhealthy, healthy, settled}},
		"the store does not answer":   {func(s *scripted) *atomic.Bool { return &s.silent }, []string{begins, ends, unhealthy, healthy, settled}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newScripted()
				c, err := parse([]string{"--no-auth", "--store-timeout", "1s"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				var written bytes.Buffer
				logged := newLines(&written)
				log := slog.New(slog.NewTextHandler(logged, nil))
				m, err := c.manager(store, log)
				if err != nil {
					t.Fatal(err)
				}
				handler, api, err := c.handler(m, []httpserver.Option{httpserver.WithoutAuth()}, log)
				if err != nil {
					t.Fatal(err)
				}
				ask := func(method, path, body string) *httptest.ResponseRecorder {
					r := httptest.NewRequest(method, path, strings.NewReader(body))
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					return w
				}
				w := ask("POST", "/v1/ai/lease", `{"key":"held","ttl":86400}`)
				id := regexp.MustCompile(`lease_[A-Z0-9]+`).FindString(w.Body.String())
				if id == "" {
					t.Fatal(w.Body)
				}
				if w := ask("GET", "/healthz", ""); w.Code != http.StatusOK {
					t.Fatal(w.Code, w.Body)
				}
				time.Sleep(2 * time.Second)

				down := tt.trouble(store)
				down.Store(true)
				var all sync.WaitGroup
				var failed atomic.Int64
				for i := range requests {
					all.Go(func() {
						a := asked[i%len(asked)]
						body := strings.ReplaceAll(strings.ReplaceAll(a.body, "%d", fmt.Sprint(i)), "$ID", id)
						if ask(a.method, a.path, body).Code == http.StatusServiceUnavailable {
							failed.Add(1)
						}
					})
					if i%100 == 99 {
						time.Sleep(3 * time.Second / (requests / 100))
					}
				}
				all.Wait()
				down.Store(false)
				if n := failed.Load(); n != requests {
					t.Errorf("%d of %d requests failed", n, requests)
				}
				for range 10 {
					time.Sleep(2 * time.Second)
					ask("GET", "/v1/ai/status?key=held", "")
					ask("GET", "/healthz", "")
				}
				api.EndWaits()
				flush(m)
				closeLines(time.Minute, logged)
				text := written.String()
				for _, line := range tt.lines {
					if n := strings.Count(text, line); n != 1 {
						t.Errorf("%d times %q", n, line)
					}
				}
				if n := strings.Count(text, "\n"); n != len(tt.lines) || t.Failed() {
					t.Errorf("%d lines, want %d:\n%.3000s", n, len(tt.lines), text)
				}
			})
		})
	}
}
