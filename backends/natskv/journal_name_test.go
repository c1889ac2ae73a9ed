package natskv

import (
	"strings"
	"testing"

	"github.com/ailease/lease/backend"
)

func TestStreamTokens(t *testing.T) {
	for stream, want := range map[string]string{
		"default/chat_42": "default.chat_42",
		"chat":            "==.chat",
		"a/b/c":           "a.b/c",
		"a/":              "a.=",
		"/a":              "=.a",
		"/":               "=.=",
		"//":              "=./",
		"a.b/c d":         "a=2Eb.c=20d",
		"=fence/=fence":   "=3Dfence.=3Dfence",
		"*/>":             "=2A.=3E",
	} {
		if got := streamTokens(stream); got != want {
			t.Errorf("the tokens of %q are %q, want %q", stream, got, want)
		}
	}
	for _, name := range []string{
		"", "a", "a.b", "a.b.", "==.a/b.=", "==.=.=", "a/b.c.=", "..", "=.=.=fence", "a.b.=fence", "a.=fence.=fence",
		"=fence.=fence.=fence", "=2.a.=", "a.=41.=", "a.==.=", "\xff.a.=", "a.b.c.d",
	} {
		if stream, _, ok := streamOf(name); ok {
			t.Errorf("%q, which no entry has, is taken for one of %q", name, stream)
		}
	}
}

// FuzzStream: every stream and id have one subject, which tells them, and which the filters of the
// stream and of its prefixes select.
func FuzzStream(f *testing.F) {
	f.Add("default/chat_42", "e1")
	f.Add("chat", "")
	f.Add("/", "=fence")
	f.Add("a/b/c", "é.*>")
	f.Add("é/", strings.Repeat("x", 43))
	f.Add("//", strings.Repeat("x", 44))
	f.Add(strings.Repeat("é", 640), strings.Repeat("é", 32))
	f.Fuzz(func(t *testing.T, stream, id string) {
		if backend.CheckAppend([]backend.JournalEntry{{Stream: stream, ID: id, Keep: 1}}) != nil {
			t.Skip("no journal has to take it")
		}
		token, hashed := idToken(id)
		name := streamTokens(stream) + "." + token
		for token := range strings.SplitSeq(name, ".") {
			if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c > '~' || !plain(byte(c)) && c != '=' }) {
				t.Errorf("%q has the subject %q", stream, name)
			}
		}
		const most = 3*backend.MaxKeyBytes + len("==..") + longestIDToken + 1
		if len(name) > most {
			t.Errorf("a subject of %d bytes, want at most %d", len(name), most)
		}
		back, idBack, ok := streamOf(name)
		if !ok || back != stream {
			t.Errorf("%q comes back as %q, %t", stream, back, ok)
		}
		if text, ok := unescapeToken(idBack); !hashed && (!ok || text != id) {
			t.Errorf("id %q comes back as %q, %t", id, text, ok)
		}
		if text, ok := unescapeToken(escapeToken(id)); !ok || text != id {
			t.Errorf("id %q comes back as %q, %t, from the header", id, text, ok)
		}
		if !selects(streamFilter(stream), name) || !selects(streamFilter(stream), fenceOf(streamFilter(stream))) {
			t.Errorf("%q selects not %q, or not its fence", streamFilter(stream), name)
		}
		for i := range len(stream) + 1 {
			if filter := prefixFilter(stream[:i]); !selects(filter, name) || !selects(filter, fenceOf(filter)) {
				t.Errorf("%q, for prefix %q, selects not %q, or not its fence", filter, stream[:i], name)
			}
		}
	})
}
