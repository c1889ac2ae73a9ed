package lease

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits that no option raises. Keys are bounded by what every backend takes, ids and hashes by
// what anybody sends.
const (
	maxKeyChars       = 256
	maxNamespaceBytes = 64
	maxIDBytes        = 256
	maxErrorTextBytes = 1024

	maxProgressBytes   = 1024
	maxCheckpointBytes = 64 << 10
	maxRunInputBytes   = 64 << 10
)

// minRetention is the least that a lease's own retention may be: a shorter one would end before
// those who wait have looked, and the work would be done again.
const minRetention = time.Minute

func checkNamespace(name string) error {
	if name == "" || len(name) > maxNamespaceBytes {
		return &FieldError{"namespace", fmt.Sprintf("%d bytes, must be from 1 to %d", len(name), maxNamespaceBytes)}
	}
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return &FieldError{"namespace", fmt.Sprintf("%d bytes with a character other than a-z, A-Z, 0-9, '.', '_' and '-'", len(name))}
		}
	}
	return nil
}

func (s *settings) checkKey(key string) error {
	if key == "" {
		return &FieldError{"key", fmt.Sprintf("0 characters, must be from 1 to %d", s.maxKeyChars)}
	}
	if n := utf8.RuneCountInString(key); n > s.maxKeyChars {
		return &FieldError{"key", fmt.Sprintf("%d characters, limit %d", n, s.maxKeyChars)}
	}
	return checkText("key", key)
}

// checkText refuses what cannot be shown, logged or sent as JSON.
func checkText(field, s string) error {
	if plainASCII(s) {
		return nil
	}
	if !utf8.ValidString(s) {
		return &FieldError{field, fmt.Sprintf("%d bytes that are not valid UTF-8", len(s))}
	}
	for i, c := range s {
		if unicode.IsControl(c) {
			return &FieldError{field, fmt.Sprintf("control character %U at byte %d of %d", c, i, len(s))}
		}
	}
	return nil
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func checkString(field, s string, limit int) error {
	if len(s) > limit {
		return &FieldError{field, fmt.Sprintf("%d bytes, limit %d", len(s), limit)}
	}
	return checkText(field, s)
}

func checkLeaseID(id string) error {
	if id == "" {
		return &FieldError{"lease_id", fmt.Sprintf("0 bytes, must be from 1 to %d", maxIDBytes)}
	}
	return checkString("lease_id", id, maxIDBytes)
}

// grant is the TTL that is granted to whoever asks for ttl.
func (s *settings) grant(ttl time.Duration) (time.Duration, error) {
	switch {
	case ttl == 0:
		return s.defaultTTL, nil
	case ttl < s.minTTL:
		return 0, &FieldError{"ttl", fmt.Sprintf("%v, must be at least %v", ttl, s.minTTL)}
	default:
		return min(ttl, s.maxTTL), nil
	}
}

// grantRetention checks a lease's own retention; 0 is none.
func (s *settings) grantRetention(d time.Duration) error {
	if d != 0 && (d < minRetention || d > s.maxRetention) {
		return &FieldError{"retention", fmt.Sprintf("%v, must be from %v to %v", d, minRetention, s.maxRetention)}
	}
	return nil
}

// maxNesting is how many arrays and objects JSON may have within each other, as for [KeyOf]. The
// parsers of some languages give up at a thousand, and then nobody there could read the answer.
const maxNesting = 256

// compact returns raw without insignificant white space, nil if it is empty. The limit is on what
// is stored.
func compact(field string, raw json.RawMessage, limit int) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if !utf8.Valid(raw) {
		return nil, &FieldError{field, fmt.Sprintf("%d bytes that are not valid UTF-8", len(raw))}
	}
	var b bytes.Buffer
	if len(raw) <= limit {
		b.Grow(len(raw))
	}
	if err := json.Compact(&b, raw); err != nil {
		return nil, &FieldError{field, fmt.Sprintf("%d bytes that are not valid JSON: %v", len(raw), err)}
	}
	if b.Len() > limit {
		return nil, &FieldError{field, fmt.Sprintf("%d bytes, limit %d", b.Len(), limit)}
	}
	if err := checkNesting(b.Bytes()); err != nil {
		return nil, &FieldError{field, err.Error()}
	}
	return b.Bytes(), nil
}

func checkNesting(text []byte) error {
	if n := nesting(text); n > maxNesting {
		return fmt.Errorf("%d arrays and objects within each other, limit %d", n, maxNesting)
	}
	return nil
}

// nesting is how many arrays and objects valid JSON has within each other.
func nesting(text []byte) (deepest int) {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++ // the next may be a quotation mark
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

func compactObject(field string, raw json.RawMessage, limit int) (json.RawMessage, error) {
	c, err := compact(field, raw, limit)
	if err == nil && len(c) > 0 && c[0] != '{' {
		return nil, &FieldError{field, fmt.Sprintf("%d bytes of JSON that are not an object", len(c))}
	}
	return c, err
}
