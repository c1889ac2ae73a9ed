package natskv

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
)

// Option changes a default of [Open] or [New], which report values out of range.
type Option func(*settings)

type settings struct {
	bucket   string
	replicas int
	timeout  time.Duration
	connect  []nats.Option
}

// WithBucket sets the bucket's name, "leases" unless set: 1 to 64 of the characters a-z, A-Z, 0-9,
// '_' and '-'.
func WithBucket(name string) Option { return func(s *settings) { s.bucket = name } }

// WithReplicas sets on how many servers a new bucket is kept, from 1 to 5, 1 unless set. Use 3
// wherever leases must survive the loss of a server. A bucket that exists keeps its own number,
// which `nats stream edit` changes.
func WithReplicas(n int) Option { return func(s *settings) { s.replicas = n } }

// WithTimeout sets how long a call waits for the server if its context has no deadline: from 10
// milliseconds to 10 minutes, 5 seconds unless set. A write whose answer does not come in time has
// an unknown outcome.
func WithTimeout(d time.Duration) Option { return func(s *settings) { s.timeout = d } }

// WithConnectOptions adds options to the connection that [Open] makes: credentials, TLS, handlers.
// [New] ignores them.
func WithConnectOptions(opts ...nats.Option) Option {
	return func(s *settings) { s.connect = append(s.connect, opts...) }
}

func newSettings(opts []Option) (settings, error) {
	s := settings{bucket: "leases", replicas: 1, timeout: 5 * time.Second}
	for _, o := range opts {
		o(&s)
	}
	const maxBucketBytes = 64
	if s.bucket == "" || len(s.bucket) > maxBucketBytes {
		return s, fmt.Errorf("%w: the bucket's name has %d bytes, must be from 1 to %d", backend.ErrInvalid, len(s.bucket), maxBucketBytes)
	}
	for i := range len(s.bucket) {
		if c := s.bucket[i]; !plain(c) || c == '/' {
			return s, fmt.Errorf("%w: the bucket's name has a character other than a-z, A-Z, 0-9, '_' and '-'", backend.ErrInvalid)
		}
	}
	if s.replicas < 1 || s.replicas > 5 {
		return s, fmt.Errorf("%w: replicas is %d, must be from 1 to 5", backend.ErrInvalid, s.replicas)
	}
	if s.timeout < 10*time.Millisecond || s.timeout > 10*time.Minute {
		return s, fmt.Errorf("%w: timeout is %v, must be from 10ms to 10m", backend.ErrInvalid, s.timeout)
	}
	return s, nil
}
