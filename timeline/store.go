package timeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Store writes and reads the timelines of all namespaces on one store. It is safe for concurrent
// use. It runs a goroutine only while there is something to write.
type Store struct {
	journal backend.Journal
	keep    time.Duration
	most    int // entries of Note that may wait
	noted   int // a second at most; 0: the default
	logger  *slog.Logger
	rate    rate
	dropped atomic.Uint64 // besides what rate has refused

	ctx    context.Context // ends when nothing more is to be written
	cancel context.CancelFunc

	mu      sync.Mutex
	queue   []item
	waiting int           // entries of Note that are in the queue or with the writer
	bytes   int           // that these hold
	urgent  bool          // somebody waits for what is in the queue
	running bool          // the writer
	timer   *time.Timer   // that starts the writer; nil if none is set
	ended   chan struct{} // closed when the writer that was last started has ended
	closed  bool
	away    error // why the last write has failed, unless one has succeeded since

	batch   batch // the writer's, like the next
	trouble trouble
}

// Option changes a Store that [New] makes.
type Option func(*Store)

// WithKeep sets how long entries stay readable, from when they are in the store: 7 days unless set.
// It must be positive.
func WithKeep(d time.Duration) Option { return func(s *Store) { s.keep = d } }

// WithBuffer sets how many entries may wait for the store: 4096 unless set. [Store.Note] drops
// those beyond, and those with which more than 4 KiB for each of them would wait, or 1 MiB if that
// is more. So the default is 16 MiB. It must be positive.
func WithBuffer(entries int) Option { return func(s *Store) { s.most = entries } }

// bytesPerEntry and leastBytes bound the buffer in bytes.
const (
	bytesPerEntry = 4 << 10
	leastBytes    = 1 << 20
)

// WithRate sets how many entries [Store.Note] takes in a second, once a burst as large as the
// buffer, or of 1000, is used up. It drops those beyond. Unless set, these are 1000, and fewer if
// writing them would keep the store busy for more than a tenth of the time. A rate that is set
// holds whatever the store needs. It must be positive, and [math.MaxInt] is no bound.
func WithRate(perSecond int) Option {
	return func(s *Store) {
		if s.noted = perSecond; perSecond == 0 {
			s.noted = -1
		}
	}
}

// WithLogger has l told, as a warning, when entries begin to wait for a store that is away or to be
// dropped, and when that is over. Without it nobody is.
func WithLogger(l *slog.Logger) Option { return func(s *Store) { s.logger = l } }

// New returns the timelines of a store. The error wraps errors.ErrUnsupported if the store is no
// [backend.Journal], and [lease.ErrInvalid] if an option is out of range. It does not touch the
// store.
func New(b backend.Backend, opts ...Option) (*Store, error) {
	s := &Store{
		keep: 7 * 24 * time.Hour, most: 4096, logger: slog.New(slog.DiscardHandler),
	}
	for _, o := range opts {
		o(s)
	}
	var bad *lease.FieldError
	switch {
	case s.keep <= 0:
		bad = &lease.FieldError{Field: "keep", Problem: fmt.Sprintf("%v, must be positive", s.keep)}
	case s.most <= 0:
		bad = &lease.FieldError{Field: "buffer", Problem: fmt.Sprintf("%d entries, must be positive", s.most)}
	case s.noted < 0:
		bad = &lease.FieldError{Field: "rate", Problem: "must be positive"}
	case s.logger == nil:
		bad = &lease.FieldError{Field: "logger", Problem: "must not be nil"}
	}
	if bad != nil {
		return nil, fmt.Errorf("timeline: new: %w", bad)
	}
	if b == nil {
		return nil, fmt.Errorf("timeline: new: %w", &lease.FieldError{Field: "backend", Problem: "must not be nil"})
	}
	var ok bool
	if s.journal, ok = backend.As[backend.Journal](b); !ok {
		return nil, fmt.Errorf("timeline: new: the store keeps no journal: %w", errors.ErrUnsupported)
	}
	s.rate.set(s.noted, s.most)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Note adds an entry behind the buffer, and never waits for the store. What one caller notes stays
// in order. An entry is dropped, and counted, if it
//
//   - is above the rate: see [WithRate]
//   - is out of limits
//   - finds the buffer full or the Store closed
//   - has no ID, and its write has an unknown outcome
//
// So an entry without an ID is written at most once, and another exactly once unless it is dropped.
func (s *Store) Note(e Entry) {
	if s.rate.take() {
		s.note(e, 0)
	}
}

// note is Note. A version above 0 is that of the key, and puts the entry before what happened later
// and was noted sooner, as long as both wait.
func (s *Store) note(e Entry, version uint64) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.check() != nil {
		s.drop(1)
		return
	}
	s.mu.Lock()
	weight := e.weight()
	if s.closed || s.waiting >= s.most || s.bytes+weight > max(leastBytes, s.most*bytesPerEntry) {
		s.mu.Unlock()
		s.drop(1)
		return
	}
	s.waiting, s.bytes = s.waiting+1, s.bytes+weight
	s.queue = append(s.queue, item{entry: e, version: version})
	if version > 0 {
		s.arrange()
	}
	switch {
	case len(s.queue) >= enough:
		s.start()
	case !s.running && s.timer == nil:
		s.timer = time.AfterFunc(gatherFor, s.gathered)
	}
	s.mu.Unlock()
}

// Dropped is how many entries were dropped so far, and how many events before they came to
// [Store.Observe]. Of those whose write had an unknown outcome some may be in the store.
func (s *Store) Dropped() uint64 { return s.dropped.Load() + s.rate.refused.Load() }

func (s *Store) drop(n uint64) { s.dropped.Add(n) }

// Append adds up to 1000 entries, in their order, after all that was noted before. They are in the
// store when it returns nil.
//
// While the store is away, Append tries again until ctx ends, and for ever if it never does: give
// it a deadline. It tries again after an unknown outcome too, with entries that have an ID. No rate
// and no buffer bound Append, since its callers wait. Errors:
//
//   - [lease.ErrInvalid], with a [lease.FieldError] where the caller can help it: nothing was added
//   - [lease.ErrUnavailable]: nothing was added; with [backend.ErrClosed] the Store or its backend
//     is closed
//   - [lease.ErrUnknownOutcome]: entries may have been added, or may still be; Append can be called
//     again with those that have an ID
//   - besides, the context's error, if it has ended: without ErrUnknownOutcome nothing was added
func (s *Store) Append(ctx context.Context, entries ...Entry) error {
	if len(entries) > backend.MaxJournalBatch {
		return failed("append", &lease.FieldError{Field: "entries", Problem: fmt.Sprintf("%d, limit %d", len(entries), backend.MaxJournalBatch)})
	}
	items := make([]item, len(entries))
	c := newCall(len(entries))
	for i, e := range entries {
		if err := e.check(); err != nil {
			return failed("append", err)
		}
		if e.Time.IsZero() {
			e.Time = time.Now()
		}
		items[i] = item{entry: e, call: c}
	}
	if len(items) == 0 {
		return nil
	}
	return failed("append", s.wait(ctx, c, items))
}

// Flush waits until what was noted before is in the store, or was dropped, or until ctx ends.
func (s *Store) Flush(ctx context.Context) error {
	c := newCall(1)
	return failed("flush", s.wait(ctx, c, []item{{call: c, marks: true}}))
}

// Close flushes, and ends the Store: later notes are dropped, and Append fails. Reads go on as long
// as the backend does. What is not in the store when ctx ends is dropped, and the error is the
// context's.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.Flush(ctx)
	s.cancel()
	s.mu.Lock()
	if len(s.queue) > 0 { // ctx had ended before: the writer drops what waits
		s.start()
	}
	ended := s.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
	if err != nil {
		return failed("close", errors.Unwrap(err))
	}
	return nil
}

func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("timeline: %s: %w", op, err)
}
