package natskv

import (
	"strings"

	"github.com/ailease/lease/backend"
)

const hexDigits = "0123456789ABCDEF"

// plain tells which bytes of a key stand for themselves in a subject. A dot would be allowed too,
// but not at the ends nor twice, and a key of many dots would be a subject of as many tokens.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '/'
}

// escape makes a key fit for a subject: each byte that is not plain becomes "=" and two hexadecimal
// digits. "default/chat 42" is "default/chat=2042".
func escape(key string) string {
	n := 0
	for i := range len(key) {
		if !plain(key[i]) {
			n++
		}
	}
	if n == 0 {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + 2*n)
	for i := range len(key) {
		if c := key[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// unescape undoes escape. ok is false for what escape never returns, and for what is not a key:
// somebody else put it there.
func unescape(name string) (key string, ok bool) {
	var b strings.Builder
	b.Grow(len(name))
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case plain(c):
		case c == '=' && i+2 < len(name):
			high, low := strings.IndexByte(hexDigits, name[i+1]), strings.IndexByte(hexDigits, name[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			if c = byte(high<<4 | low); plain(c) {
				return "", false
			}
			i += 2
		default:
			return "", false
		}
		b.WriteByte(c)
	}
	key = b.String()
	return key, backend.CheckKey(key) == nil
}
