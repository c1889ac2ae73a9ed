package handlers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ailease/lease"
)

// Limits and defaults of [TargetOptions].
const (
	minTimeout     = 250 * time.Millisecond
	maxTimeout     = 2 * time.Minute
	defaultTimeout = 15 * time.Second
	maxRetries     = 10
	defaultRetries = 2
	minSecretBytes = 8
	maxURLBytes    = 2048

	firstPause    = 250 * time.Millisecond
	mostPause     = 10 * time.Second
	mostRetryWait = time.Minute // a target that asks for more fails the attempt
)

// Target is a handler that posts to an HTTP endpoint. Make it with [NewTarget].
type Target struct {
	url     string
	secret  []byte
	timeout time.Duration
	retries int
	client  *http.Client
}

// TargetOptions are those of [NewTarget].
type TargetOptions struct {
	URL        string        // http or https, up to 2048 bytes; it may have credentials
	Secret     []byte        // signs the requests; at least 8 bytes
	Timeout    time.Duration // of each request, its answer included: 250ms to 2m; 15s unless set
	MaxRetries int           // within an attempt, up to 10; 2 unless set, and below 0 none
}

// NewTarget returns a target. What is out of range is a [*lease.FieldError], whose Field is "url",
// "secret", "timeout_ms" or "max_retries", and which has no part of the URL or the secret.
func NewTarget(o TargetOptions) (*Target, error) {
	u, err := url.Parse(o.URL)
	timeout, retries := cmp.Or(o.Timeout, defaultTimeout), max(0, cmp.Or(o.MaxRetries, defaultRetries))
	switch {
	case len(o.URL) > maxURLBytes:
		return nil, &lease.FieldError{Field: "url", Problem: fmt.Sprintf("%d bytes, limit %d", len(o.URL), maxURLBytes)}
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, &lease.FieldError{Field: "url", Problem: fmt.Sprintf("%d bytes, must be an http or https URL with a host", len(o.URL))}
	case len(o.Secret) < minSecretBytes:
		return nil, &lease.FieldError{Field: "secret", Problem: fmt.Sprintf("%d bytes, must be at least %d", len(o.Secret), minSecretBytes)}
	case timeout < minTimeout || timeout > maxTimeout:
		return nil, &lease.FieldError{Field: "timeout_ms", Problem: fmt.Sprintf("%d, must be from %d to %d", timeout.Milliseconds(), minTimeout.Milliseconds(), maxTimeout.Milliseconds())}
	case retries > maxRetries:
		return nil, &lease.FieldError{Field: "max_retries", Problem: fmt.Sprintf("%d, must be from 0 to %d", retries, maxRetries)}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxResponseHeaderBytes = 64 << 10
	return &Target{o.URL, bytes.Clone(o.Secret), timeout, retries, &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Run posts {"args": input} to the target. It is a [Func]. The request has the headers
//
//	X-OnceOnly-Signature      HMAC-SHA256 of the body under the secret, in hexadecimal
//	X-OnceOnly-Signature-Alg  hmac_sha256
//	X-OnceOnly-Timestamp      when it was sent, in Unix seconds; no part of what is signed
//	Idempotency-Key           the key of the run; of an action the key, '#' and its number. A key
//	                          that is not printable ASCII: "sha256-" and its hash
//	X-Lease-Token             the fencing token
//	X-Lease-Attempt           grows with each attempt; that of the first is not always 1
//
// An answer of 2xx is the result: a JSON value as it is, nothing as null, and any other text as
// {"body": text}. After 408, 429, 5xx, a timeout and a broken connection the request is repeated,
// with a pause that doubles, or the answer's Retry-After of up to a minute. After MaxRetries, or if
// the run is at most once, the attempt has failed. Any other status fails the run for good;
// redirects are not followed.
func (t *Target) Run(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
	run, _ := callOf(ctx)
	if len(input) == 0 {
		input = json.RawMessage("null")
	}
	body := slices.Concat([]byte(`{"args":`), input, []byte("}"))
	retries := t.retries
	if run.lease.AtMostOnce {
		retries = 0
	}
	for n := 0; ; n++ {
		result, pause, err := t.post(ctx, run, body)
		switch {
		case err == nil:
			return result, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case pause < 0 || n >= retries:
			return nil, err
		}
		pause = max(pause, spread(min(mostPause, firstPause<<n)))
		if pause > mostRetryWait {
			return nil, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// post makes one request. Its pause is how long the target wants to be left alone; below 0 the
// request is not to be repeated.
func (t *Target) post(ctx context.Context, run call, body []byte) (result json.RawMessage, pause time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url, bytes.NewReader(body))
	if err != nil { // its text has the URL
		return nil, -1, lease.Permanent(&failure{"http_unreachable", "the target's URL cannot be used"})
	}
	mac := hmac.New(sha256.New, t.secret)
	mac.Write(body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "leased")
	r.Header.Set("X-OnceOnly-Signature", hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-OnceOnly-Signature-Alg", "hmac_sha256")
	r.Header.Set("X-OnceOnly-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	if run.id != "" {
		r.Header.Set("Idempotency-Key", headerOf(run.id))
		r.Header.Set("X-Lease-Token", strconv.FormatUint(run.lease.Token, 10))
		r.Header.Set("X-Lease-Attempt", strconv.Itoa(run.lease.Attempt))
	}
	res, err := t.client.Do(r)
	if err != nil {
		return nil, 0, t.broken(ctx)
	}
	defer res.Body.Close()
	if res.StatusCode/100 == 2 {
		result, err = readResult(res.Body, "body")
		if _, coded := errors.AsType[*failure](err); err != nil && !coded {
			return nil, 0, t.broken(ctx)
		}
		return result, -1, err
	}
	io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10)) // the connection may serve again
	failed := &failure{fmt.Sprint("http_", res.StatusCode), fmt.Sprint("the target has answered with status ", res.StatusCode)}
	switch {
	case res.StatusCode == http.StatusRequestTimeout, res.StatusCode == http.StatusTooManyRequests, res.StatusCode >= 500:
		return nil, retryAfter(res.Header.Get("Retry-After"), time.Now()), failed
	}
	return nil, -1, lease.Permanent(failed)
}

// broken is why there was no whole answer. What package net says may have the URL.
func (t *Target) broken(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &failure{"http_timeout", fmt.Sprintf("the target has not answered within %v", t.timeout)}
	}
	return &failure{"http_unreachable", "the target cannot be reached, or its answer broke off"}
}

// retryAfter reads the header of that name: seconds, or a date. 0 if there is none.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// spread is d, give or take a quarter.
func spread(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/2)
}

// headerOf is an idempotency key as a header can have it.
func headerOf(key string) string {
	if key == strings.TrimSpace(key) && !strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return "sha256-" + hex.EncodeToString(sum[:])
}
