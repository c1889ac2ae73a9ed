package lease_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// scriptedStore is a memory store on a bad day: its fields say what happens to calls. What they do
// not mention goes well. Each function may call Store to let a call through.
type scriptedStore struct {
	*memory.Store

	plan   []day // what happens to the next writes, in their order
	always day   // what happens to the writes after those; nil: fine
	get    func(ctx context.Context, key string) (backend.Entry, error)
	list   func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error]
	watch  func(ctx context.Context, key string) (<-chan backend.Entry, error)
	before func(ctx context.Context) error // every call of the three methods, which fails with its error

	calls  atomic.Int64 // of the three methods, so far
	writes atomic.Int64 // of these, those that write

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

func fine(w write) (uint64, error) { return w.apply() }

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

// next is what happens to a write that comes now.
func (s *scriptedStore) next() day {
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

// come counts a call, and returns the error that it fails with before it gets to the store.
func (s *scriptedStore) come(ctx context.Context) error {
	s.calls.Add(1)
	if s.before != nil {
		return s.before(ctx)
	}
	return nil
}

func (s *scriptedStore) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := s.come(ctx); err != nil {
		return backend.Entry{}, err
	}
	if s.get != nil {
		return s.get(ctx, key)
	}
	return s.Store.Get(ctx, key)
}

func (s *scriptedStore) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := s.come(ctx); err != nil {
		return 0, err
	}
	s.writes.Add(1)
	value = slices.Clone(value) // it is the caller's again once this returns
	return s.next()(write{ctx, key, expected, value, keep, func() (uint64, error) {
		return s.Store.CompareAndSet(context.WithoutCancel(ctx), key, expected, value, keep)
	}})
}

func (s *scriptedStore) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	if err := s.come(ctx); err != nil {
		return err
	}
	s.writes.Add(1)
	_, err := s.next()(write{ctx: ctx, key: key, expected: expected, apply: func() (uint64, error) {
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
	if s.watch != nil {
		return s.watch(ctx, key)
	}
	return s.Store.Watch(ctx, key)
}

// threeMethods is a store of which only the three methods are seen: it neither lists nor watches.
type threeMethods struct{ backend.Backend }
