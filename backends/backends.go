// Package backends opens a store by its URL, so that the choice is configuration:
//
//	import (
//		"github.com/ailease/lease/backends"
//		_ "github.com/ailease/lease/backends/all" // or only the stores that are wanted
//	)
//
//	store, err := backends.Open(ctx, os.Getenv("LEASES")) // "sqlite:///var/lib/app/leases.db", say
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	manager, err := lease.NewManager(store)
//
// Stores register themselves when their package is imported, as drivers of database/sql do. This
// package imports none, so that a program links only what it uses:
//
//	memory     memory:
//	           for tests, and for one process whose leases need not outlive it
//	sqlite     sqlite:leases.db (in the working folder), sqlite:///var/lib/leases.db?busy_timeout=10s
//	           a file, for many processes on one host; synchronous=normal trades durability for speed
//	natskv     nats://host:4222?bucket=leases&replicas=3, tls://user:password@a:4222,b:4222
//	           a bucket of NATS JetStream, for many hosts
//
// A URL may hold a password or a token, in its user, or in its query. So this package prints only
// what [Redact] leaves of it, and so should its callers.
//
// # Add a store
//
// A store of yours is registered by its package:
//
//	func init() {
//		backends.Register("mystore", func(ctx context.Context, u *url.URL) (backends.Store, error) {
//			...
//		})
//	}
//
// [Query] reads the parameters of its URL.
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

// Store is an open backend. Close releases it. Leases stay where they are, unless that is the
// memory of this process.
type Store interface {
	backend.Backend
	io.Closer
}

// Opener opens the store that a URL names. It refuses parameters that it does not know; [Query]
// does that. Its errors do not tell the URL's user, password or query.
type Opener func(ctx context.Context, u *url.URL) (Store, error)

// ErrUnknownScheme says that no opener is registered for the URL's scheme.
var ErrUnknownScheme = errors.New("unknown scheme")

// Register makes [Open] use o for URLs with the scheme, which is compared in lower case. A store's
// package calls it in an init function. It panics if the scheme is empty or taken, or o is nil:
// that is a mistake in a program, not in its configuration. It is safe for concurrent use.
func Register(scheme string, o Opener) { registered.add(scheme, o) }

// Open opens the store that rawURL names. Its store's package must have been imported, see the
// package documentation. ctx bounds only the opening. It is safe for concurrent use.
//
// Errors:
//   - [ErrUnknownScheme], with the package to import if it is one of this module's;
//   - backend.ErrInvalid for a URL that cannot be understood;
//   - what the store says.
//
// They tell of the URL what [Redact] leaves.
func Open(ctx context.Context, rawURL string) (Store, error) { return registered.open(ctx, rawURL) }

var registered registry

// registry maps schemes to openers.
type registry struct {
	mu      sync.RWMutex
	openers map[string]Opener
}

func (r *registry) add(scheme string, o Opener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	scheme = strings.ToLower(scheme)
	if scheme == "" || o == nil {
		panic("backends: Register needs a scheme and an opener")
	}
	if _, taken := r.openers[scheme]; taken {
		panic(fmt.Sprintf("backends: scheme %q is registered twice", scheme))
	}
	if r.openers == nil {
		r.openers = make(map[string]Opener)
	}
	r.openers[scheme] = o
}

func (r *registry) open(ctx context.Context, rawURL string) (Store, error) {
	u, err := parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("backends: %w: %q: %w", backend.ErrInvalid, Redact(rawURL), err)
	}
	r.mu.RLock()
	open := r.openers[u.Scheme]
	r.mu.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("backends: %w in %q: %s", ErrUnknownScheme, Redact(rawURL), r.advice(u.Scheme))
	}
	store, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("backends: open %q: %w", Redact(rawURL), err)
	}
	return store, nil
}

// parse is url.Parse, but its errors quote nothing, and it refuses URLs of which a part of the
// password may have been taken for something else.
func parse(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be parsed: write special characters in user and password as %XX")
	case strings.Contains(rawURL, "#"):
		return nil, errors.New("a '#' must be written as %23")
	case strings.Contains(u.RawQuery, "@"):
		return nil, errors.New("a '?' in user or password must be written as %3F, and an '@' in a parameter as %40")
	case u.Host != "" && strings.Contains(u.EscapedPath(), "@"):
		return nil, errors.New("a '/' in user or password must be written as %2F, and an '@' in a path as %40")
	case u.User != nil && strings.Count(rawURL, "@") > 1:
		return nil, errors.New("an '@' in user or password must be written as %40; before several hosts, user and password stand once")
	}
	return u, nil
}

const module = "github.com/ailease/lease/backends/"

// packages of this module that register schemes.
var packages = map[string]string{"memory": "memory", "sqlite": "sqlite", "nats": "natskv", "tls": "natskv"}

// advice tells what to do about a scheme that is not registered.
func (r *registry) advice(scheme string) string {
	r.mu.RLock()
	known := slices.Sorted(maps.Keys(r.openers))
	r.mu.RUnlock()
	are := "registered are " + strings.Join(known, ", ")
	if len(known) == 0 {
		are = "none is registered"
	}
	switch name, ours := packages[scheme]; {
	case ours:
		return fmt.Sprintf("the program must import _ %q, or %q for every store; %s", module+name, module+"all", are)
	case len(known) == 0:
		return fmt.Sprintf("%s: the program must import a store's package, or _ %q for every store", are, module+"all")
	default:
		return are + ", and a URL is written like sqlite:leases.db"
	}
}
