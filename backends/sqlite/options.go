package sqlite

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/ailease/lease/backend"
)

// Option changes a default of [Open], which reports values out of range.
type Option func(*settings)

type settings struct {
	synchronous Synchronous
	busyTimeout time.Duration
	logger      *slog.Logger
	query       string // more parameters of the connections' URI, for tests
}

// Synchronous is when a write is safe on disk.
type Synchronous int

const (
	// Full syncs the log before a write is acknowledged. What was acknowledged survives a power
	// failure.
	Full Synchronous = iota

	// Normal syncs the log only now and then. It is many times faster for a single caller, and safe
	// against a crash of the program. But a power failure, or a crash of the operating system, can
	// undo the newest acknowledged writes: a lease that was granted, or a result that was stored,
	// may be forgotten, and its token given out a second time. The file itself stays sound.
	Normal
)

// WithSynchronous sets when a write is safe on disk; [Full] unless set.
func WithSynchronous(s Synchronous) Option { return func(o *settings) { o.synchronous = s } }

// WithBusyTimeout sets how long a call waits for another process that holds the file's write lock
// before it fails with backend.ErrUnavailable. 5 seconds unless set, from 0 to 10 minutes, rounded
// up to whole milliseconds.
func WithBusyTimeout(d time.Duration) Option { return func(o *settings) { o.busyTimeout = d } }

// WithLogger sets where [Open] warns of a file that other users can read or write; [slog.Default]
// unless set.
func WithLogger(l *slog.Logger) Option { return func(o *settings) { o.logger = l } }

func newSettings(opts []Option) (settings, error) {
	o := settings{synchronous: Full, busyTimeout: 5 * time.Second, logger: slog.Default()}
	for _, opt := range opts {
		opt(&o)
	}
	if o.synchronous != Full && o.synchronous != Normal {
		return o, fmt.Errorf("%w: synchronous is %d, must be Full or Normal", backend.ErrInvalid, o.synchronous)
	}
	if o.busyTimeout < 0 || o.busyTimeout > 10*time.Minute {
		return o, fmt.Errorf("%w: busy timeout is %v, must be from 0 to 10m", backend.ErrInvalid, o.busyTimeout)
	}
	if o.logger == nil {
		return o, fmt.Errorf("%w: the logger is nil", backend.ErrInvalid)
	}
	return o, nil
}
