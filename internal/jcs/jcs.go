// Package jcs writes values as canonical JSON: that of RFC 8785, the JSON Canonicalization Scheme.
package jcs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ailease/lease/backend"
)

const (
	maxNesting     = 256       // arrays and objects within each other
	maxSafeInteger = 1<<53 - 1 // from 2^53 on, different integers round to one double
)

// Error says why a value has no canonical JSON. Its text never shows more than the beginning of a
// long string.
type Error struct{ Problem string }

func (e *Error) Error() string { return e.Problem }

// Marshal returns v as JSON in the one form that RFC 8785 gives it. If there is no such form, or if
// another value that was meant otherwise could share it, the error is an [*Error].
//
// v is anything that [json.Marshal] takes. A [json.RawMessage] or a [json.Marshaler] stands for
// the JSON that it is. Its strings count as they are after that: if a Marshaler wrote U+FFFD in
// place of invalid UTF-8, then U+FFFD is its value.
func Marshal(v any) ([]byte, error) {
	// encoding/json returns valid JSON without white space, also where a RawMessage or a Marshaler
	// wrote it. The code below relies on that and checks nothing again. It owns the text and may
	// write over it.
	text, err := json.Marshal(v)
	if err != nil {
		return nil, problem("%v", err)
	}
	if !utf8.Valid(text) {
		return nil, problem("%d bytes of JSON that are not valid UTF-8", len(text))
	}
	if bytes.Contains(text, []byte("\ufffd")) || bytes.Contains(text, []byte(`\ufffd`)) {
		if s, found := invalidString(reflect.ValueOf(v)); found {
			return nil, problem("string %s of %d bytes that are not valid UTF-8", backend.Quote(s), len(s))
		}
	}
	c := canonicaliser{rest: text, out: make([]byte, 0, len(text))}
	if err := c.value(0); err != nil {
		return nil, err
	}
	return c.out, nil
}

func problem(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// canonicaliser turns valid, compact JSON into canonical JSON.
type canonicaliser struct {
	rest    []byte   // the text still to read
	out     []byte   // the canonical form of the text read so far
	members []member // the members of all open objects, those of the innermost last
	sorted  []byte   // scratch space to put the members of one object in order
}

// member is a member of an object. Its canonical form is out[from:to].
type member struct {
	name     []byte // without its escapes
	from, to int
}

func (c *canonicaliser) value(depth int) error {
	switch c.rest[0] {
	case '{', '[':
		if depth == maxNesting {
			return problem("more than %d arrays and objects within each other", maxNesting)
		}
		if c.rest[0] == '{' {
			return c.object(depth + 1)
		}
		return c.array(depth + 1)
	case '"':
		s, err := c.readString()
		c.out = appendString(c.out, s)
		return err
	case 't', 'f', 'n':
		c.out = append(c.out, c.readToken()...)
		return nil
	default:
		return c.number()
	}
}

// copyByte copies one of the characters that stand between values.
func (c *canonicaliser) copyByte() {
	c.out = append(c.out, c.rest[0])
	c.rest = c.rest[1:]
}

func (c *canonicaliser) array(depth int) error {
	c.copyByte()
	for c.rest[0] != ']' {
		if c.rest[0] == ',' {
			c.copyByte()
		}
		if err := c.value(depth); err != nil {
			return err
		}
	}
	c.copyByte()
	return nil
}

// object writes the members as they come and puts them in order at the end. That moves a byte once
// for each object around it: maxNesting times at most.
func (c *canonicaliser) object(depth int) error {
	c.copyByte()
	begin, outer := len(c.out), len(c.members)
	for c.rest[0] != '}' {
		if c.rest[0] == ',' {
			c.copyByte()
		}
		from := len(c.out)
		name, err := c.readString()
		if err != nil {
			return err
		}
		c.out = appendString(c.out, name)
		c.copyByte() // the colon
		if err := c.value(depth); err != nil {
			return err
		}
		c.members = append(c.members, member{name, from, len(c.out)})
	}
	members := c.members[outer:]
	c.members = c.members[:outer]
	byName := func(a, b member) int { return compareUTF16(a.name, b.name) }
	if !slices.IsSortedFunc(members, byName) {
		slices.SortFunc(members, byName)
		c.sorted = c.sorted[:0]
		for i, m := range members {
			if i > 0 {
				c.sorted = append(c.sorted, ',')
			}
			c.sorted = append(c.sorted, c.out[m.from:m.to]...)
		}
		copy(c.out[begin:], c.sorted)
	}
	for i := 1; i < len(members); i++ {
		if bytes.Equal(members[i-1].name, members[i].name) {
			return problem("member %s stands in one object twice", backend.Quote(string(members[i].name)))
		}
	}
	c.copyByte()
	return nil
}

// compareUTF16 orders valid UTF-8 by the code units of the same text in UTF-16. That is the order
// of the bytes, with one exception: U+10000 and above are surrogates in UTF-16, and come before
// U+E000 to U+FFFF.
func compareUTF16(a, b []byte) int {
	weight := func(c byte) byte {
		if c == 0xEE || c == 0xEF { // the first bytes of U+E000 to U+FFFF
			return c + 0x10 // behind 0xF0 to 0xF4, the first bytes of U+10000 and above
		}
		return c
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return cmp.Compare(weight(a[i]), weight(b[i]))
		}
	}
	return cmp.Compare(len(a), len(b))
}

// readToken reads a number, true, false or null.
func (c *canonicaliser) readToken() []byte {
	end := bytes.IndexAny(c.rest, ",]}")
	if end < 0 {
		end = len(c.rest)
	}
	token := c.rest[:end]
	c.rest = c.rest[end:]
	return token
}

// number refuses integers outside of the safe range, because a double cannot tell them from their
// neighbours. Numbers from 1e21 on are accepted if they are written as floats are, with a
// fraction or an exponent. Between the two, the canonical form of a float is that of an integer.
func (c *canonicaliser) number() error {
	token := c.readToken()
	f, err := strconv.ParseFloat(string(token), 64)
	isInteger := !bytes.ContainsAny(token, ".eE")
	if abs := math.Abs(f); abs > maxSafeInteger && (isInteger || abs < 1e21) {
		return problem("number %s, must be from -%d to %[2]d, where integers are exact: pass it as a string",
			backend.Quote(string(token)), int64(maxSafeInteger))
	}
	if err != nil {
		return problem("number %s, larger than a 64-bit float: pass it as a string",
			backend.Quote(string(token)))
	}
	c.out = appendNumber(c.out, f)
	return nil
}

// appendNumber appends f as ECMAScript writes it.
func appendNumber(b []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case f == 0:
		return append(b, '0') // -0 too
	case 1e-6 <= abs && abs < 1e21:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-3] == '-' && b[n-2] == '0' { // e-07, which ECMAScript writes e-7
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

// readString reads a string and returns its value.
func (c *canonicaliser) readString() ([]byte, error) {
	end, escaped := 1, false
	for c.rest[end] != '"' {
		if c.rest[end] == '\\' {
			escaped = true
			end++ // which may be a quotation mark
		}
		end++
	}
	s := c.rest[1:end]
	c.rest = c.rest[end+1:]
	if !escaped {
		return s, nil
	}
	return unescape(s)
}

// unescape works in place: no escape is shorter than the character that it stands for.
func unescape(rest []byte) ([]byte, error) {
	s := rest[:0]
	for len(rest) > 0 {
		if rest[0] != '\\' {
			s = append(s, rest[0])
			rest = rest[1:]
			continue
		}
		if rest[1] == 'u' {
			r, n := codeUnit(rest), 6
			if utf16.IsSurrogate(r) {
				var low rune
				if bytes.HasPrefix(rest[n:], []byte(`\u`)) {
					low = codeUnit(rest[n:])
				}
				if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
					return nil, problem("lone surrogate %s in a string", rest[:n])
				}
				n = 12
			}
			s = utf8.AppendRune(s, r)
			rest = rest[n:]
			continue
		}
		b := rest[1]
		if i := bytes.IndexByte([]byte("bfnrt"), b); i >= 0 {
			b = "\b\f\n\r\t"[i]
		}
		s = append(s, b)
		rest = rest[2:]
	}
	return s, nil
}

// codeUnit reads \uXXXX.
func codeUnit(escape []byte) rune {
	n, _ := strconv.ParseUint(string(escape[2:6]), 16, 16) // valid JSON has four digits there
	return rune(n)
}

// appendString appends s, valid UTF-8, with no more escapes than JSON must have, as ECMAScript
// writes it.
func appendString(b, s []byte) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		default:
			if i := bytes.IndexByte([]byte("\b\f\n\r\t"), c); i >= 0 {
				b = append(b, '\\', "bfnrt"[i])
			} else {
				b = fmt.Appendf(b, `\u%04x`, c)
			}
		}
	}
	return append(b, '"')
}
