// Package backends opens a store by its URL, so that the choice is configuration:
//
//	store, err := backends.Open(ctx, os.Getenv("LEASES")) // "sqlite:///var/lib/app/leases.db", say
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	manager, err := lease.NewManager(store)
//
// The URLs that are known from the start:
//
//	memory:                                          for tests, and for one process whose leases need not outlive it
//	sqlite:leases.db                                 a file in the working folder; for many processes on one host
//	sqlite:///var/lib/leases.db?busy_timeout=10s     the same by its full path; synchronous=normal trades durability for speed
//	nats://host:4222?bucket=leases&replicas=3        a bucket of NATS JetStream; for many hosts. tls:// and user:password@ work too
//
// [Register] adds others. This package imports every store there is; a program that has made up its mind imports the one.
package backends

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/ailease/lease/backend"
)

// Store is an open backend. Close releases it; leases stay where they are.
type Store interface {
	backend.Backend
	io.Closer
}

// Opener opens the store that a URL names. It refuses, with an error that says what it knows, parameters that it does not know.
type Opener func(ctx context.Context, u *url.URL) (Store, error)

// ErrUnknownScheme says that no opener is registered for the URL's scheme.
var ErrUnknownScheme = errors.New("unknown scheme")

var registry = struct {
	sync.RWMutex
	openers map[string]Opener
}{openers: map[string]Opener{
	"memory": openMemory,
	"sqlite": openSQLite,
	"nats":   openNATS,
	"tls":    openNATS,
}}

// Register makes [Open] use o for URLs with the scheme, which is compared in lower case. It panics if the scheme is empty or taken, or o is nil: that
// is a mistake in a program, not in its configuration. It is safe for concurrent use.
func Register(scheme string, o Opener) {
	registry.Lock()
	defer registry.Unlock()
	scheme = strings.ToLower(scheme)
	if scheme == "" || o == nil {
		panic("backends: Register needs a scheme and an opener")
	}
	if _, taken := registry.openers[scheme]; taken {
		panic(fmt.Sprintf("backends: scheme %q is registered twice", scheme))
	}
	registry.openers[scheme] = o
}

// Open opens the store that rawURL names. ctx bounds only the opening. It is safe for concurrent use.
//
// Errors: [ErrUnknownScheme]; backend.ErrInvalid for a URL that cannot be understood; else what the store says. A password in the URL does not
// stand in the error.
func Open(ctx context.Context, rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("backends: %w: the URL cannot be parsed: %w", backend.ErrInvalid, err)
	}
	registry.RLock()
	open := registry.openers[u.Scheme]
	known := slices.Sorted(maps.Keys(registry.openers))
	registry.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("backends: %w %q in %q: want one of %s, as in sqlite:leases.db", ErrUnknownScheme, u.Scheme, u.Redacted(), strings.Join(known, ", "))
	}
	store, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("backends: open %q: %w", u.Redacted(), err)
	}
	return store, nil
}
