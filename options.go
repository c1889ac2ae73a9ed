package lease

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/ailease/lease/backend"
)

// Option changes a default of [NewManager].
type Option func(*settings)

type settings struct {
	clock     Clock
	logger    *slog.Logger
	logs      bool // logger does not discard all
	observers []func(Event)
	namespace string

	defaultTTL   time.Duration
	minTTL       time.Duration
	maxTTL       time.Duration
	retention    time.Duration
	maxRetention time.Duration
	skew         time.Duration
	retryAfter   time.Duration

	maxKeyChars       int
	maxMetadataBytes  int
	maxResultBytes    int
	maxErrorCodeBytes int
	maxReasonBytes    int
}

func defaults() settings {
	return settings{
		clock:             SystemClock(),
		logger:            slog.New(slog.DiscardHandler),
		namespace:         "default",
		defaultTTL:        time.Hour,
		minTTL:            time.Second,
		maxTTL:            30 * 24 * time.Hour,
		retention:         7 * 24 * time.Hour,
		maxRetention:      30 * 24 * time.Hour,
		retryAfter:        5 * time.Second,
		maxKeyChars:       maxKeyChars,
		maxMetadataBytes:  2048,
		maxResultBytes:    256 << 10,
		maxErrorCodeBytes: 128,
		maxReasonBytes:    256,
	}
}

// WithClock sets the clock; the default is [SystemClock]. For tests.
func WithClock(c Clock) Option { return func(s *settings) { s.clock = c } }

// WithLogger sets where the Manager logs the events of leases, each at the level of its
// [EventKind]; nowhere unless set. Lease ids and payloads are never logged. The logger is called as
// observers are.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) { s.logger, s.logs = l, true }
}

// WithObserver has f called with each [Event], for metrics and traces. It may be given more than
// once; every observer is called, by a goroutine of the Manager, one event at a time and in order.
// An event may wait a millisecond for others. No operation waits for observers: up to 1024 events
// wait, and those beyond are dropped and counted in [Event].Dropped. [Manager.Flush] waits for
// those that are under way. An observer that panics is logged.
func WithObserver(f func(Event)) Option {
	return func(s *settings) {
		if f != nil {
			s.observers = append(s.observers, f)
		}
	}
}

// WithNamespace sets the namespace, "default" unless set: 1 to 64 of the characters a-z, A-Z, 0-9,
// '.', '_' and '-'. Namespaces share a store without seeing each other's keys.
func WithNamespace(name string) Option { return func(s *settings) { s.namespace = name } }

// WithDefaultTTL sets the TTL of a lease or lock that is acquired without one; 1 hour unless set.
// [Do] has a default of its own, 30 seconds.
func WithDefaultTTL(d time.Duration) Option { return func(s *settings) { s.defaultTTL = d } }

// WithMinTTL sets the shortest TTL that is granted; 1 second unless set, the least.
func WithMinTTL(d time.Duration) Option { return func(s *settings) { s.minTTL = d } }

// WithMaxTTL sets what a longer TTL is clamped to; 30 days unless set.
func WithMaxTTL(d time.Duration) Option { return func(s *settings) { s.maxTTL = d } }

// WithRetention sets how long an ended lease stays readable unless it has a retention of its own,
// and how long an unfinished one is remembered. 7 days unless set, at least 1 second.
func WithRetention(d time.Duration) Option { return func(s *settings) { s.retention = d } }

// WithMaxRetention sets the longest [AcquireOptions].Retention; 30 days unless set, at least 1
// minute. A longer one is [ErrInvalid].
func WithMaxRetention(d time.Duration) Option { return func(s *settings) { s.maxRetention = d } }

// WithClockSkew sets by how much the clocks of the Managers of one store may differ, at most an
// hour. 0 unless set, which is right for one host; for hosts that NTP keeps, a second or two. Give
// every Manager of a store the same value, and include the largest step by which a clock may be
// adjusted. An expired lease is taken over that much later than its deadline.
func WithClockSkew(d time.Duration) Option { return func(s *settings) { s.skew = d } }

// WithRetryAfter limits [Lease].RetryAfter; 5 seconds unless set, at least one.
func WithRetryAfter(d time.Duration) Option { return func(s *settings) { s.retryAfter = d } }

// WithMaxKeyChars limits the code points of a key; 256 unless set, the most.
func WithMaxKeyChars(n int) Option { return func(s *settings) { s.maxKeyChars = n } }

// WithMaxMetadataBytes limits metadata, as compact JSON; 2048 unless set.
func WithMaxMetadataBytes(n int) Option { return func(s *settings) { s.maxMetadataBytes = n } }

// WithMaxResultBytes limits a result, as compact JSON; 256 KiB unless set.
func WithMaxResultBytes(n int) Option { return func(s *settings) { s.maxResultBytes = n } }

// WithMaxErrorCodeBytes limits an error code; 128 unless set, at least 32.
func WithMaxErrorCodeBytes(n int) Option { return func(s *settings) { s.maxErrorCodeBytes = n } }

// WithMaxReasonBytes limits the reason of a cancellation; 256 unless set.
func WithMaxReasonBytes(n int) Option { return func(s *settings) { s.maxReasonBytes = n } }

// recordOverhead is more than a record takes beside its metadata, progress, checkpoint and input or
// result, error code and reason: numbers, instants, ids, nonces, hashes and the error's text at
// their longest, each byte escaped.
const recordOverhead = 48 << 10

// longest bounds durations: no sum of an instant and a few of them leaves the calendar.
const longest = 100 * 365 * 24 * time.Hour

// recordBytes bounds the size of a record. Escaping makes up to six bytes of one, in all but what
// is JSON already.
func (s *settings) recordBytes() int {
	return s.maxMetadataBytes + max(s.maxResultBytes, maxCheckpointBytes+maxRunInputBytes) + maxProgressBytes + 6*(s.maxErrorCodeBytes+s.maxReasonBytes) + recordOverhead
}

// check is given the size of the largest value that the store takes.
func (s *settings) check(most int) error {
	if s.clock == nil || s.logger == nil {
		return &FieldError{"options", "the clock and the logger must not be nil"}
	}
	if err := checkNamespace(s.namespace); err != nil {
		return err
	}
	for _, d := range []struct {
		name             string
		value, low, high time.Duration
	}{
		{"min_ttl", s.minTTL, time.Second, longest},
		{"max_ttl", s.maxTTL, s.minTTL, longest},
		{"default_ttl", s.defaultTTL, s.minTTL, s.maxTTL},
		{"retention", s.retention, time.Second, longest},
		{"max_retention", s.maxRetention, minRetention, longest},
		{"clock_skew", s.skew, 0, time.Hour},
		{"retry_after", s.retryAfter, time.Second, longest},
	} {
		if d.value < d.low || d.value > d.high {
			return &FieldError{d.name, fmt.Sprintf("%v, must be from %v to %v", d.value, d.low, d.high)}
		}
	}
	for _, n := range []struct {
		name             string
		value, low, high int
	}{
		{"max_key_chars", s.maxKeyChars, 1, maxKeyChars},
		{"max_metadata_bytes", s.maxMetadataBytes, 2, backend.MaxValueBytes},
		{"max_result_bytes", s.maxResultBytes, 1, backend.MaxValueBytes},
		{"max_error_code_bytes", s.maxErrorCodeBytes, 32, 4096},
		{"max_reason_bytes", s.maxReasonBytes, 1, 4096},
	} {
		if n.value < n.low || n.value > n.high {
			return &FieldError{n.name, fmt.Sprintf("%d, must be from %d to %d", n.value, n.low, n.high)}
		}
	}
	if total := s.recordBytes(); total > most {
		return &FieldError{"max_result_bytes", fmt.Sprintf("with metadata and the rest a record could have %d bytes, this backend takes %d", total, most)}
	}
	return nil
}
