package timeline

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease/backend"
)

// written is an entry's payload, for reading: one JSON object. Names stay for ever. What a version
// of this package does not know is ignored. Writing goes through appendJSON, which must name the
// same members. The journal keeps the stream and the id.
type written struct {
	Time      int64           `json:"ts"` // in Unix microseconds
	Type      string          `json:"type"`
	Status    string          `json:"st"`
	Key       string          `json:"key"`
	AgentID   string          `json:"agent"`
	Attempt   int             `json:"n"`
	Token     uint64          `json:"token"`
	ErrorCode string          `json:"err"`
	Fields    json.RawMessage `json:"f"`
}

func (e *Entry) appendJSON(b []byte) []byte {
	b = append(b, `{"ts":`...)
	b = strconv.AppendInt(b, e.Time.UnixMicro(), 10)
	b = appendMember(b, `,"type":`, e.Type)
	b = appendMember(b, `,"st":`, e.Status)
	b = appendMember(b, `,"key":`, e.Key)
	b = appendMember(b, `,"agent":`, e.AgentID)
	if e.Attempt != 0 {
		b = strconv.AppendInt(append(b, `,"n":`...), int64(e.Attempt), 10)
	}
	if e.Token != 0 {
		b = strconv.AppendUint(append(b, `,"token":`...), e.Token, 10)
	}
	b = appendMember(b, `,"err":`, e.ErrorCode)
	if e.Fields != nil {
		b = append(append(b, `,"f":`...), e.Fields...)
	}
	return append(b, '}')
}

// appendMember appends a member unless it is empty. Mostly s needs no escapes.
func appendMember(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	b = append(append(b, name...), '"')
	plain := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if i++; c >= ' ' && c != '"' && c != '\\' {
				continue
			}
			b = append(append(b, s[plain:i-1]...), `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			plain = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(append(b, s[plain:i]...), "\ufffd"...)
			plain = i + 1
		}
		i += n
	}
	return append(append(b, s[plain:]...), '"')
}

// decode is the entry that the journal has.
func decode(j *backend.JournalEntry) Entry {
	e := Entry{ID: j.ID, Position: j.Position, Type: TypeUnreadable}
	e.Namespace, e.RunID = split(j.Stream)
	var w written
	if json.Unmarshal(j.Data, &w) != nil || w.Type == "" {
		return e
	}
	e.Time, e.Type, e.Status, e.Key, e.AgentID = time.UnixMicro(w.Time).UTC(), w.Type, w.Status, w.Key, w.AgentID
	e.Attempt, e.Token, e.ErrorCode = w.Attempt, w.Token, w.ErrorCode
	if len(w.Fields) > 0 && w.Fields[0] == '{' {
		e.Fields = w.Fields
	}
	return e
}
