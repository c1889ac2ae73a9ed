package httpserver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/ailease/lease"
)

// The bodies of 200 answers, fields in the order of the hosted API. What is not known is null and not left
// out, except what only we have.

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
	Attempt       int     `json:"attempt,omitempty"`

	Metadata json.RawMessage `json:"metadata,omitempty"` // with the holder's progress note
}

type acquireAnswer struct {
	leaseAnswer
	TTL     *int64 `json:"ttl"`
	Charged int    `json:"charged"`
	Token   uint64 `json:"token,omitempty"`
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

type endAnswer struct {
	OK         bool    `json:"ok"`
	Status     string  `json:"status"`
	Key        string  `json:"key"`
	Version    uint64  `json:"version"`
	Attempt    int     `json:"attempt"`
	DoneAt     string  `json:"done_at"`
	ResultHash *string `json:"result_hash"`
	ErrorCode  *string `json:"error_code"`
}

type resultAnswer struct {
	OK         bool            `json:"ok"`
	Status     string          `json:"status"`
	Key        string          `json:"key"`
	Result     json.RawMessage `json:"result"`
	ResultHash *string         `json:"result_hash"`
	DoneAt     *string         `json:"done_at"`
	ErrorCode  *string         `json:"error_code"`
	ErrorHash  *string         `json:"error_hash"`
	ErrorText  string          `json:"error_text,omitempty"`
	Version    *uint64         `json:"version"`
	Attempt    int             `json:"attempt,omitempty"`
}

// describe tells the sender how l stands. An expired lease is open to whoever asks for it, and so is not found.
func (c *call) describe(l *lease.Lease) leaseAnswer {
	a := leaseAnswer{OK: true, Status: string(l.State), Key: l.Key}
	if l.State == lease.StateNotFound || l.State == lease.StateExpired {
		a.Status = string(lease.StateNotFound)
		return a
	}
	a.Version, a.Attempt, a.Metadata = &l.Version, l.Attempt, l.Metadata
	a.FirstSeenAt, a.DoneAt = instant(l.FirstSeenAt), instant(l.DoneAt)
	a.ResultHash, a.ErrorCode = text(l.ResultHash), text(l.ErrorCode)
	if !c.hideLeaseIDs {
		a.LeaseID = &l.LeaseID
	}
	if l.State == lease.StateInProgress {
		a.TTLLeft, a.RetryAfterSec = wholeSeconds(l.TTLLeft), wholeSeconds(l.RetryAfter)
	}
	return a
}

// wholeSeconds rounds up: a poller who is told 0 seconds is late, one who is told 1 is not.
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

// answer writes the whole answer at once, so that none is half an answer.
func answer(w http.ResponseWriter, code int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // answered like any other bug; results are valid JSON, or the Manager would not have taken them
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	w.Write(append(b, '\n'))
}
