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

// record is what the store holds under a key: one JSON object, the same in every backend. A store
// can be read with its own tools. Reading goes through the tags below, writing through appendJSON,
// which must name the same fields.
type record struct {
	Format   int    `json:"format"`
	State    State  `json:"state"`              // as stored, before time is considered; see problem
	LeaseID  string `json:"lease_id,omitempty"` // a lock has none
	Version  uint64 `json:"version"`            // 1 for a key's first lease; one more with each change
	Token    uint64 `json:"token,omitempty"`    // the revision of the acquiring write, which itself has 0
	Attempt  int    `json:"attempt"`            // 1, and one more for each acquisition
	Failures int    `json:"failures,omitempty"` // how many leases of the key have failed

	TTL         time.Duration `json:"ttl_ns"`
	Retention   time.Duration `json:"retention_ns,omitempty"` // the lease's own; 0: the Manager's
	Deadline    time.Time     `json:"deadline"`
	FirstSeenAt time.Time     `json:"first_seen_at"`
	AcquiredAt  time.Time     `json:"acquired_at"`
	DoneAt      time.Time     `json:"done_at,omitzero"`
	KeepUntil   time.Time     `json:"keep_until"` // from here on the record reads as absent

	Metadata      json.RawMessage `json:"metadata,omitempty"`
	Progress      json.RawMessage `json:"progress,omitempty"`
	Checkpoint    json.RawMessage `json:"checkpoint,omitempty"`
	CheckpointSeq uint64          `json:"checkpoint_seq,omitempty"` // counts within one lease
	Result        json.RawMessage `json:"result,omitempty"`
	ResultHash    string          `json:"result_hash,omitempty"`
	ErrorCode     string          `json:"error_code,omitempty"`
	ErrorHash     string          `json:"error_hash,omitempty"`
	ErrorText     string          `json:"error_text,omitempty"`
	Retryable     bool            `json:"retryable,omitempty"` // of a failure: the next to ask may try again

	Nonce      string   `json:"nonce,omitempty"`    // of the call that acquired the lease
	Replaced   []string `json:"replaced,omitempty"` // acquires that other input replaced, oldest first
	InputHash  string   `json:"input_hash,omitempty"`
	AtMostOnce bool     `json:"at_most_once,omitempty"`

	Run *run `json:"run,omitempty"` // nil for work that is leased by hand

	Op     string `json:"op"`                // the operation that wrote this record
	PrevOp string `json:"prev_op,omitempty"` // the one that wrote the record which this one replaced
	Prev   *prev  `json:"prev,omitempty"`    // the lease before this one, as long as this one stands
}

// prev is what a record keeps of the lease before its own. From that a caller whose answer was
// lost learns how its lease ended, although another has been acquired since.
type prev struct {
	LeaseID    string    `json:"lease_id"`
	Version    uint64    `json:"version"` // its last
	Token      uint64    `json:"token"`
	Failures   int       `json:"failures,omitempty"` // of the key, once it had ended
	AcquiredAt time.Time `json:"acquired_at"`
	State      State     `json:"state"`         // in_progress if it expired or was replaced
	End        string    `json:"end,omitempty"` // digest of how it ended, see record.outcome
}

// asPrev is what the next lease keeps of r; nil if r is a lock.
func (r *record) asPrev() *prev {
	if r.State == stateLocked {
		return nil
	}
	return &prev{r.LeaseID, r.Version, r.Token, r.Failures, r.AcquiredAt, r.State, r.outcome()}
}

// endedAs tells whether p is the lease of c, and ended as c asks.
func (p *prev) endedAs(c *command) bool {
	return p != nil && p.LeaseID == c.leaseID && p.State != StateInProgress && p.End == c.outcome()
}

// record is what is known of the lease p, which c has ended; r is its successor. If p was forgotten
// before r was acquired, the number of its attempt and when the key was first seen are not known.
func (p *prev) record(r *record, c *command) *record {
	n := &record{
		Format: recordFormat, State: p.State, LeaseID: p.LeaseID, Version: p.Version, Token: p.Token,
		Attempt: max(1, r.Attempt-1), Failures: p.Failures, FirstSeenAt: r.FirstSeenAt, AcquiredAt: p.AcquiredAt,
		Deadline: r.AcquiredAt, DoneAt: r.AcquiredAt, KeepUntil: r.KeepUntil, InputHash: r.InputHash,
		Result: c.result, ResultHash: c.resultHash,
		ErrorCode: c.errorCode, ErrorHash: c.errorHash, ErrorText: c.errorText, Retryable: c.retryable,
	}
	if p.State == stateReleased {
		n.DoneAt = time.Time{}
	}
	if n.FirstSeenAt.After(p.AcquiredAt) {
		n.FirstSeenAt = p.AcquiredAt
	}
	return n
}

// writtenAt is when r was written, by the clock of its writer.
func (r *record) writtenAt() time.Time {
	switch r.State {
	case StateInProgress:
		return r.Deadline.Add(-r.TTL)
	case stateReleased:
		return r.Deadline
	case stateLocked, stateQueued:
		return r.AcquiredAt
	default:
		return r.DoneAt
	}
}

// retained is for how long r is remembered after its end.
func (r *record) retained(manager time.Duration) time.Duration {
	if r.Retention > 0 {
		return r.Retention
	}
	return manager
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
	case r.State != StateInProgress && r.State != stateReleased && r.State != StateCompleted && r.State != StateFailed && r.State != stateLocked && (r.State != stateQueued || r.Run == nil):
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
	return r.Run.problem()
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
	b = appendInt(b, "failures", int64(r.Failures))
	b = append(b, `,"ttl_ns":`...)
	b = strconv.AppendInt(b, int64(r.TTL), 10)
	b = appendInt(b, "retention_ns", int64(r.Retention))
	b = appendTime(b, "deadline", r.Deadline)
	b = appendTime(b, "first_seen_at", r.FirstSeenAt)
	b = appendTime(b, "acquired_at", r.AcquiredAt)
	b = appendTime(b, "done_at", r.DoneAt)
	b = appendTime(b, "keep_until", r.KeepUntil)
	b = appendRaw(b, "metadata", r.Metadata)
	b = appendRaw(b, "progress", r.Progress)
	b = appendRaw(b, "checkpoint", r.Checkpoint)
	if r.CheckpointSeq != 0 {
		b = strconv.AppendUint(appendName(b, "checkpoint_seq"), r.CheckpointSeq, 10)
	}
	b = appendRaw(b, "result", r.Result)
	b = appendField(b, "result_hash", r.ResultHash)
	b = appendField(b, "error_code", r.ErrorCode)
	b = appendField(b, "error_hash", r.ErrorHash)
	b = appendField(b, "error_text", r.ErrorText)
	b = appendBool(b, "retryable", r.Retryable)
	b = appendField(b, "nonce", r.Nonce)
	if len(r.Replaced) > 0 {
		list, _ := json.Marshal(r.Replaced) // strings always marshal
		b = append(appendName(b, "replaced"), list...)
	}
	b = appendField(b, "input_hash", r.InputHash)
	b = appendBool(b, "at_most_once", r.AtMostOnce)
	b = r.Run.appendJSON(b)
	b = appendField(b, "op", r.Op)
	b = appendField(b, "prev_op", r.PrevOp)
	if p := r.Prev; p != nil {
		b = append(appendName(b, "prev"), `{"version":`...)
		b = strconv.AppendUint(b, p.Version, 10)
		b = appendField(b, "lease_id", p.LeaseID)
		b = append(b, `,"token":`...)
		b = strconv.AppendUint(b, p.Token, 10)
		b = appendInt(b, "failures", int64(p.Failures))
		b = appendTime(b, "acquired_at", p.AcquiredAt)
		b = appendField(b, "state", string(p.State))
		b = appendField(b, "end", p.End)
		b = append(b, '}')
	}
	return append(b, '}')
}

// appendInt leaves 0 out.
func appendInt(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), n, 10)
}

// appendBool leaves false out.
func appendBool(b []byte, name string, v bool) []byte {
	if !v {
		return b
	}
	return append(appendName(b, name), "true"...)
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

// appendTime writes instants in UTC and of equal length, so that they sort as text. It does so by
// hand: a record has up to seven, and time.AppendFormat would take most of the time of encoding it.
func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	t = t.UTC()
	year, month, day := t.Date() // of four digits: no sum of an instant and a few durations has more
	hour, minute, second := t.Clock()
	const digits = "2006-01-02T15:04:05.000000000"
	b = append(append(appendName(b, name), '"'), digits...)
	d := b[len(b)-len(digits):]
	twoDigits(d[0:2], year/100)
	twoDigits(d[2:4], year%100)
	twoDigits(d[5:7], int(month))
	twoDigits(d[8:10], day)
	twoDigits(d[11:13], hour)
	twoDigits(d[14:16], minute)
	twoDigits(d[17:19], second)
	for i, ns := len(d)-1, uint32(t.Nanosecond()); ns > 0; i, ns = i-1, ns/10 {
		d[i] = byte('0' + ns%10)
	}
	return append(b, 'Z', '"')
}

func twoDigits(d []byte, n int) { d[0], d[1] = byte('0'+n/10), byte('0'+n%10) }
