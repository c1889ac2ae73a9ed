package httpserver

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/timeline"
)

// Entries of timelines: what clients report, and how any entry is shown.

// Fields of an event that are not kept among its further fields. Those of ownFields are the
// server's to say: what a client sends under such a name is kept under data.
var (
	entryFields = map[string]bool{"run_id": true, "type": true, "ts": true, "status": true, "agent_id": true}
	ownFields   = map[string]bool{"event": true, "event_id": true, "key": true, "namespace": true}
)

// Limits of an event, besides that of a journal's entry.
const (
	maxEventTextBytes = 256 // of a type, a status and an agent id
	maxEventDepth     = 256 // arrays and objects within each other
	maxEventBodyBytes = 2 * backend.MaxJournalDataBytes
)

type eventAnswer struct {
	OK      bool   `json:"ok"`
	EventID int64  `json:"event_id"`
	RunID   string `json:"run_id"`
}

// postEvent adds an entry to a timeline. It answers when the entry is in the store.
func postEvent(c *call) (any, error) {
	e := timeline.Entry{
		Namespace: c.namespace(),
		RunID:     c.text("run_id", true),
		ID:        rand.Text(), // the event id comes from it
		Time:      c.instant("ts"),
		Type:      c.eventText("type", true),
		Status:    c.eventText("status", false),
		AgentID:   c.eventText("agent_id", false),
		Fields:    c.furtherFields(),
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.flushManager() // what the server has done for the sender before stands before
	if err := c.timeline.Append(c.ctx, e); err != nil {
		return nil, err
	}
	return eventAnswer{true, e.EventID(), e.RunID}, nil
}

// readEvent reads the fields of an event, whatever their names.
func (c *call) readEvent() error {
	body, err := c.readObject(min(c.maxBodyBytes, maxEventBodyBytes))
	if err != nil {
		return err
	}
	if problem := unreadable(body); problem != "" {
		return badRequest{{Type: "value_error", Loc: []string{"body"}, Msg: "Value error, " + problem}}
	}
	c.fields = make(map[string]json.RawMessage)
	twice := false
	for quoted, value := range membersOf(body) {
		name, known := fieldName(quoted)
		if !known {
			return badRequest{{Type: "string_unicode", Loc: []string{"body"}, Msg: "The name of a field has half of a surrogate pair"}}
		}
		if _, there := c.fields[name]; there {
			twice = true
			if shownName(name) {
				c.twice(name)
			}
		}
		c.fields[name] = value
		c.names = append(c.names, name)
	}
	if twice && len(c.problems) == 0 {
		return badRequest{{Type: "duplicate", Loc: []string{"body"}, Msg: "Each field should be given once, and one is given more than once"}}
	}
	return nil
}

// shownName tells whether a refusal may name the field: nothing that anybody can make up is sent
// back.
func shownName(name string) bool {
	return entryFields[name] || ownFields[name] || name == "data" || name == "lease_id"
}

func (c *call) eventText(field string, required bool) string {
	s := c.text(field, required)
	if len(s) > maxEventTextBytes {
		c.wrong(field, "string_too_long", fmt.Sprintf("Input should be shorter: it has %d bytes, limit %d", len(s), maxEventTextBytes))
	}
	return s
}

// instant is a time in Unix seconds, or in the form of RFC 3339; now if it was not sent.
func (c *call) instant(field string) time.Time {
	v := c.raw(field)
	if v == nil {
		return runlink.Of(c.manager).Now()
	}
	const most = 253402300800 // the year 10000
	var n float64
	var s string
	t := time.Time{}
	switch {
	case json.Unmarshal(v, &n) == nil && n >= 0 && n < most:
		return time.UnixMicro(int64(n * 1e6))
	case json.Unmarshal(v, &s) == nil:
		t, _ = time.Parse(time.RFC3339, s)
	}
	if t.Unix() < 0 || t.Unix() >= most {
		c.wrong(field, "datetime_parsing", "Input should be a time from 1970 to 9999: Unix seconds, or RFC 3339 such as 2025-01-15T10:30:00Z")
	}
	return t
}

// furtherFields are the fields that have no place of their own in an entry, as they were sent. A
// lease id is left out: whoever reads it could end the lease.
func (c *call) furtherFields() json.RawMessage {
	data, own := c.raw("data"), []byte(nil)
	for _, name := range c.names {
		if ownFields[name] && c.raw(name) != nil {
			own = appendMember(own, name, c.fields[name])
		}
	}
	if own != nil {
		data = c.joinData(data, own)
	}
	var b []byte
	for _, name := range c.names {
		if !entryFields[name] && !ownFields[name] && name != "data" && name != "lease_id" {
			b = appendMember(b, name, c.fields[name])
		}
	}
	if data != nil {
		b = appendMember(b, "data", data)
	}
	if b == nil {
		return nil
	}
	b[0] = '{'
	return append(b, '}')
}

// joinData returns data with more members. Nothing that was sent is overwritten.
func (c *call) joinData(data, own []byte) json.RawMessage {
	if data == nil {
		data = []byte("{}")
	}
	if data[0] != '{' {
		c.wrong("data", "dict_type", "Input should be a valid object: event, event_id, key and namespace are kept in it")
		return nil
	}
	var b []byte
	for quoted, value := range membersOf(data) {
		name, _ := fieldName(quoted)
		if ownFields[name] && c.raw(name) != nil {
			c.twice(name)
		}
		b = append(append(append(append(b, ','), quoted...), ':'), value...)
	}
	b = append(b, own...)
	b[0] = '{'
	return append(b, '}')
}

// entryAnswer begins an entry as it is shown.
type entryAnswer struct {
	EventID   int64   `json:"event_id"`
	Event     string  `json:"event"`
	Type      string  `json:"type"`
	TS        *int64  `json:"ts"`
	Status    *string `json:"status"`
	RunID     string  `json:"run_id"`
	Key       *string `json:"key"`
	AgentID   *string `json:"agent_id"`
	Attempt   int     `json:"attempt,omitempty"`
	Token     uint64  `json:"token,omitempty"`
	ErrorCode string  `json:"error_code,omitempty"`
}

// showEntries returns as many of the entries as an answer may have.
func (c *call) showEntries(entries []timeline.Entry) []json.RawMessage {
	shown := []json.RawMessage{}
	for left, i := c.timelineBytes(), 0; i < len(entries) && left > 0; i++ {
		b := showEntry(&entries[i])
		shown, left = append(shown, b), left-int64(len(b))
	}
	return shown
}

// showEntry is the entry with its further fields, but for those whose names are taken. Clients read
// step, tool and message without asking whether they are there.
func showEntry(e *timeline.Entry) json.RawMessage {
	b := bytes.TrimRight(encode(entryAnswer{
		e.EventID(), e.Type, e.Type, unixSeconds(e.Time), text(e.Status), e.RunID, text(e.Key), text(e.AgentID),
		e.Attempt, e.Token, e.ErrorCode,
	}), "}\n")
	missing := []string{"step", "tool", "message"}
	taken := map[string]bool{"attempt": e.Attempt != 0, "token": e.Token != 0, "error_code": e.ErrorCode != ""}
	if e.Fields != nil {
		for quoted, value := range membersOf(e.Fields) {
			name, _ := fieldName(quoted)
			if entryFields[name] || ownFields[name] || taken[name] {
				continue
			}
			taken[name] = true
			b = append(append(append(append(b, ','), quoted...), ':'), value...)
		}
	}
	for _, name := range missing {
		if !taken[name] {
			b = appendMember(b, name, json.RawMessage("null"))
		}
	}
	return append(b, '}')
}

func unixSeconds(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	n := t.Unix()
	return &n
}

// appendMember appends a member and the comma before it.
func appendMember(b []byte, name string, value json.RawMessage) []byte {
	b = append(append(b, ','), bytes.TrimRight(encode(name), "\n")...)
	return append(append(b, ':'), value...)
}

// membersOf are the members of an object, which is valid JSON: the name in its quotes, and the
// value. Both are parts of the object.
func membersOf(object []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		for rest := skipSpace(skipSpace(object)[1:]); rest[0] != '}'; rest = skipSpace(rest) {
			if rest[0] == ',' {
				rest = skipSpace(rest[1:])
			}
			var quoted, value []byte
			quoted, rest = cutValue(rest)
			value, rest = cutValue(skipSpace(skipSpace(rest)[1:])) // behind the colon
			if !yield(quoted, value) {
				return
			}
		}
	}
}

// fieldName is the name between its quotes. ok is false if it is no text.
func fieldName(quoted []byte) (name string, ok bool) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), true
	}
	if halfPair(quoted) {
		return "", false
	}
	return name, json.Unmarshal(quoted, &name) == nil
}

// unreadable says what in a JSON text some clients cannot read, or "". One such entry would spoil
// each page that it is on.
func unreadable(text []byte) (problem string) {
	deepest := 0
	for i, now := 0, 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i += stringEnd(text[i:]) - 1
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		case c == '-' || c >= '0' && c <= '9':
			number, _ := cutValue(text[i:])
			if _, err := strconv.ParseFloat(string(number), 64); err != nil {
				return fmt.Sprintf("a number of %d bytes is out of the range of 64-bit floating point", len(number))
			}
			i += len(number) - 1
		}
	}
	if deepest > maxEventDepth {
		return fmt.Sprintf("%d arrays and objects within each other, limit %d", deepest, maxEventDepth)
	}
	return ""
}
