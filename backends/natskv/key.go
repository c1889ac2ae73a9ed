package natskv

import (
	"strings"

	"github.com/ailease/lease/backend"
)

// A key's name is what follows the bucket's prefix in a subject. NATS divides subjects into tokens
// at their dots, and selects by whole tokens. So the first slash of a key becomes a dot: what
// stands before it, a namespace, is a token of its own, and "default.>" selects its keys. A slash
// at either end of a key stays a slash, since a subject has no empty tokens. A name therefore has
// one dot at most.

const hexDigits = "0123456789ABCDEF"

// plain reports which bytes of a key stand for themselves in a name.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '/'
}

// dividingSlash is where a key's namespace ends, or -1 if the key has none.
func dividingSlash(key string) int {
	i := strings.IndexByte(key, '/')
	if i == 0 || i == len(key)-1 {
		return -1
	}
	return i
}

// escape returns the name of key. Each byte that is not plain becomes "=" and two hexadecimal
// digits: "default/chat 42" is "default.chat=2042".
func escape(key string) string {
	slash := dividingSlash(key)
	n := 0
	for i := range len(key) {
		if !plain(key[i]) {
			n++
		}
	}
	if n == 0 && slash < 0 {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + 2*n)
	for i := range len(key) {
		switch c := key[i]; {
		case i == slash:
			b.WriteByte('.')
		case plain(c):
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// unescape undoes escape. ok is false for a name that no key has: it belongs to somebody else.
func unescape(name string) (key string, ok bool) {
	var b strings.Builder
	b.Grow(len(name))
	dot := -1
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case plain(c):
		case c == '.' && dot < 0:
			dot, c = b.Len(), '/'
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
	return key, dividingSlash(key) == dot && backend.CheckKey(key) == nil
}

// selectors returns subject filters that, together, select the names of all keys that begin with
// prefix. They may select others too.
func selectors(prefix string) []string {
	slash := strings.IndexByte(prefix, '/')
	switch {
	case slash < 0:
		return []string{">"} // the prefix may end within a token
	case slash == 0:
		return []string{"*"} // such keys have no namespace
	case slash == len(prefix)-1: // also the key that is the prefix itself
		return []string{escape(prefix[:slash]) + ".>", escape(prefix)}
	}
	return []string{escape(prefix[:slash]) + ".>"}
}
