package natskv

import (
	"strings"
	"testing"

	"github.com/ailease/lease/backend"
)

func TestEscape(t *testing.T) {
	for key, want := range map[string]string{
		"default/chat_42":                        "default/chat_42",
		"default/chat 42":                        "default/chat=2042",
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
	for _, name := range []string{"", "=", "=2", "=2e", "=41", "=zz", "a.b", "a b", "=FF", "*", "é"} {
		if key, ok := unescape(name); ok {
			t.Errorf("%q, which no key has, is taken for that of %q", name, key)
		}
	}
}

// FuzzKey: every key has one name, which is fit for a subject and tells the key; every other name
// tells none.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"default/chat_42", "a.b c", "=2E", "=41", "é", "\xff", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if backend.CheckKey(s) == nil {
			name := escape(s)
			if strings.ContainsFunc(name, func(c rune) bool { return c > '~' || !plain(byte(c)) && c != '=' }) {
				t.Errorf("%q is escaped as %q", s, name)
			}
			if back, ok := unescape(name); !ok || back != s {
				t.Errorf("%q is escaped as %q, which comes back as %q, %t", s, name, back, ok)
			}
		}
		if key, ok := unescape(s); ok && escape(key) != s {
			t.Errorf("%q tells %q, whose name is %q", s, key, escape(key))
		}
	})
}
