package backends_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
	_ "github.com/ailease/lease/backends/all"
	"github.com/ailease/lease/backends/memory"
)

// TestOpen shows that each URL opens a store that works; TestOpenNATS does for NATS.
func TestOpen(t *testing.T) {
	path := filepath.ToSlash(filepath.Join(t.TempDir(), "a file with %20, ? and #.db"))
	escaped := (&url.URL{Path: path}).EscapedPath()
	t.Chdir(t.TempDir())
	for _, u := range []string{
		"memory:",
		"MEMORY:",
		"sqlite://" + escaped,
		"sqlite://" + escaped + "?busy_timeout=1s&synchronous=normal",
		"sqlite:leases%20here.db",
		"sqlite:leases.db?synchronous=full",
	} {
		s, err := backends.Open(t.Context(), u)
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		works(t, s)
		if err := s.Close(); err != nil {
			t.Errorf("%s: close: %v", u, err)
		}
	}
	for _, file := range []string{path, "leases here.db", "leases.db"} {
		if m, _ := filepath.Glob(strings.NewReplacer("?", "[?]").Replace(file)); len(m) != 1 {
			t.Errorf("there is no file %q", file)
		}
	}
}

func works(t *testing.T, b backend.Backend) {
	t.Helper()
	revision, err := b.CompareAndSet(t.Context(), "k", 0, []byte("v"), time.Hour)
	if err != nil {
		t.Error(err)
		return
	}
	if e, err := b.Get(t.Context(), "k"); err != nil || e.Revision != revision {
		t.Errorf("%+v, %v", e, err)
	}
	if err := b.CompareAndDelete(t.Context(), "k", revision); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		url  string
		is   error
		says string
	}{
		{"", backends.ErrUnknownScheme, "registered are memory, nats, sqlite, tls"},
		{"redis://user:secret@host", backends.ErrUnknownScheme, `"redis://host"`},
		{"leases.db", backends.ErrUnknownScheme, "like sqlite:leases.db"},
		{"user:secret@host", backends.ErrUnknownScheme, "like sqlite:leases.db"},
		{"nats://user:secret@host:port", backend.ErrInvalid, "cannot be parsed"},
		{"nats://user:secret/@host:4222", backend.ErrInvalid, "cannot be parsed"},
		{"nats://user:secret%@host:4222", backend.ErrInvalid, "as %XX"},
		{"nats://secret#@host:4222", backend.ErrInvalid, "%23"},
		{"nats://secret?@host:4222", backend.ErrInvalid, "%3F"},
		{"nats://user:4222/secret@host:4222", backend.ErrInvalid, "%2F"},
		{"nats://user:se@cret@host:4222", backend.ErrInvalid, "%40"},
		{"nats://u:secret@a:1,v:secret@b:2", backend.ErrInvalid, "user and password stand once"},
		{"nats:///secret@host:4222", backend.ErrInvalid, "no server is named"},
		{"nats://host?secret", backend.ErrInvalid, "a parameter is unknown, known: bucket, replicas"},
		{"nats://host?token=secret", backend.ErrInvalid, "a parameter is unknown, known: bucket, replicas"},
		{"nats://host?secret%", backend.ErrInvalid, "the parameters cannot be parsed"},
		{"memory://host", backend.ErrInvalid, "has no name"},
		{"memory://secret@", backend.ErrInvalid, "has no name"},
		{"memory:?size=3", backend.ErrInvalid, "a parameter is unknown, known: none"},
		{"sqlite://leases.db", backend.ErrInvalid, "want three slashes"},
		{"sqlite:", backend.ErrInvalid, "the path is empty"},
		{"sqlite:leases.db#1", backend.ErrInvalid, "%23"},
		{"sqlite:100%.db", backend.ErrInvalid, "%25"},
		{"sqlite:l.db?busy=1s", backend.ErrInvalid, "a parameter is unknown, known: busy_timeout, synchronous"},
		{"sqlite:l.db?busy_timeout=secret", backend.ErrInvalid, `"busy_timeout" must be a duration such as 5s`},
		{"sqlite:l.db?busy_timeout=-1s", backend.ErrInvalid, "busy timeout is -1s"},
		{"sqlite:l.db?synchronous=off", backend.ErrInvalid, `"synchronous" must be full or normal`},
		{"sqlite:l.db?synchronous=full&synchronous=full", backend.ErrInvalid, "given 2 times"},
		{"nats://127.0.0.1:4222?replicas=three", backend.ErrInvalid, `"replicas" must be a number`},
		{"nats://127.0.0.1:4222?replicas=2000", backend.ErrInvalid, "replicas"},
		{"nats://user:secret@127.0.0.1:4222?bucket=secret.dots", backend.ErrInvalid, "bucket"},
	} {
		s, err := backends.Open(t.Context(), tt.url)
		switch {
		case err == nil:
			s.Close()
			t.Errorf("%s opened", tt.url)
		case !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says):
			t.Errorf("%s: %v, want one that says %q", tt.url, err, tt.says)
		case strings.Contains(err.Error(), "secret"), strings.Contains(err.Error(), "user:"):
			t.Errorf("%s: a secret stands in: %v", tt.url, err)
		}
	}
}

// stores counts what TestRegister registers, which stays: the test may run more than once.
var stores atomic.Int64

func TestRegister(t *testing.T) {
	var got *url.URL
	scheme := fmt.Sprint("X-Store", stores.Add(1))
	backends.Register(scheme, func(_ context.Context, u *url.URL) (backends.Store, error) {
		got = u
		return memory.New(), nil
	})
	s, err := backends.Open(t.Context(), strings.ToLower(scheme)+"://somewhere?x=1")
	if err != nil || got.Host != "somewhere" || got.Query().Get("x") != "1" {
		t.Fatalf("%v, URL %v", err, got)
	}
	works(t, s)
	for name, register := range map[string]func(){
		"twice": func() {
			backends.Register("sqlite", func(context.Context, *url.URL) (backends.Store, error) { return nil, nil })
		},
		"no opener": func() { backends.Register("other", nil) },
		"no scheme": func() {
			backends.Register("", func(context.Context, *url.URL) (backends.Store, error) { return nil, nil })
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Register did not panic", name)
				}
			}()
			register()
		}()
	}
}
