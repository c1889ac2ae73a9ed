package httpserver

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
)

// fieldNames are the fields of all endpoints. The others of a body are passed over.
var fieldNames = map[string]bool{
	"key": true, "lease_id": true, "ttl": true, "metadata": true, "nonce": true, "input_hash": true,
	"replace": true, "at_most_once": true, "retry_failed": true, "retention": true,
	"checkpoint": true, "checkpoint_seq": true, "result": true, "result_hash": true,
	"error_code": true, "error_hash": true, "reason": true, "retryable": true,
	"run_id": true, "agent_id": true, "tool": true, "args": true, "delay": true, "within": true, "attempts": true,
	"email_notifications_enabled": true, "tool_error_notifications_enabled": true,
	"run_failure_notifications_enabled": true,
}

// members returns the fields with one of the names of the object that body is, each as a part of
// body, and the names that stand there more than once. body is valid JSON. If it is no object,
// fields is nil.
func members(body []byte, names map[string]bool) (fields map[string]json.RawMessage, twice []string) {
	rest := skipSpace(body)
	if rest[0] != '{' {
		return nil, nil
	}
	fields = make(map[string]json.RawMessage)
	for rest = skipSpace(rest[1:]); rest[0] != '}'; rest = skipSpace(rest) {
		if rest[0] == ',' {
			rest = rest[1:]
			continue
		}
		var quoted, value []byte
		quoted, rest = cutValue(rest)
		value, rest = cutValue(skipSpace(skipSpace(rest)[1:])) // behind the colon
		name := memberName(quoted, names)
		if name == "" {
			continue
		}
		if _, there := fields[name]; there && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
		fields[name] = value
	}
	return fields, twice
}

// memberName returns the name if it is one of names, else "". The same name may be written with
// escapes.
func memberName(quoted []byte, names map[string]bool) string {
	const longest = 128 // of a field's name, with every character escaped
	if len(quoted) > longest {
		return ""
	}
	name := string(quoted[1 : len(quoted)-1])
	if bytes.IndexByte(quoted, '\\') >= 0 {
		if json.Unmarshal(quoted, &name) != nil {
			return ""
		}
	}
	if !names[name] {
		return ""
	}
	return name
}

func skipSpace(text []byte) []byte { return bytes.TrimLeft(text, " \t\r\n") }

// cutValue splits valid JSON behind its first value, or behind a member's name.
func cutValue(text []byte) (value, rest []byte) {
	switch text[0] {
	case '"':
		end := stringEnd(text)
		return text[:end], text[end:]
	case '{', '[':
		depth := 0
		for i := 0; ; i++ {
			switch text[i] {
			case '"':
				i += stringEnd(text[i:]) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return text[:i+1], text[i+1:]
				}
			}
		}
	default:
		end := bytes.IndexAny(text, ",]} \t\r\n")
		return text[:end], text[end:] // an object is around it
	}
}

// stringEnd is where the string ends with which text begins.
func stringEnd(text []byte) int {
	for i := 1; ; i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// halfPair reports whether a JSON string has half of a surrogate pair. encoding/json makes U+FFFD
// of it, and two keys would become one.
func halfPair(quoted []byte) bool {
	unit := func(i int) uint64 { // of \uXXXX at i; 0 if there is none
		if i+6 > len(quoted) || quoted[i] != '\\' || quoted[i+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(quoted[i+2:i+6]), 16, 16) // valid JSON has four digits there
		return n
	}
	const high, low, end = 0xD800, 0xDC00, 0xE000
	for i := 0; i < len(quoted); i++ {
		if quoted[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case u < high || u >= end:
			i++ // the escaped character
		case u >= low:
			return true
		default:
			if next := unit(i + 6); next < low || next >= end {
				return true
			}
			i += 11
		}
	}
	return false
}
