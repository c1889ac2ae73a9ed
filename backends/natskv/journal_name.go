package natskv

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/ailease/lease/backend"
)

// The subject of an entry has three tokens after the journal's prefix: the namespace of its stream,
// the rest of the stream's name, and the entry's id. So one filter selects a stream, and one a
// namespace. A namespace is what stands before the first slash.
const (
	tokenEmpty       = "="      // nothing: an empty namespace or rest, or an entry without an id
	tokenNoNamespace = "=="     // the namespace of a stream without a slash
	tokenFence       = "=fence" // stands where the filter that the fence belongs to has a "*"
)

// longestIDToken bounds the token of an id: the server reads lines of up to 4 096 bytes, and the
// longest name of a stream takes 3 845. An id whose token would be longer is hashed. Its token is
// one byte longer than this, so no other id has it.
const longestIDToken = 43

// escapeToken is escape for one token: a slash stands for itself.
func escapeToken(text string) string {
	if text == "" {
		return tokenEmpty
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

func unescapeToken(token string) (text string, ok bool) {
	if token == tokenEmpty {
		return "", true
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' && i+2 < len(token) {
			high, low := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			if c = byte(high<<4 | low); plain(c) {
				return "", false
			}
			i += 2
		} else if !plain(c) {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() > 0
}

// streamTokens are the two tokens of a stream's name.
func streamTokens(stream string) string {
	namespace, rest, ok := strings.Cut(stream, "/")
	if !ok {
		return tokenNoNamespace + "." + escapeToken(stream)
	}
	return escapeToken(namespace) + "." + escapeToken(rest)
}

// idToken is the token of an entry's id. The entry needs a header with the id if it is hashed.
func idToken(id string) (token string, hashed bool) {
	token = escapeToken(id)
	if len(token) <= longestIDToken {
		return token, false
	}
	sum := sha256.Sum256([]byte(id))
	return "=" + base64.RawURLEncoding.EncodeToString(sum[:]), true
}

// streamOf returns the name of the stream that an entry belongs to, and the token of its id. ok is
// false for a subject that no entry has: that of a fence, or somebody else's.
func streamOf(name string) (stream, id string, ok bool) {
	namespace, rest, _ := strings.Cut(name, ".")
	rest, id, _ = strings.Cut(rest, ".")
	if id == "" || id == tokenFence || strings.Contains(id, ".") {
		return "", "", false
	}
	if rest, ok = unescapeToken(rest); !ok {
		return "", "", false
	}
	if namespace == tokenNoNamespace {
		return rest, id, backend.CheckStream(rest) == nil && !strings.Contains(rest, "/")
	}
	if namespace, ok = unescapeToken(namespace); !ok || strings.Contains(namespace, "/") {
		return "", "", false
	}
	stream = namespace + "/" + rest
	return stream, id, backend.CheckStream(stream) == nil
}

// streamFilter selects the entries of a stream, and their fence.
func streamFilter(stream string) string { return streamTokens(stream) + ".*" }

// prefixFilter selects the entries of all streams whose name begins with prefix. It may select
// others too: all those of the namespace, or of the journal.
func prefixFilter(prefix string) string {
	namespace, _, ok := strings.Cut(prefix, "/")
	if !ok {
		return "*.*.*" // the prefix may end within a token
	}
	return escapeToken(namespace) + ".*.*"
}

// fenceOf is the name of the fence that a filter selects.
func fenceOf(filter string) string { return strings.ReplaceAll(filter, "*", tokenFence) }
