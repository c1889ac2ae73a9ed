package natskv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// Store keeps entries in one bucket. [Open] and [New] make it.
//
// Errors of NATS come wrapped, with what to do about them. They wrap backend.ErrUnavailable only
// where it is certain that nothing was written, nor will be.
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
	mostMsg  int  // of the bucket, in bytes, if it has such a limit

	granted     granted
	inbox       *inbox
	layouts     layouts
	rounds      rounds
	comparisons comparisons
	journal     *journal

	life  context.Context // ends with Close
	mu    sync.Mutex
	end   context.CancelFunc // of life; called with mu held
	tasks sync.WaitGroup     // added to only with mu held, and not once life has ended
}

var (
	_ backend.Backend       = (*Store)(nil)
	_ backend.Lister        = (*Store)(nil)
	_ backend.Watcher       = (*Store)(nil)
	_ backend.PrefixWatcher = (*Store)(nil)

	_ backend.ValueLimiter = (*Store)(nil)
)

// closeWait is how long Close waits until the server has dropped the consumers of watches. Without
// a connection the server drops them a few seconds later.
const closeWait = 500 * time.Millisecond

// Close ends all watches, and the connection if [Open] made it. Calls made later fail with
// backend.ErrClosed. Calls under way end as if the connection broke: a write whose answer has not
// come has an unknown outcome. Close may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	s.inbox.close()
	ended := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(ended)
	}()
	if s.ownsConn {
		select {
		case <-ended:
		case <-time.After(closeWait):
		}
		s.nc.Close()
	}
	<-ended
	return nil
}

// background runs task in a goroutine that Close waits for. The task's context ends with the
// Store. A closed Store runs nothing and returns backend.ErrClosed.
func (s *Store) background(task func(ctx context.Context)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return backend.ErrClosed
	}
	s.tasks.Go(func() { task(s.life) })
	return nil
}

// ready returns an error if a call must not be begun.
func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
	}
	switch {
	case s.life.Err() != nil:
		return backend.ErrClosed
	case s.nc.IsClosed():
		return errConnectionClosed
	case !s.nc.IsConnected(): // a connection with a buffer would send the call much later
		return errNotConnected
	}
	return nil
}

// Get reads key, as [backend.Backend] says.
func (s *Store) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := s.ready(ctx); err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	found, err := s.read(ctx, escape(key))
	if err != nil {
		return backend.Entry{}, s.failed("get", key, err)
	}
	if !found.live() {
		return backend.Entry{}, backend.ErrNotFound
	}
	return found.entry(key), nil
}

// CompareAndSet writes value under key if its revision is expected, as [backend.Backend] says. It
// is one message. Three cases need a read as well: a key that was deleted less than an hour ago, a
// revision that this Store has neither written nor read, and most conflicts in a replicated bucket.
// A value above [Store.MaxValueBytes] is refused with backend.ErrInvalid.
func (s *Store) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := s.ready(ctx); err != nil {
		return 0, s.failed("compare-and-set", key, err)
	}
	if err := backend.CheckWrite(key, value, keep); err != nil {
		return 0, s.failed("compare-and-set", key, err)
	}
	if most := s.MaxValueBytes(); len(value) > most {
		return 0, s.failed("compare-and-set", key, tooLarge(len(value), most))
	}
	revision, err := s.compareAndSet(ctx, write{name: escape(key), expected: expected, value: value, keep: keep})
	return revision, s.failed("compare-and-set", key, err)
}

func (s *Store) compareAndSet(ctx context.Context, w write) (revision uint64, err error) {
	if w.expected != 0 {
		if err := s.checkGranted(ctx, w.name, w.expected); err != nil {
			return 0, err
		}
		revision, err = s.apply(ctx, w)
	} else {
		revision, err = s.create(ctx, w)
	}
	if err == nil {
		s.granted.add(revision)
	}
	return revision, err
}

// create writes w if its key is absent. A deleted key has a marker, which has to be replaced: that
// is a compare-and-set like any other, and only those who create the key expect the marker's
// number. One of them wins.
func (s *Store) create(ctx context.Context, w write) (uint64, error) {
	for range 4 { // the marker's hour may end in between, and others may create and delete the key
		revision, err := s.apply(ctx, w)
		r, refused := errors.AsType[*refusal](err)
		if !refused || !errors.Is(err, backend.ErrConflict) {
			return revision, err
		}
		if !r.read && w.expected == 0 && s.granted.has(r.told) {
			return 0, err
		}
		if !r.read {
			if r.found, err = s.read(ctx, w.name); err != nil {
				return 0, err
			}
		}
		if r.found.live() {
			return 0, backend.ErrConflict
		}
		w.expected = r.found.sequence
	}
	return 0, errKeepsChanging
}

// errKeepsChanging ends a create that read a deleted key each time, and met another caller's write
// each time that it wrote.
var errKeepsChanging = fmt.Errorf("%w: others create and delete the key all the time", backend.ErrUnavailable)

// checkGranted refuses a revision that was never that of a value.
func (s *Store) checkGranted(ctx context.Context, name string, expected uint64) error {
	if s.granted.has(expected) {
		return nil
	}
	found, err := s.read(ctx, name)
	switch {
	case err != nil:
		return err
	case !found.live():
		return errAbsent
	case found.sequence != expected:
		return backend.ErrConflict
	}
	return nil
}

// errAbsent is a conflict with a key that is not there.
var errAbsent = fmt.Errorf("%w: %w", backend.ErrConflict, backend.ErrNotFound)

// CompareAndDelete removes key if its revision is expected, as [backend.Backend] says. It writes a
// marker, which the server drops after an hour: watchers see it, and `nats kv` knows it as a
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
		_, err = s.apply(ctx, write{name: name, expected: expected, keep: keepMarker, deletes: true})
	}
	switch {
	case errors.Is(err, backend.ErrNotFound):
		return backend.ErrNotFound
	case !errors.Is(err, backend.ErrConflict):
		return err
	}
	r, refused := errors.AsType[*refusal](err)
	if !refused { // a live entry was read
		return backend.ErrConflict
	}
	if !r.read {
		if r.found, err = s.read(ctx, name); err != nil {
			return err
		}
	}
	if !r.found.live() {
		return backend.ErrNotFound
	}
	return backend.ErrConflict
}

// keepMarker is how long a deletion can be seen by a watch that is behind.
const keepMarker = time.Hour
