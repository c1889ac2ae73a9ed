package lease

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/ailease/lease/internal/jcs"
)

// KeyOf returns a key that equal values share, whichever program made them and in whatever order
// their members stand. The same tool call, made again by a retry, by a second agent or on another
// host, asks for the same lease.
//
//	key, err := lease.KeyOf("send_email", arguments)
//
// The prefix says what is done, such as the tool's name. It has from 1 to 191 characters, which
// leaves room for the rest of the key, and no control characters. The value is anything that
// [json.Marshal] takes. A [json.RawMessage] or [json.Marshaler] stands for the JSON that it is.
//
// # The recipe, for other languages
//
// The key is the prefix, a colon, and the SHA-256 of the value's canonical JSON in 64 lower-case
// hexadecimal digits. Canonical JSON is that of RFC 8785 (JCS), in UTF-8: no white space; members
// sorted by the UTF-16 code units of their names; strings and numbers as ECMAScript's
// JSON.stringify writes them. Three values, their canonical JSON, and their keys:
//
//	null
//	null
//	tool:74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b
//
//	{"b": 1.0, "a": [true, "<\u00e9>"]}
//	{"a":[true,"<é>"],"b":1}
//	tool:39a44a99f9f0c36ad45f1182231dacee8a07f4006abf942cabae702abcf76464
//
//	{"\uff41": 1e-7, "\ud83d\ude00": 1e21}
//	{"😀":1e+21,"ａ":1e-7}
//	tool:5fab6f6868fc03d0756c10772bfcb3af1e0489b3998e8225dea803ddd1d7a0ed
//
// # Values without a key
//
// KeyOf refuses a value that has no canonical JSON, or that could share it with another value
// that was meant otherwise. The error is an [*Error], and errors.Is(err, [ErrInvalid]) holds.
// There is no key for
//
//   - numbers from 2^53 up to 1e21, of either sign, and larger ones that are written as integers:
//     two ids could round to one 64-bit float. Pass an id as a string.
//   - numbers beyond the largest 64-bit float. All others are rounded to one: 1.0 is 1.
//   - objects with two members of one name.
//   - strings that are not Unicode: with invalid UTF-8, or in JSON with half a surrogate pair, such
//     as "\ud800". A type that marshals itself answers for its own strings: if it wrote U+FFFD
//     instead, then U+FFFD is its value.
//   - more than 256 arrays and objects within each other.
//
// Nothing else is made equal. Null and a missing member, an é of one code point and one of two,
// and one instant in two time zones are different values. The key keeps nothing secret: whoever
// guesses the value can see that the guess is right.
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
