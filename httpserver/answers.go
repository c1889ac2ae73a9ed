package httpserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/ailease/lease"
)

// The bodies of 200 answers, with their fields in the order of the hosted API. A field that is not
// known is null. Fields that the hosted API does not have are left out instead.

// leaseAnswer is how a lease stands.
type leaseAnswer struct {
	OK            bool    `json:"ok"`
	Status        string  `json:"status"`
	Key           string  `json:"key"`
	TTLLeft       *int64  `json:"ttl_left"`
	LeaseID       *string `json:"lease_id"`
	Version       *uint64 `json:"version"`
	FirstSeenAt   *string `json:"first_seen_at"`
	DoneAt        *string `json:"done_at"`
	ResultHash    *string `json:"result_hash"`
	ErrorCode     *string `json:"error_code"`
	RetryAfterSec *int64  `json:"retry_after_sec"`

	Retryable bool            `json:"retryable,omitempty"`
	Attempt   int             `json:"attempt,omitempty"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	Progress  json.RawMessage `json:"progress,omitempty"`
}

type acquireAnswer struct {
	leaseAnswer
	TTL        *int64          `json:"ttl"`
	Charged    int             `json:"charged"`
	Token      uint64          `json:"token,omitempty"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
}

type extendAnswer struct {
	OK      bool   `json:"ok"`
	Status  string `json:"status"`
	Key     string `json:"key"`
	LeaseID string `json:"lease_id"`
	TTL     int64  `json:"ttl"`
	Version uint64 `json:"version"`
	Attempt int    `json:"attempt"`
}

type releaseAnswer struct {
	OK      bool   `json:"ok"`
	Status  string `json:"status"`
	Key     string `json:"key"`
	Version uint64 `json:"version"`
	Attempt int    `json:"attempt"`
}

type endAnswer struct {
	OK         bool    `json:"ok"`
	Status     string  `json:"status"`
	Key        string  `json:"key"`
	Version    uint64  `json:"version"`
	Attempt    int     `json:"attempt"`
	DoneAt     *string `json:"done_at"`
	ResultHash *string `json:"result_hash"`
	ErrorCode  *string `json:"error_code"`
	Retryable  bool    `json:"retryable,omitempty"`
}

type resultAnswer struct {
	OK            bool            `json:"ok"`
	Status        string          `json:"status"`
	Key           string          `json:"key"`
	Result        json.RawMessage `json:"result"`
	ResultHash    *string         `json:"result_hash"`
	DoneAt        *string         `json:"done_at"`
	ErrorCode     *string         `json:"error_code"`
	ErrorHash     *string         `json:"error_hash"`
	ErrorText     string          `json:"error_text,omitempty"`
	Retryable     bool            `json:"retryable,omitempty"`
	Version       *uint64         `json:"version"`
	Attempt       int             `json:"attempt,omitempty"`
	RetryAfterSec *int64          `json:"retry_after_sec,omitempty"`
}

// describe tells how l stands. An expired or released lease is open to the next caller, and so it
// is not found. The checkpoint and the result are for other answers.
func (c *call) describe(l *lease.Lease) leaseAnswer {
	a := leaseAnswer{OK: true, Status: string(l.State), Key: l.Key}
	if l.State != lease.StateCompleted && l.State != lease.StateFailed {
		a.RetryAfterSec = wholeSeconds(l.RetryAfter)
	}
	if l.State == lease.StateNotFound || l.State == lease.StateExpired {
		a.Status = string(lease.StateNotFound)
		return a
	}
	a.Version, a.Attempt, a.Metadata, a.Progress = &l.Version, l.Attempt, l.Metadata, l.Progress
	a.FirstSeenAt, a.DoneAt = instant(l.FirstSeenAt), instant(l.DoneAt)
	a.ResultHash, a.ErrorCode, a.Retryable = text(l.ResultHash), text(l.ErrorCode), l.Retryable
	if !c.hideLeaseIDs {
		a.LeaseID = text(l.LeaseID)
	}
	if l.State == lease.StateInProgress {
		a.TTLLeft = wholeSeconds(l.TTLLeft)
	}
	return a
}

// wholeSeconds rounds up: a poller that waits a second too long finds what it waits for, and one
// that waits a second too short does not.
func wholeSeconds(d time.Duration) *int64 {
	n := int64((d + time.Second - 1) / time.Second)
	return &n
}

func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Truncate(time.Second).Format(time.RFC3339)
	return &s
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// encode returns body as JSON. A '<' is sent as it is: as an escape it would have six bytes.
func encode(body any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // a bug: the Manager takes nothing but valid JSON
	}
	return b.Bytes()
}

// answer writes the answer in one piece: no client gets half of one. It writes nothing if
// there is no room to hold the answer until the client has read it.
func (c *call) answer(code int, body any) error {
	b := encode(body)
	c.fields = nil // the body of the request is held no more
	if !c.share.grow(int64(len(b))) && code == http.StatusOK && c.request.Method == http.MethodGet {
		return errMemoryFull
	}
	c.share.end()
	c.leaveBody()
	c.header.Set("Content-Type", "application/json")
	c.header.Set("Content-Length", strconv.Itoa(len(b)))
	c.header.Set("Cache-Control", "no-store")
	c.header.Set("X-Content-Type-Options", "nosniff")
	c.writer.WriteHeader(code)
	c.writer.Write(b)
	return nil
}
