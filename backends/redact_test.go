package backends_test

import (
	"strings"
	"testing"

	"github.com/ailease/lease/backends"
)

// TestRedact: whatever is secret here contains a canary.
func TestRedact(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"memory:", "memory:"},
		{"sqlite:leases.db", "sqlite:leases.db"},
		{"SQLite:leases.db?key=canary", "sqlite:leases.db"},
		{"sqlite:///var/lib/a%20b.db?busy_timeout=canary", "sqlite:///var/lib/a%20b.db"},
		{"sqlite:a@b.db", "sqlite:…"},
		{"sqlite:///var/a@b/leases.db", "sqlite://…"},
		{"nats://host:4222", "nats://host:4222"},
		{"nats://host:4222?bucket=canary&replicas=3", "nats://host:4222"},
		{"nats://host:4222#canary", "nats://host:4222"},
		{"tls://user-canary:canary@host:4222?bucket=b", "tls://host:4222"},
		{"nats://canary@host", "nats://host"},
		{"nats://canary@[::1]:4222", "nats://[::1]:4222"},
		{"postgres://canary:canary@host/leases?password=canary", "postgres://host/leases"},
		{"postgres://host/leases?user=a@b&password=canary", "postgres://…"},

		// Several hosts.
		{"nats://a:1,b:2", "nats://a:1,b:2"},
		{"nats://u:canary@a:1,b:2?bucket=b", "nats://a:1,b:2"},
		{"nats://u:canary@a:1,v:canary@b:2", "nats://…,b:2"},
		{"nats://a:1,v:canary@b:2", "nats://…,b:2"},
		{"nats://a:1,nats://b:2", "nats://a:1,nats://b:2"},
		{"nats://u:canary@a:1, tls://v:canary@b:2?c=canary", "nats://a:1,tls://b:2"},
		{"nats://u:canary@a:1,v:canary@b:2,nats://w:canary@c:3", "nats://…,b:2,nats://c:3"},
		{"canary@a:1,nats://canary@b:2", "…,nats://b:2"},
		{"nats://host?peers=a,nats://canary", "nats://host"},
		{"nats://canary?,nats://canary@host", "nats://…"},

		// Passwords that were not escaped, or that nobody can parse.
		{"nats://u:canary%zz@host", "nats://host"},
		{"nats://u:ca@nary@host", "nats://host"},
		{"nats://u:canary,@host", "nats://…,host"},
		{"nats://u:canary/@host", "nats://…"},
		{"nats://u:1/canary@host", "nats://…"},
		{"nats:///canary@host", "nats://…"},
		{"nats://canary?@host", "nats://…"},
		{"nats://canary#@host", "nats://…"},
		{"nats://u:canary @host:port", "nats://host:port"},
		{"nats://u:canary\n@host", "nats://host"},
		{"nats://u:canary@", "nats://"},

		// No URL at all.
		{"", "…"},
		{"leases.db", "…"},
		{"canary", "…"},
		{"canary@host", "…"},
		{"canary:canary@host:4222", "…"},
		{"canary:canary", "…"},
		{"nats:canary@host:4222", "nats:…"},
		{"://u:canary@host", "…"},
		{"1canary:x", "…"},
		{"can ary://host", "…"},
	} {
		got := backends.Redact(tt.url)
		if got != tt.want {
			t.Errorf("Redact(%q) = %q, want %q", tt.url, got, tt.want)
		}
		for _, part := range []string{"canary", "nary", "u:", "user"} {
			if strings.Contains(got, part) {
				t.Errorf("Redact(%q) = %q, which shows %q", tt.url, got, part)
			}
		}
	}
}
