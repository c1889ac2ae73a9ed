package natskv

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// Store keeps entries in one bucket. [Open] and [New] make it.
//
// Errors of NATS come wrapped, with what to do about them: in backend.ErrUnavailable where it is
// certain that nothing was written, nor will be, plain where it is not.
type Store struct {
	nc       *nats.Conn
	ownsConn bool
	js       jetstream.JetStream
	stream   jetstream.Stream
	kv       jetstream.KeyValue // for watching
	bucket   string
	prefix   string // of all subjects
	timeout  time.Duration
	expires  bool // the server takes a TTL with a message
	granted  granted
	leader   *leader

	life     context.Context // ends with Close
	mu       sync.Mutex
	end      context.CancelFunc // of life; called with mu held
	watchers sync.WaitGroup     // added to only with mu held, and not once life has ended
}

var (
	_ backend.Backend = (*Store)(nil)
	_ backend.Lister  = (*Store)(nil)
	_ backend.Watcher = (*Store)(nil)
)

// closePatience is how long Close lets the server take back the consumers of watches. Without their
// connection it does so a few seconds later.
const closePatience = 500 * time.Millisecond

// Close ends all watches, and the connection if [Open] made it. Calls made later fail with
// backend.ErrClosed. To those that are under way it is as if the connection broke: a write whose
// answer has not come has an unknown outcome. It may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.watchers.Wait()
		close(ended)
	}()
	if s.ownsConn {
		select {
		case <-ended:
		case <-time.After(closePatience):
		}
		s.nc.Close()
	}
	<-ended
	return nil
}

// ready is the error of a call that must not be begun.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	switch {
	case s.life.Err() != nil:
		return backend.ErrClosed
	case s.nc.IsClosed():
		return errConnectionClosed
	case !s.nc.IsConnected(): // a connection with a buffer would take the call, and send it much later
		return errNotConnected
	}
	return nil
}

// Get reads key from the stream's leader, as [backend.Backend] says.
func (s *Store) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := s.ready(ctx); err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	m, err := s.last(ctx, escape(key))
	if err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	if !m.live() {
		return backend.Entry{}, backend.ErrNotFound
	}
	return m.entry(key), nil
}

// message is the last one of a key's subject: a value, a marker that says that the key was deleted,
// or nothing, with sequence 0.
type message struct {
	sequence uint64
	value    []byte
	marker   bool
}

func (m message) live() bool { return m.sequence != 0 && !m.marker }

func (m message) entry(key string) backend.Entry {
	if m.value == nil {
		m.value = []byte{}
	}
	return backend.Entry{Key: key, Value: m.value, Revision: m.sequence}
}

// last asks the stream's leader for what it has under name, until it is certain that it was the
// leader who answered.
func (s *Store) last(ctx context.Context, name string) (message, error) {
	begun := time.Now()
	for pause := busyPauseFirst; ; pause = min(2*pause, busyPauseMost) {
		asked := time.Now()
		if s.life.Err() != nil {
			return message{}, backend.ErrClosed
		}
		raw, err := s.stream.GetLastMsgForSubject(ctx, s.prefix+name)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return message{}, s.hinted(readFailed(err))
		}
		m := message{}
		if raw != nil {
			m = message{raw.Sequence, raw.Data, isMarker(raw.Header)}
		}
		err = s.leader.vouch(ctx, asked, name, m.sequence)
		switch {
		case err == nil:
			if m.live() {
				s.granted.add(m.sequence)
			}
			return m, nil
		case !errors.Is(err, backend.ErrConflict):
			return message{}, err
		case time.Since(begun) > s.timeout:
			return message{}, errNoMajority
		}
		select { // written meanwhile, or not by who leads
		case <-ctx.Done():
			return message{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// isMarker tells a deletion, ours or one by a tool, and what the server leaves when it drops a
// message in a bucket with limit markers.
func isMarker(h nats.Header) bool {
	return h.Get("KV-Operation") != "" || h.Get(jetstream.MarkerReasonHeader) != ""
}

// CompareAndSet writes value under key if its revision is expected, as [backend.Backend] says. It
// is one publish, but for a key that was deleted less than an hour ago, and for a revision that
// this Store has neither written nor read. A value that with its headers, some 150 bytes, exceeds
// the server's max_payload is refused with backend.ErrInvalid.
func (s *Store) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, s.failed("compare-and-set", key, err)
	}
	if err := backend.CheckWrite(key, value, keep); err != nil {
		return 0, s.failed("compare-and-set", key, err)
	}
	revision, err := s.compareAndSet(ctx, escape(key), expected, value, keep)
	return revision, s.failed("compare-and-set", key, err)
}

func (s *Store) compareAndSet(ctx context.Context, name string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if expected != 0 {
		if err := s.checkGranted(ctx, name, expected); err != nil {
			return 0, err
		}
		return s.publish(ctx, name, expected, value, keep, "")
	}
	revision, err := s.publish(ctx, name, 0, value, keep, "")
	if !errors.Is(err, backend.ErrConflict) || s.granted.has(lastSequence(err)) {
		return revision, err
	}
	// Something is there, and if it is a marker it is to be replaced. That compares and sets like
	// any other write, and the marker's number can be expected only by others who create the key:
	// one of them wins. A second round is needed if the marker's hour ended just then.
	for range 2 {
		m, err := s.last(ctx, name)
		switch {
		case err != nil:
			return 0, err
		case m.live():
			return 0, backend.ErrConflict
		}
		revision, err = s.publish(ctx, name, m.sequence, value, keep, "")
		if !errors.Is(err, backend.ErrConflict) {
			return revision, err
		}
	}
	return 0, backend.ErrConflict
}

// checkGranted refuses a revision that was never that of a value.
func (s *Store) checkGranted(ctx context.Context, name string, expected uint64) error {
	if s.granted.has(expected) {
		return nil
	}
	m, err := s.last(ctx, name)
	switch {
	case err != nil:
		return err
	case !m.live():
		return errAbsent
	case m.sequence != expected:
		return backend.ErrConflict
	}
	return nil
}

// errAbsent is a conflict with a key that is not there.
var errAbsent = fmt.Errorf("%w: %w", backend.ErrConflict, backend.ErrNotFound)

// CompareAndDelete removes key if its revision is expected, as [backend.Backend] says. It publishes
// a marker, which the server drops after an hour: watchers see it, and `nats kv` knows it as a
// deletion.
func (s *Store) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	if err := s.ready(ctx); err != nil {
		return s.failed("compare-and-delete", key, err)
	}
	if err := backend.CheckDelete(key, expected); err != nil {
		return s.failed("compare-and-delete", key, err)
	}
	return s.failed("compare-and-delete", key, s.compareAndDelete(ctx, escape(key), expected))
}

func (s *Store) compareAndDelete(ctx context.Context, name string, expected uint64) error {
	err := s.checkGranted(ctx, name, expected)
	if err == nil {
		_, err = s.publish(ctx, name, expected, nil, keepMarker, "DEL")
	}
	if !errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrNotFound) {
		return err
	}
	switch m, err := s.last(ctx, name); {
	case err != nil:
		return err
	case !m.live():
		return backend.ErrNotFound
	default:
		return backend.ErrConflict
	}
}

// keepMarker is how long a deletion can be seen by a watch that is behind.
const keepMarker = time.Hour

// publish is the compare-and-set of the server: one message, stored only if the last one of its
// subject has the expected number.
func (s *Store) publish(ctx context.Context, name string, expected uint64, value []byte, keep time.Duration, operation string) (uint64, error) {
	m := &nats.Msg{Subject: s.prefix + name, Data: value, Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(min(expected, math.MaxInt64), 10)},
	}}
	if operation != "" {
		m.Header["KV-Operation"] = []string{operation}
	}
	s.expire(m, keep)
	sent := time.Now()
	ack, err := untilCompared(ctx, s.timeout, func() (*jetstream.PubAck, error) {
		if s.life.Err() != nil { // Close was called since the last try, which wrote nothing
			return nil, backend.ErrClosed
		}
		return s.js.PublishMsg(ctx, m)
	})
	if err != nil {
		verdict := writeFailed(err)
		if errors.Is(verdict, backend.ErrConflict) {
			if err := s.confirmConflict(ctx, name, expected); err != nil {
				return 0, err
			}
		}
		return 0, &publishError{s.hinted(verdict), err}
	}
	s.leader.took(written{sent, ack.Sequence})
	if operation == "" {
		s.granted.add(ack.Sequence)
	}
	return ack.Sequence, nil
}

// confirmConflict returns an error if a write was refused, perhaps, by a server that compared it
// with a number that has long been replaced. Nothing was written.
func (s *Store) confirmConflict(ctx context.Context, name string, expected uint64) error {
	if s.leader.vouched() {
		return nil
	}
	m, err := s.last(ctx, name)
	if err == nil && m.sequence == expected {
		return errDeposed
	}
	return err
}

// publishError is what a publish came to, and what the server said.
type publishError struct{ verdict, cause error }

func (e *publishError) Error() string { return e.verdict.Error() }
func (e *publishError) Unwrap() error { return e.verdict }

// lastSequence is the number that stood in the way, if the server told it; else 0.
func lastSequence(err error) uint64 {
	p, ok := errors.AsType[*publishError](err)
	if !ok {
		return 0
	}
	e, ok := errors.AsType[*jetstream.APIError](p.cause)
	if !ok {
		return 0
	}
	_, number, _ := strings.Cut(e.Description, ": ")
	n, _ := strconv.ParseUint(number, 10, 64)
	return n
}
