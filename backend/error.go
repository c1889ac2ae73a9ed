package backend

import (
	"fmt"
	"unicode/utf8"
)

// Error says which call of which store failed, and why. Backends wrap in it what they return. Its
// text is made only when somebody reads it: a lost compare-and-set is an everyday answer.
type Error struct {
	Store string // the backend's package: "sqlite", "natskv"
	Op    string // "get", "compare-and-set", "append", "read stream", or the like for other methods
	Key   string // or the prefix of a listing, or a stream: of an Append, the first entry's
	Err   error  // wraps one of the errors of this package, or is what the store said
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s %s: %v", e.Store, e.Op, Quote(e.Key), e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Quote quotes a key for a message, which it keeps readable, and bounded, whatever the key: of one
// with more than 64 bytes it shows the first.
func Quote(key string) string {
	const most = 64
	if len(key) <= most {
		return fmt.Sprintf("%q", key)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(key[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", key[:cut], len(key))
}
