package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/ailease/lease/internal/jcs"
)

// KeyOf returns a key that equal values share, whichever program made them and in whatever order
// their members stand: a tool call that is made again asks for the same lease. The prefix says what
// is done, such as "send_email". It has from 1 to 191 characters, none of them a control character.
// The value is anything that [json.Marshal] takes.
//
// # The recipe, for other languages
//
// The key is the prefix, a colon, and the SHA-256 of the value's canonical JSON in 64 lower-case
// hexadecimal digits. Canonical JSON is that of RFC 8785 (JCS), in UTF-8: no white space; members
// sorted by the UTF-16 code units of their names; strings and numbers as ECMAScript's
// JSON.stringify writes them. A value, its canonical JSON, and its key:
//
//	{"\uff41": 1e-7, "b": 1.0, "\ud83d\ude00": [1e21, "<\u00e9>", null]}
//	{"b":1,"😀":[1e+21,"<é>",null],"ａ":1e-7}
//	tool:27b8e1d9eb545cce96951ca7bb144d1b1d5cbe1d395394476f7f298eca570e51
//
// A value that has no canonical JSON, or could share it with another, is [ErrInvalid]:
//
//   - numbers from 2^53 up to 1e21, of either sign, and larger ones that are written as integers:
//     two ids could round to one 64-bit float. Pass an id as a string.
//   - numbers beyond the largest 64-bit float; others are rounded to one.
//   - objects with two members of one name, and more than 256 levels of arrays and objects.
//   - strings that are not Unicode: with invalid UTF-8, or in JSON with half a surrogate pair, such
//     as "\ud800". A type that marshals itself answers for its own strings.
//
// Null and a missing member are different values. The key keeps nothing secret: whoever guesses the
// value can check the guess.
func KeyOf(prefix string, v any) (string, error) {
	fail := func(err error) (string, error) { return "", &Error{Op: "key of", Key: prefix, Err: err} }
	if err := checkPrefix(prefix); err != nil {
		return fail(err)
	}
	digest, err := hashJSON("value", v)
	if err != nil {
		return fail(err)
	}
	return prefix + ":" + digest, nil
}

// inputHash returns the hash of a lease's input. It is the digest that KeyOf puts behind its
// prefix.
func inputHash(v any) (string, error) { return hashJSON("input", v) }

// hashJSON returns the SHA-256 of v's canonical JSON in lower-case hexadecimal digits. If v has no
// canonical JSON, the error is a [*FieldError] of field.
func hashJSON(field string, v any) (string, error) {
	canonical, err := jcs.Marshal(v)
	if err != nil {
		return "", &FieldError{field, err.Error()}
	}
	digest := sha256.Sum256(canonical)
	return hex.EncodeToString(digest[:]), nil
}

func checkPrefix(prefix string) error {
	const limit = maxKeyChars - 1 - 2*sha256.Size // what a colon and the digits leave
	if n := utf8.RuneCountInString(prefix); n < 1 || n > limit {
		return &FieldError{"prefix", fmt.Sprintf("%d characters, must be from 1 to %d", n, limit)}
	}
	return checkText("prefix", prefix)
}
