package httpserver

import (
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"github.com/ailease/lease"
)

// Option changes a default of [New], which reports values out of range.
type Option func(*settings)

type settings struct {
	authenticate Authenticator
	authentics   int // how many options said who may call
	keys         map[string]string
	maxBodyBytes int64
	storeTimeout time.Duration
	hideLeaseIDs bool

	duplicateConflict bool

	perSecond float64
	burst     int
	limits    *limits // nil: no limit
	logger    *slog.Logger
}

// WithAPIKeys admits requests with "Authorization: Bearer <key>". Each key maps to the namespace
// that it may use.
//
// A key has 8 to 256 printable ASCII characters without spaces. Namespaces are those of
// [lease.WithNamespace]. Only the SHA-256 of a key is kept, and compared in constant time.
func WithAPIKeys(namespaces map[string]string) Option {
	return func(s *settings) { s.keys, s.authentics = namespaces, s.authentics+1 }
}

// WithAuthenticator has a decide who is admitted, and to which namespace.
func WithAuthenticator(a Authenticator) Option {
	return func(s *settings) { s.authenticate, s.authentics = a, s.authentics+1 }
}

// WithoutAuth admits everybody to the namespace of the Manager. It is for a handler that stands
// behind an authentication of its own.
func WithoutAuth() Option {
	return func(s *settings) { s.authenticate, s.authentics = admitAll, s.authentics+1 }
}

// WithMaxBodyBytes sets how large the body of a request may be, from 1 KiB to 64 MiB; 1 MiB unless
// set, which is more than the largest result.
func WithMaxBodyBytes(n int64) Option { return func(s *settings) { s.maxBodyBytes = n } }

// WithStoreTimeout sets how long a request waits for the store, from 100 ms to 10 minutes; 4
// seconds unless set. Then it is answered with 503. Finding out what became of a write may take
// half a second more.
//
// Clients of the hosted API give up after 5 seconds, and do not know then what happened. For a
// status request that is held, the time counts from the end of its wait.
func WithStoreTimeout(d time.Duration) Option { return func(s *settings) { s.storeTimeout = d } }

// WithHiddenLeaseIDs hides the holder's lease id from pollers. Only the answers to acquire and
// extend have it then. Whoever knows the lease id can end the lease.
func WithHiddenLeaseIDs() Option { return func(s *settings) { s.hideLeaseIDs = true } }

// WithDuplicateConflict answers a check-lock of a locked key with 409 instead of 200 and
// "success": false. It is for clients that look at the HTTP status alone.
func WithDuplicateConflict() Option { return func(s *settings) { s.duplicateConflict = true } }

// WithRateLimit bounds the requests of each namespace to perSecond, and to burst at once. Both must
// be greater than 0. Requests beyond that are answered with 429 and Retry-After. There is no limit
// unless set. Each handler counts by itself: two processes admit twice as many.
func WithRateLimit(perSecond float64, burst int) Option {
	return func(s *settings) { s.perSecond, s.burst, s.limits = perSecond, burst, &limits{} }
}

// WithLogger sets where the handler logs what clients are not told, each with its request id. The
// default discards it.
//
//   - error: a panic, or a record that cannot be read
//   - warn: a store that cannot be reached, or a write of unknown outcome
func WithLogger(l *slog.Logger) Option { return func(s *settings) { s.logger = l } }

func newSettings(m *lease.Manager, opts []Option) (settings, error) {
	s := settings{maxBodyBytes: 1 << 20, storeTimeout: 4 * time.Second, logger: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(&s)
	}
	invalid := func(field, problem string) (settings, error) {
		return s, fmt.Errorf("httpserver: %w", &lease.FieldError{Field: field, Problem: problem})
	}
	switch {
	case m == nil:
		return invalid("manager", "must not be nil")
	case s.logger == nil:
		return invalid("logger", "must not be nil")
	case s.authentics != 1:
		return invalid("options", fmt.Sprintf("%d of WithAPIKeys, WithAuthenticator and WithoutAuth given, must be one", s.authentics))
	case s.maxBodyBytes < 1<<10 || s.maxBodyBytes > 64<<20:
		return invalid("max_body_bytes", fmt.Sprintf("%d, must be from %d to %d", s.maxBodyBytes, 1<<10, 64<<20))
	case s.storeTimeout < 100*time.Millisecond || s.storeTimeout > 10*time.Minute:
		return invalid("store_timeout", fmt.Sprintf("%v, must be from 100ms to 10m", s.storeTimeout))
	case s.limits != nil && (!(s.perSecond > 0) || s.burst < 1):
		return invalid("rate_limit", fmt.Sprintf("%v per second and %d at once, both must be greater than 0", s.perSecond, s.burst))
	}
	if s.limits != nil {
		s.limits.rate, s.limits.burst = rate.Limit(s.perSecond), s.burst
	}
	if s.keys != nil {
		ring, problem := newKeyring(m, s.keys)
		if problem != "" {
			return invalid("api_keys", problem)
		}
		s.authenticate, s.keys = ring.authenticate, nil
	}
	if s.authenticate == nil {
		return invalid("options", "no API key, or no authenticator, given")
	}
	return s, nil
}
