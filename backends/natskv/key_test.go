package natskv

import (
	"slices"
	"strings"
	"testing"

	"github.com/ailease/lease/backend"
)

func TestEscape(t *testing.T) {
	for key, want := range map[string]string{
		"default/chat_42":                        "default.chat_42",
		"default/chat 42":                        "default.chat=2042",
		"a/b/c":                                  "a.b/c",
		"a//":                                    "a./",
		"a/":                                     "a/",
		"/a":                                     "/a",
		"/a/b":                                   "/a/b",
		"//":                                     "//",
		"é:/é":                                   "=C3=A9=3A.=C3=A9",
		"a.b":                                    "a=2Eb",
		"=2E":                                    "=3D2E",
		"*":                                      "=2A",
		">":                                      "=3E",
		"$KV":                                    "=24KV",
		"é":                                      "=C3=A9",
		"\x00":                                   "=00",
		"chat:7@host+x":                          "chat=3A7=40host=2Bx",
		"/":                                      "/",
		strings.Repeat(".", backend.MaxKeyBytes): strings.Repeat("=2E", backend.MaxKeyBytes),
	} {
		got := escape(key)
		if got != want {
			t.Errorf("%q is escaped as %q, want %q", key, got, want)
		}
		if back, ok := unescape(got); !ok || back != key {
			t.Errorf("%q comes back as %q, %t", key, back, ok)
		}
	}
	foreign := []string{"", "=", "=2", "=2e", "=41", "=zz", "a b", "=FF", "*", "é", "a/b", ".", "a.", ".a", "a.b.c", "a/b.c", "a..b", "/.a", "=2F"}
	for _, name := range foreign {
		if key, ok := unescape(name); ok {
			t.Errorf("%q, which no key has, is taken for the name of %q", name, key)
		}
	}
}

// FuzzKey: every key has one name, which is a valid subject and tells the key. Other names tell
// none.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"default/chat_42", "a.b c", "=2E", "=41", "é", "\xff", "", "a/b/c", "/", "a/", "a./"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if backend.CheckKey(s) == nil {
			name := escape(s)
			for token := range strings.SplitSeq(name, ".") {
				if token == "" || strings.ContainsFunc(token, func(c rune) bool { return c > '~' || !plain(byte(c)) && c != '=' }) {
					t.Errorf("%q is escaped as %q", s, name)
				}
			}
			if back, ok := unescape(name); !ok || back != s {
				t.Errorf("%q is escaped as %q, which comes back as %q, %t", s, name, back, ok)
			}
			for n := range len(s) + 1 {
				if !slices.ContainsFunc(selectors(s[:n]), func(filter string) bool { return selects(filter, name) }) {
					t.Errorf("%q is not selected by %q, the filters of its prefix %q", name, selectors(s[:n]), s[:n])
				}
			}
		}
		if key, ok := unescape(s); ok && escape(key) != s {
			t.Errorf("%q tells %q, whose name is %q", s, key, escape(key))
		}
	})
}

// selects reports whether a server's filter selects a subject.
func selects(filter, subject string) bool {
	want, have := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return i < len(have)
		case i >= len(have) || token != "*" && token != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}
