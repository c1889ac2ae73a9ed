package lease

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease/backend"
)

// recordFormat is the number of the record's layout. A record with a greater one is left alone.
const recordFormat = 1

// record is what the store holds under a key: one JSON object, the same in every backend, so that a store can be read with
// its own tools. Reading goes through the tags below, writing through appendJSON, which must name the same fields.
type record struct {
	Format      int             `json:"format"`
	State       State           `json:"state"`              // in_progress, completed, failed or locked: what is stored, before time is considered
	LeaseID     string          `json:"lease_id,omitempty"` // a lock has none: nobody has to show that it is theirs
	Version     uint64          `json:"version"`            // 1 for a key's first lease; grows by one with each accepted change
	Token       uint64          `json:"token,omitempty"`    // the revision of the acquiring write; 0 in that write itself, which cannot know it
	Attempt     int             `json:"attempt"`            // 1, and one more for each takeover
	TTL         time.Duration   `json:"ttl_ns"`
	Deadline    time.Time       `json:"deadline"`
	FirstSeenAt time.Time       `json:"first_seen_at"`
	AcquiredAt  time.Time       `json:"acquired_at"`
	DoneAt      time.Time       `json:"done_at,omitzero"`
	KeepUntil   time.Time       `json:"keep_until"` // from here on the record reads as absent
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	ResultHash  string          `json:"result_hash,omitempty"`
	ErrorCode   string          `json:"error_code,omitempty"`
	ErrorHash   string          `json:"error_hash,omitempty"`
	ErrorText   string          `json:"error_text,omitempty"`
	RequestID   string          `json:"request_id,omitempty"`
	InputHash   string          `json:"input_hash,omitempty"`
	AtMostOnce  bool            `json:"at_most_once,omitempty"`
	Op          string          `json:"op"`                // the operation that wrote this record
	PrevOp      string          `json:"prev_op,omitempty"` // the one that wrote the record which this one replaced
}

// decodeRecord reads what a store holds. Its errors wrap ErrUnreadable.
func decodeRecord(e backend.Entry) (*record, error) {
	var r record
	if err := json.Unmarshal(e.Value, &r); err != nil {
		// A newer format may differ in anything but its number.
		var f struct{ Format int }
		if json.Unmarshal(e.Value, &f) == nil && f.Format > recordFormat {
			r.Format = f.Format
		} else {
			return nil, fmt.Errorf("%w: %d bytes at revision %d: %w", ErrUnreadable, len(e.Value), e.Revision, err)
		}
	}
	if r.Format > recordFormat {
		return nil, fmt.Errorf("%w: format %d, this version of the package reads up to %d: upgrade it", ErrUnreadable, r.Format, recordFormat)
	}
	if problem := cmp.Or(r.problem(), r.misplaced(e.Key)); problem != "" {
		return nil, fmt.Errorf("%w: %d bytes at revision %d: %s", ErrUnreadable, len(e.Value), e.Revision, problem)
	}
	if r.Token == 0 {
		r.Token = e.Revision
	}
	return &r, nil
}

// problem says what is missing from a record of the known format, or "".
func (r *record) problem() string {
	switch {
	case r.Format != recordFormat:
		return fmt.Sprintf("format is %d", r.Format)
	case r.State != StateInProgress && r.State != StateCompleted && r.State != StateFailed && r.State != stateLocked:
		return fmt.Sprintf("state is %.32q", string(r.State))
	case r.LeaseID == "" && r.State != stateLocked:
		return "lease_id is missing"
	case r.Version < 1 || r.Attempt < 1:
		return fmt.Sprintf("version is %d, attempt is %d", r.Version, r.Attempt)
	case r.Deadline.IsZero() || r.FirstSeenAt.IsZero() || r.AcquiredAt.IsZero() || r.KeepUntil.IsZero():
		return "an instant is missing"
	case (r.State == StateCompleted || r.State == StateFailed) && r.DoneAt.IsZero():
		return "done_at is missing"
	case r.Op == "":
		return "op is missing"
	}
	return ""
}

// misplaced says that r lies under a key for another kind of record, or "".
func (r *record) misplaced(storeKey string) string {
	if lock := r.State == stateLocked; lock != isLockKey(storeKey) {
		return fmt.Sprintf("state %q is not for this key", string(r.State))
	}
	return ""
}

// appendJSON appends r as JSON. It exists because encoding/json takes longer than
// the store; a test holds it to what encoding/json reads back.
func (r *record) appendJSON(b []byte) []byte {
	b = append(b, `{"format":`...)
	b = strconv.AppendInt(b, int64(r.Format), 10)
	b = appendField(b, "state", string(r.State))
	b = appendField(b, "lease_id", r.LeaseID)
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, r.Version, 10)
	if r.Token != 0 {
		b = append(b, `,"token":`...)
		b = strconv.AppendUint(b, r.Token, 10)
	}
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(r.Attempt), 10)
	b = append(b, `,"ttl_ns":`...)
	b = strconv.AppendInt(b, int64(r.TTL), 10)
	b = appendTime(b, "deadline", r.Deadline)
	b = appendTime(b, "first_seen_at", r.FirstSeenAt)
	b = appendTime(b, "acquired_at", r.AcquiredAt)
	b = appendTime(b, "done_at", r.DoneAt)
	b = appendTime(b, "keep_until", r.KeepUntil)
	b = appendRaw(b, "metadata", r.Metadata)
	b = appendRaw(b, "result", r.Result)
	b = appendField(b, "result_hash", r.ResultHash)
	b = appendField(b, "error_code", r.ErrorCode)
	b = appendField(b, "error_hash", r.ErrorHash)
	b = appendField(b, "error_text", r.ErrorText)
	b = appendField(b, "request_id", r.RequestID)
	b = appendField(b, "input_hash", r.InputHash)
	if r.AtMostOnce {
		b = append(b, `,"at_most_once":true`...)
	}
	b = appendField(b, "op", r.Op)
	b = appendField(b, "prev_op", r.PrevOp)
	return append(b, '}')
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendField(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	b = appendName(b, name)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			q, _ := json.Marshal(s) // a string always marshals
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendRaw(b []byte, name string, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return b
	}
	return append(appendName(b, name), raw...)
}

// appendTime writes instants in UTC and of equal length, so that they sort as text. RFC3339Nano, the one layout with a fast
// path and nanoseconds, drops trailing zeros, which are put back here.
func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(appendName(b, name), '"')
	const whole, full = len("2006-01-02T15:04:05"), len("2006-01-02T15:04:05.000000000")
	begin := len(b)
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	b = b[:len(b)-1] // the Z
	if len(b)-begin == whole {
		b = append(b, '.')
	}
	for len(b)-begin < full {
		b = append(b, '0')
	}
	return append(b, 'Z', '"')
}
