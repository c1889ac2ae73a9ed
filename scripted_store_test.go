package lease_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// scriptedStore is a memory store of which a test decides what happens to calls, and which counts
// them. What no field mentions goes well. The functions are set before the store is used; each may
// call Store to let a call through.
type scriptedStore struct {
	*memory.Store

	plan   []day                           // what happens to the next writes, in their order
	always day                             // what happens to the writes after those; nil: fine
	before func(ctx context.Context) error // called first by a write, which fails with its error
	get    func(ctx context.Context, key string) (backend.Entry, error)
	list   func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error]
	watch  func(ctx context.Context, key string) (<-chan backend.Entry, error)

	// These may be set at any time, and come before plan, always and get.
	away  atomic.Bool // reads and writes fail at once, and nothing is written
	hangs atomic.Bool // reads and writes do nothing, and return when their contexts end
	lost  atomic.Bool // writes are applied; no read and no write gets an answer

	reads, writes, watches atomic.Int64 // how many there were
	watching               atomic.Int64 // watches that have not ended

	mu sync.Mutex // guards plan
}

func newScriptedStore(plan ...day) *scriptedStore {
	return &scriptedStore{Store: memory.New(), plan: plan}
}

// write is a call of CompareAndSet or CompareAndDelete.
type write struct {
	ctx      context.Context
	key      string
	expected uint64
	value    []byte        // nil if it deletes
	keep     time.Duration // 0 if it deletes
	apply    func() (uint64, error)
}

// day is what happens to a write.
type day func(w write) (uint64, error)

var errLostAnswer = errors.New("connection reset")

func fine(w write) (uint64, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.apply()
}

// answerLost applies the write, and loses the answer.
func answerLost(w write) (uint64, error) {
	_, _ = w.apply()
	return 0, errLostAnswer
}

// requestLost does nothing.
func requestLost(write) (uint64, error) { return 0, errLostAnswer }

func unavailable(write) (uint64, error) { return 0, backend.ErrUnavailable }

// busy is a store that refuses a write because another is under way.
func busy(write) (uint64, error) { return 0, backend.ErrConflict }

// refusedThoughApplied is a store that says of its own write that another came first.
func refusedThoughApplied(w write) (uint64, error) {
	if _, err := w.apply(); err != nil {
		return 0, err
	}
	return 0, backend.ErrConflict
}

// hanging applies the write, and does not answer until its caller gives up.
func hanging(w write) (uint64, error) {
	_, _ = w.apply()
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

// unsent does nothing, and does not answer until its caller gives up.
func unsent(w write) (uint64, error) {
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

// late holds the write back until the one after it has been applied, and loses its answer.
func late() (held, after day) {
	var first write
	return func(w write) (uint64, error) { first = w; return 0, errLostAnswer },
		func(w write) (uint64, error) {
			revision, err := w.apply()
			_, _ = first.apply()
			return revision, err
		}
}

// lateBefore holds the write back until just before the one after it.
func lateBefore() (held, after day) {
	var first write
	return func(w write) (uint64, error) { first = w; return 0, errLostAnswer },
		func(w write) (uint64, error) {
			_, _ = first.apply()
			return w.apply()
		}
}

// calls is how many reads and writes there were.
func (s *scriptedStore) calls() int64 { return s.reads.Load() + s.writes.Load() }

// next is what happens to a write that comes now.
func (s *scriptedStore) next() day {
	switch {
	case s.away.Load():
		return unavailable
	case s.lost.Load():
		return answerLost
	case s.hangs.Load():
		return unsent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case len(s.plan) > 0:
		d := s.plan[0]
		s.plan = s.plan[1:]
		return d
	case s.always != nil:
		return s.always
	default:
		return fine
	}
}

func (s *scriptedStore) Get(ctx context.Context, key string) (backend.Entry, error) {
	s.reads.Add(1)
	switch {
	case s.away.Load():
		return backend.Entry{}, backend.ErrUnavailable
	case s.lost.Load():
		return backend.Entry{}, errLostAnswer
	case s.hangs.Load():
		<-ctx.Done()
		return backend.Entry{}, ctx.Err()
	case s.get != nil:
		return s.get(ctx, key)
	}
	return s.Store.Get(ctx, key)
}

// write counts the write, and has happen to it what is planned.
func (s *scriptedStore) write(w write) (uint64, error) {
	s.writes.Add(1)
	if s.before != nil {
		if err := s.before(w.ctx); err != nil {
			return 0, err
		}
	}
	return s.next()(w)
}

func (s *scriptedStore) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	value = slices.Clone(value) // it is the caller's again once this returns
	return s.write(write{ctx, key, expected, value, keep, func() (uint64, error) {
		return s.Store.CompareAndSet(context.WithoutCancel(ctx), key, expected, value, keep)
	}})
}

func (s *scriptedStore) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	_, err := s.write(write{ctx: ctx, key: key, expected: expected, apply: func() (uint64, error) {
		return 0, s.Store.CompareAndDelete(context.WithoutCancel(ctx), key, expected)
	}})
	return err
}

func (s *scriptedStore) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	if s.list != nil {
		return s.list(ctx, prefix)
	}
	return s.Store.List(ctx, prefix)
}

func (s *scriptedStore) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	s.watches.Add(1)
	s.watching.Add(1)
	context.AfterFunc(ctx, func() { s.watching.Add(-1) })
	if s.watch != nil {
		return s.watch(ctx, key)
	}
	return s.Store.Watch(ctx, key)
}

// threeMethods is a store of which only the three methods are seen: it neither lists nor watches.
type threeMethods struct{ backend.Backend }

// entry is what the store holds under "k".
func entry(t testing.TB, s *scriptedStore) backend.Entry {
	t.Helper()
	e, err := s.Store.Get(context.Background(), "default/k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// writesAt has s note when it is written, and returns the list.
func writesAt(s *scriptedStore) *[]time.Duration {
	at, begun := new([]time.Duration), time.Now()
	s.before = func(context.Context) error {
		*at = append(*at, time.Since(begun))
		return nil
	}
	return at
}

// setAway, setHangs and setLost are what a table of outages switches on and off.
func setAway(s *scriptedStore) *atomic.Bool  { return &s.away }
func setHangs(s *scriptedStore) *atomic.Bool { return &s.hangs }
func setLost(s *scriptedStore) *atomic.Bool  { return &s.lost }
