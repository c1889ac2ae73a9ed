package leasetest

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// ErrNoAnswer is the error of a call whose answer was lost. It is none of package backend's errors:
// the outcome of a write that fails with it is unknown to the caller.
var ErrNoAnswer = errors.New("leasetest: answer lost")

// Store is a backend whose bad days are scripted: a test says what happens, and when. It passes
// calls on to the backend that it wraps. It is safe for concurrent use.
//
// One Store stands for one host's connection. To test two hosts, wrap one backend twice, or wrap it
// for one host and give it to the other as it is.
//
// A Store lists, watches keys and prefixes, and has a journal if the backend that it wraps does:
// backend.As finds a [backend.Lister], a [backend.Watcher], a [backend.PrefixWatcher] and a
// [backend.Journal] through Unwrap. Other capabilities of that backend are hidden, because a Store
// could not cut them off.
type Store struct {
	wrapped backend.Backend

	mu    sync.Mutex
	conn  *connection
	delay time.Duration
	lose  int // the number of applied writes that are yet to lose their answer
	calls int
	wake  map[int]chan struct{} // closed when calls reaches the key
}

var _ backend.Backend = (*Store)(nil)

// NewStore returns a Store that passes every call on to b, until it is told otherwise.
func NewStore(b backend.Backend) *Store {
	return &Store{wrapped: b, conn: newConnection(), wake: make(map[int]chan struct{})}
}

// Cut cuts the connection. From now on no call gets an answer.
//
//   - A call that comes while the connection is cut never reaches the wrapped backend. It hangs. If
//     its context ends, it fails with the context's error. If Heal comes first, it fails with
//     [ErrNoAnswer].
//   - A call that is under way hangs and fails in the same way. If it has reached the wrapped
//     backend, it is carried out there. If [Store.Delay] still holds it back, it never gets there.
//   - A listing that is under way yields no more entries, and hangs and fails in the same way.
//   - A watch that is under way falls silent. Its channel is closed when its context ends, or by
//     Heal.
//
// Cut does nothing if the connection is cut already.
func (s *Store) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.conn.isCut() {
		close(s.conn.cut)
	}
}

// Heal makes a new connection after [Store.Cut]. Calls that hang fail with [ErrNoAnswer], and
// nothing that was held back by the cut is carried out later. Watches end, and whoever still
// wants to know watches again. Heal does nothing if the connection is not cut.
func (s *Store) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.isCut() {
		close(s.conn.gone)
		s.conn = newConnection()
	}
}

// LoseAnswer has the next n writes fail with [ErrNoAnswer] although they are applied. A write that
// the wrapped backend refuses does not count: its answer comes through, as do those of reads.
// 0 ends what an earlier LoseAnswer began. Appends to a [backend.Journal] do not count, because
// they come at times that no test knows.
func (s *Store) LoseAnswer(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = n
}

// Delay makes every call that comes from now on take d longer, by the real clock or the one of a
// synctest bubble. The time passes before the call reaches the wrapped backend: a write whose
// context ends meanwhile is not applied. What a watch tells is not delayed. 0 ends the delay for
// calls that come later.
func (s *Store) Delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = d
}

// Calls returns how many calls have come so far: those of every method of [backend.Backend],
// [backend.Lister], [backend.Watcher] and [backend.PrefixWatcher], also those that hang. A call
// whose context had ended before it came does not count, nor do calls of [backend.Journal].
func (s *Store) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Called returns a channel that is closed once n calls have come in all. A test waits with it for a
// call, instead of sleeping:
//
//	next := store.Called(store.Calls() + 1)
//	clock.Advance(10 * time.Second) // the holder extends its lease
//	<-next
func (s *Store) Called(n int) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.wake[n]
	if c == nil {
		c = make(chan struct{})
		if n <= s.calls {
			close(c)
			return c
		}
		s.wake[n] = c
	}
	return c
}

// Get implements [backend.Backend].
func (s *Store) Get(ctx context.Context, key string) (backend.Entry, error) {
	conn, err := s.send(ctx)
	if err != nil {
		return backend.Entry{}, err
	}
	e, err := s.wrapped.Get(ctx, key)
	if lost := conn.hang(ctx); lost != nil {
		return backend.Entry{}, lost
	}
	return e, err
}

// CompareAndSet implements [backend.Backend].
func (s *Store) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	conn, err := s.send(ctx)
	if err != nil {
		return 0, err
	}
	revision, err := s.wrapped.CompareAndSet(ctx, key, expected, value, keep)
	if err := s.answer(ctx, conn, err); err != nil {
		return 0, err
	}
	return revision, nil
}

// CompareAndDelete implements [backend.Backend].
func (s *Store) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	conn, err := s.send(ctx)
	if err != nil {
		return err
	}
	return s.answer(ctx, conn, s.wrapped.CompareAndDelete(ctx, key, expected))
}

// send takes a call to the wrapped backend. It fails if the call does not get there. Otherwise the
// answer comes by the connection that send returns.
func (s *Store) send(ctx context.Context) (*connection, error) { return s.pass(ctx, true) }

// pass is send for a call that may count or not.
func (s *Store) pass(ctx context.Context, counts bool) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, delay := s.come(counts)
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-conn.cut:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return conn, conn.hang(ctx)
}

// come counts a call, if it is one that counts. It returns the connection that the call has, and
// the delay.
func (s *Store) come(counts bool) (*connection, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if counts {
		s.calls++
		if c := s.wake[s.calls]; c != nil {
			close(c)
			delete(s.wake, s.calls)
		}
	}
	return s.conn, s.delay
}

// answer returns what the caller of a write gets to see of err, the wrapped backend's answer.
func (s *Store) answer(ctx context.Context, conn *connection, err error) error {
	if lost := conn.hang(ctx); lost != nil || err != nil {
		return cmp.Or(lost, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lose > 0 {
		s.lose--
		return ErrNoAnswer
	}
	return nil
}

// connection is what a Store has from its beginning, or from a Heal, until the next Heal.
type connection struct {
	cut  chan struct{} // closed by Cut
	gone chan struct{} // closed by the Heal after it
}

func newConnection() *connection {
	return &connection{cut: make(chan struct{}), gone: make(chan struct{})}
}

func (c *connection) isCut() bool {
	select {
	case <-c.cut:
		return true
	default:
		return false
	}
}

// hang returns nil at once if the connection stands. If it is cut, hang waits for the end of ctx or
// of the connection, and returns the error of a call that has waited so.
func (c *connection) hang(ctx context.Context) error {
	if !c.isCut() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.gone:
		return cmp.Or(ctx.Err(), ErrNoAnswer)
	}
}
