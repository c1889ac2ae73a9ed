package backends

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// TestUnknownScheme: the error tells what to import.
func TestUnknownScheme(t *testing.T) {
	one := &registry{}
	one.add("other", func(context.Context, *url.URL) (Store, error) { return nil, nil })
	for _, tt := range []struct {
		name string
		in   *registry
		url  string
		says []string
	}{
		{"one of ours, with nothing registered", &registry{}, "sqlite:leases.db",
			[]string{`"sqlite:leases.db"`, `import _ "github.com/ailease/lease/backends/sqlite"`, "backends/all", "none is registered"}},
		{"one of ours, with another registered", one, "memory:",
			[]string{`import _ "github.com/ailease/lease/backends/memory"`, "registered are other"}},
		{"NATS", one, "nats://u:secret@h:4222", []string{`"nats://h:4222"`, `import _ "github.com/ailease/lease/backends/natskv"`}},
		{"NATS with TLS", one, "TLS://h:4222", []string{`import _ "github.com/ailease/lease/backends/natskv"`}},
		{"somebody's, with nothing registered", &registry{}, "redis://h", []string{`"redis://h"`, "none is registered", `_ "github.com/ailease/lease/backends/all"`}},
		{"somebody's, with another registered", one, "redis://h", []string{"registered are other"}},
		{"no scheme", one, "leases.db", []string{"like sqlite:leases.db"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.in.open(t.Context(), tt.url)
			if !errors.Is(err, ErrUnknownScheme) {
				t.Fatalf("%v, want ErrUnknownScheme", err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%v, want one that says %q", err, s)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("a password stands in: %v", err)
			}
		})
	}
}
