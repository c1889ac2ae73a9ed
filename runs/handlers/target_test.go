package handlers_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs/handlers"
)

const secret = "a s3cret of ours"

// serve starts a server, and returns its URL with credentials in it.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "http://", "http://user:s3cret@", 1) + "/hook?token=s3cret"
}

func mustTarget(t *testing.T, o handlers.TargetOptions) *handlers.Target {
	t.Helper()
	if o.Secret == nil {
		o.Secret = []byte(secret)
	}
	target, err := handlers.NewTarget(o)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// The receiver checks the signature of the raw body, as it would that of the hosted API.
func TestATargetGetsASignedRequest(t *testing.T) {
	for key, wantKey := range map[string]string{"k 1": "k 1", "zwölf": "sha256-", "a\nb": "sha256-", " k": "sha256-"} {
		asked := 0
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != `{"args":{"n": 1}}` {
				t.Errorf("the body is %s, error %v", body, err)
			}
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(body)
			h := r.Header
			if got, err := hex.DecodeString(h.Get("X-OnceOnly-Signature")); err != nil || !hmac.Equal(got, mac.Sum(nil)) || h.Get("X-OnceOnly-Signature-Alg") != "hmac_sha256" {
				t.Errorf("the signature is not that of the body: %v", h)
			}
			if at, err := strconv.ParseInt(h.Get("X-OnceOnly-Timestamp"), 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
				t.Errorf("the timestamp is %q", h.Get("X-OnceOnly-Timestamp"))
			}
			if got := h.Get("Idempotency-Key"); !strings.HasPrefix(got, wantKey) || wantKey == "sha256-" && len(got) != 7+64 {
				t.Errorf("the idempotency key of %q is %q", key, got)
			}
			if h.Get("X-Lease-Token") != "77" || h.Get("X-Lease-Attempt") != "3" || h.Get("Content-Type") != "application/json" || r.Method != "POST" {
				t.Errorf("%s with %v", r.Method, h)
			}
			if user, password, ok := r.BasicAuth(); !ok || user != "user" || password != "s3cret" || r.URL.Query().Get("token") != "s3cret" {
				t.Errorf("the URL came without its credentials: %v", r.URL)
			}
			io.WriteString(w, `{"sent": true}`)
		})
		ctx := leasetest.Context(t, lease.Lease{Key: key, Token: 77, Attempt: 3})
		got, err := mustTarget(t, handlers.TargetOptions{URL: url}).Run(ctx, json.RawMessage(`{"n": 1}`))
		if err != nil || string(got) != `{"sent": true}` || asked != 1 {
			t.Errorf("the result is %s after %d requests, error %v", got, asked, err)
		}
	}
}

func TestWhatATargetAnswers(t *testing.T) {
	answer := func(status int, body string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	breakOff := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
	}
	for name, tt := range map[string]struct {
		answer    http.HandlerFunc
		result    string
		code      string
		permanent bool
		requests  int64
	}{
		"nothing":          {answer(204, ""), "null", "", false, 1},
		"text":             {answer(201, "done\n"), `{"body":"done"}`, "", false, 1},
		"too much":         {answer(200, strings.Repeat("1", 300_000)), "", "result", true, 1},
		"not found":        {answer(404, "s3cret"), "", "http_404", true, 1},
		"not allowed":      {answer(401, "s3cret"), "", "http_401", true, 1},
		"a redirect":       {answer(307, "", "Location", "/elsewhere"), "", "http_307", true, 1},
		"too busy":         {answer(429, "s3cret"), "", "http_429", false, 3},
		"down":             {answer(503, "s3cret", "Retry-After", "0"), "", "http_503", false, 3},
		"down for long":    {answer(503, "", "Retry-After", "61"), "", "http_503", false, 1},
		"down until a day": {answer(503, "", "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), "", "http_503", false, 1},
		"broken off":       {breakOff, "", "http_unreachable", false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.answer(w, r)
			})
			got, err := mustTarget(t, handlers.TargetOptions{URL: url}).Run(leasetest.Context(t, lease.Lease{}), nil)
			if string(got) != tt.result || requests.Load() != tt.requests {
				t.Errorf("the result is %.100s after %d requests, want %s after %d", got, requests.Load(), tt.result, tt.requests)
			}
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			mustFail(t, err, tt.code, tt.permanent)
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), "s3cret") {
				t.Errorf("the error has a secret: %v", err)
			}
		})
	}
}

// A target that cannot be reached, or does not answer, is told without its URL.
func TestATargetThatIsAway(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close() // nobody accepts: the request is sent and not answered
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for code, url := range map[string]string{
		"http_timeout":     "http://user:s3cret@" + free.Addr().String(),
		"http_unreachable": "http://user:s3cret@" + closed.Addr().String() + "/?token=s3cret",
	} {
		target := mustTarget(t, handlers.TargetOptions{URL: url, Timeout: 250 * time.Millisecond, MaxRetries: -1})
		_, err := target.Run(leasetest.Context(t, lease.Lease{}), nil)
		mustFail(t, err, code, false)
		if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("the error has the URL: %v", err)
		}
	}
}

// The pause between two requests is what the target asks for.
func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	var at []time.Time
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if at = append(at, time.Now()); len(at) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	if _, err := mustTarget(t, handlers.TargetOptions{URL: url}).Run(leasetest.Context(t, lease.Lease{}), nil); err != nil || len(at) != 2 {
		t.Fatalf("%d requests, error %v", len(at), err)
	}
	if d := at[1].Sub(at[0]); d < time.Second {
		t.Errorf("the second request came after %v", d)
	}
}

// What is to be done at most once is not asked for twice.
func TestAtMostOnceIsNotRepeated(t *testing.T) {
	requests := 0
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		requests++
		w.WriteHeader(http.StatusBadGateway)
	})
	_, err := mustTarget(t, handlers.TargetOptions{URL: url}).Run(leasetest.Context(t, lease.Lease{AtMostOnce: true}), nil)
	if err == nil || requests != 1 {
		t.Errorf("%d requests, error %v", requests, err)
	}
}

// The end of the context ends a request, and a pause.
func TestTheEndOfTheContextEndsARequest(t *testing.T) {
	for _, status := range []int{0, 503} {
		ctx, cancel := context.WithCancel(leasetest.Context(t, lease.Lease{}))
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			time.AfterFunc(10*time.Millisecond, cancel)
			if status == 0 {
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(status)
		})
		if _, err := mustTarget(t, handlers.TargetOptions{URL: url}).Run(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("after status %d: %v", status, err)
		}
	}
}

func TestTheLimitsOfATarget(t *testing.T) {
	good := handlers.TargetOptions{URL: "https://example.com/hook", Secret: []byte("12345678"), Timeout: 250 * time.Millisecond, MaxRetries: 10}
	if _, err := handlers.NewTarget(good); err != nil {
		t.Errorf("what is at the limits: %v", err)
	}
	for field, change := range map[string][]func(o *handlers.TargetOptions){
		"url": {
			func(o *handlers.TargetOptions) { o.URL = "" },
			func(o *handlers.TargetOptions) { o.URL = "ftp://user:s3cret@host/" },
			func(o *handlers.TargetOptions) { o.URL = "http://user:s3cret@/" },
			func(o *handlers.TargetOptions) { o.URL = "http://host/%zz?s3cret" },
			func(o *handlers.TargetOptions) { o.URL = "http://host/" + strings.Repeat("s3cret", 400) },
		},
		"secret": {func(o *handlers.TargetOptions) { o.Secret = []byte("s3cret7") }},
		"timeout_ms": {
			func(o *handlers.TargetOptions) { o.Timeout = 249 * time.Millisecond },
			func(o *handlers.TargetOptions) { o.Timeout = 2*time.Minute + 1 },
		},
		"max_retries": {func(o *handlers.TargetOptions) { o.MaxRetries = 11 }},
	} {
		for i, f := range change {
			o := good
			f(&o)
			_, err := handlers.NewTarget(o)
			var bad *lease.FieldError
			if !errors.As(err, &bad) || bad.Field != field || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s, %d: %v", field, i, err)
			}
		}
	}
}
