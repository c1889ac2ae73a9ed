package httpserver

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/ailease/lease"
	"github.com/ailease/lease/runs"
	"github.com/ailease/lease/timeline"
	"github.com/ailease/lease/usage"
)

// Option changes a default of [New], which reports values out of range.
type Option func(*settings)

type settings struct {
	authenticate Authenticator
	authentics   int             // how many options said who may call
	open         bool            // everybody is admitted
	hosts        map[string]bool // in lower case, without a port; nil for any
	keys         map[string]string
	maxBodyBytes int64
	maxHeldBytes int64
	storeTimeout time.Duration
	hideLeaseIDs bool

	duplicateConflict bool
	checkLockDown     int

	perSecond float64
	burst     int
	limits    *limits // nil: no limit
	logger    *slog.Logger

	tasks        map[string]Task // nil: a run has the task that it names
	usage        *usage.Counters // nil: nothing is counted
	withUsage    bool
	timeline     *timeline.Store // nil: there are no timelines
	withTimeline bool
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
//
// Requests that a browser sends for a web page of another origin are refused: any page that
// somebody on this machine visits could send them. See also [WithHosts].
func WithoutAuth() Option {
	return func(s *settings) { s.authenticate, s.authentics, s.open = admitAll, s.authentics+1, true }
}

// WithHosts refuses requests whose Host header names none of the hosts, which are names or IP
// addresses without a port. Without API keys a web page could otherwise read what the handler
// answers, by a name of its own that points here (DNS rebinding).
func WithHosts(hosts ...string) Option {
	return func(s *settings) {
		s.hosts = make(map[string]bool)
		for _, host := range hosts {
			s.hosts[strings.ToLower(host)] = true
		}
	}
}

// WithMaxBodyBytes sets how large the body of a request may be, from 1 KiB to 64 MiB; 1 MiB unless
// set, which is more than the largest result.
func WithMaxBodyBytes(n int64) Option { return func(s *settings) { s.maxBodyBytes = n } }

// WithMaxHeldBytes bounds what the requests under way may hold in memory together: their bodies,
// each counted twice, and the answers that their clients have not read yet. 64 MiB unless set, at
// least twice the largest body and 1 MiB. Requests beyond it are answered with 503 and Retry-After.
//
// Bodies below 4 KiB and answers below 8 KiB are not counted, and leases can always be extended and
// ended. For each 512 KiB there is one call to the store at a time, one more by a lease's holder,
// and one more that posts an event. For each 16 MiB there is one reader of timelines, and always
// one. The others wait for their turn, as long as WithStoreTimeout says.
func WithMaxHeldBytes(n int64) Option { return func(s *settings) { s.maxHeldBytes = n } }

// WithStoreTimeout sets how long a request waits for the store, from 100 ms to 10 minutes; 4
// seconds unless set. Then it is answered with 503. Finding out what became of a write may take
// half a second more.
//
// Clients of the hosted API give up after 5 seconds, and do not know then what happened. For a
// status request that is held, the time counts anew from the end of its wait.
func WithStoreTimeout(d time.Duration) Option { return func(s *settings) { s.storeTimeout = d } }

// WithHiddenLeaseIDs hides the holder's lease id from pollers. Only the answers to acquire and
// extend have it then. Whoever knows the lease id can end the lease.
func WithHiddenLeaseIDs() Option { return func(s *settings) { s.hideLeaseIDs = true } }

// WithDuplicateConflict answers a check-lock of a locked key with 409 instead of 200 and
// "success": false. It is for clients that look at the HTTP status alone.
func WithDuplicateConflict() Option { return func(s *settings) { s.duplicateConflict = true } }

// WithCheckLockDown sets the status code of a check-lock that cannot be answered, be it for the
// store or for this server: 503 unless set, or 429. The clients of the hosted API take any 5xx of a
// check-lock for "go ahead", and do work that may be done already. With 429 they wait.
func WithCheckLockDown(code int) Option { return func(s *settings) { s.checkLockDown = code } }

// WithRateLimit bounds the requests of each namespace to perSecond, and to burst at once. Both must
// be greater than 0. Requests beyond that are answered with 429 and Retry-After. There is no limit
// unless set. Each handler counts by itself: two processes admit twice as many.
func WithRateLimit(perSecond float64, burst int) Option {
	return func(s *settings) { s.perSecond, s.burst, s.limits = perSecond, burst, &limits{} }
}

// WithLogger sets where the handler logs what clients are not told. The default discards it.
//
//   - error: a panic; records that cannot be read
//   - warn: a store that cannot be reached, or loses the outcome of writes; a want of memory
//   - info: the end of one of these
//
// A trouble is logged when it begins, with the id of the request that met it, and when no request
// has met it for 5 seconds, with the number of requests that it failed. Panics are logged each.
func WithLogger(l *slog.Logger) Option { return func(s *settings) { s.logger = l } }

// Task is a task whose runs are started over HTTP. Their input is the metadata of the request.
type Task = runs.Task[json.RawMessage, json.RawMessage]

// WithTasks says which tasks workers handle. A run has what its task says of attempts, pauses,
// deadline, retention and at most once, unless the request says otherwise. A run whose metadata
// name none of the tasks, or no task, is of [runs.DefaultTask], which is one of them in any case.
//
// Without this option a run has the task that its metadata name, with the defaults of a Task.
func WithTasks(tasks ...Task) Option {
	return func(s *settings) {
		s.tasks = map[string]Task{runs.DefaultTask: {Name: runs.DefaultTask}}
		for _, t := range tasks {
			s.tasks[t.Name] = t
		}
	}
}

// WithTimeline serves the timelines of s: what happened to leases and runs, and what clients say.
// Without it the endpoints /v1/events and /v1/runs do not exist.
//
// The handler's Manager should tell s what happens, by [lease.WithObserver] and
// [timeline.Store.Observe]. Workers should have [runs.WithTimeline]. Close s after the server.
func WithTimeline(s *timeline.Store) Option {
	return func(to *settings) { to.timeline, to.withTimeline = s, true }
}

func newSettings(m *lease.Manager, opts []Option) (settings, error) {
	s := settings{
		maxBodyBytes:  1 << 20,
		maxHeldBytes:  64 << 20,
		storeTimeout:  4 * time.Second,
		checkLockDown: http.StatusServiceUnavailable,
		logger:        slog.New(slog.DiscardHandler),
	}
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
	case s.withUsage && s.usage == nil:
		return invalid("usage", "must not be nil")
	case s.withTimeline && s.timeline == nil:
		return invalid("timeline", "must not be nil")
	case s.authentics != 1:
		return invalid("options", fmt.Sprintf("%d of WithAPIKeys, WithAuthenticator and WithoutAuth given, must be one", s.authentics))
	case s.maxBodyBytes < 1<<10 || s.maxBodyBytes > 64<<20:
		return invalid("max_body_bytes", fmt.Sprintf("%d, must be from %d to %d", s.maxBodyBytes, 1<<10, 64<<20))
	case s.maxHeldBytes < 2*s.maxBodyBytes+1<<20:
		return invalid("max_held_bytes", fmt.Sprintf("%d, must be at least %d for bodies of %d bytes", s.maxHeldBytes, 2*s.maxBodyBytes+1<<20, s.maxBodyBytes))
	case s.hosts != nil && len(s.hosts) == 0:
		return invalid("hosts", "0 hosts, must be at least 1")
	case s.checkLockDown != http.StatusServiceUnavailable && s.checkLockDown != http.StatusTooManyRequests:
		return invalid("check_lock_down", fmt.Sprintf("%d, must be 503 or 429", s.checkLockDown))
	case s.storeTimeout < 100*time.Millisecond || s.storeTimeout > 10*time.Minute:
		return invalid("store_timeout", fmt.Sprintf("%v, must be from 100ms to 10m", s.storeTimeout))
	case s.limits != nil && (!(s.perSecond > 0) || math.IsInf(s.perSecond, 1) || s.burst < 1):
		return invalid("rate_limit", fmt.Sprintf("%v per second and %d at once, both must be greater than 0 and finite", s.perSecond, s.burst))
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
