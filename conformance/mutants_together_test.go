package conformance_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of concurrent calls.

var ofConcurrency = []mutant{
	{"read-then-write without atomicity", "race to create", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if current(s, key) != expected {
				return 0, backend.ErrConflict
			}
			time.Sleep(50 * time.Microsecond) // here the others come in
			return s.CompareAndSet(ctx, key, current(s, key), value, keep)
		}
	}},
	{"lost write under concurrency", "lost update", func(s *memory.Store, f *fork) {
		var under atomic.Int32
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if under.Add(1) > 1 && expected != 0 { // it says so, and writes nothing
				defer under.Add(-1)
				if current(s, key) == expected {
					return expected + 1, nil
				}
				return 0, backend.ErrConflict
			}
			defer under.Add(-1)
			time.Sleep(20 * time.Microsecond)
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"stale read after an acknowledged write", "fresh reads", func(s *memory.Store, f *fork) {
		staleGet(s, f)
	}},
	{"two deletions at one revision both succeed", "race to delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now == 0 || now != expected {
				return s.CompareAndDelete(ctx, key, expected)
			}
			time.Sleep(50 * time.Microsecond) // here another comes in
			if err := s.CompareAndDelete(ctx, key, expected); !errors.Is(err, backend.ErrNotFound) {
				return err
			}
			return nil
		}
	}},
	{"a deletion that takes what was written meanwhile", "race to delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now == 0 || now != expected {
				return s.CompareAndDelete(ctx, key, expected)
			}
			time.Sleep(50 * time.Microsecond) // here another comes in
			return s.CompareAndDelete(ctx, key, current(s, key))
		}
	}},
	{"a key that was contended stays locked", "lost update", func(s *memory.Store, f *fork) {
		var under sync.Map // by key
		f.sets(func(w write) (uint64, error) {
			v, _ := under.LoadOrStore(w.key, new(atomic.Int32))
			n := v.(*atomic.Int32)
			if n.Add(1) > 1 { // which the one who came second never takes back
				return 0, backend.ErrConflict
			}
			time.Sleep(50 * time.Microsecond)
			defer n.Add(-1)
			return w.write()
		})
	}},
	{"more than ten calls at once are turned away", "strangers", func(s *memory.Store, f *fork) {
		var under atomic.Int32
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			defer under.Add(-1)
			if under.Add(1) > 10 {
				return backend.Entry{}, errors.New("too many connections")
			}
			time.Sleep(100 * time.Microsecond)
			return s.Get(ctx, key)
		}
	}},
	{"answers that reach another caller", "strangers", func(s *memory.Store, f *fork) {
		var answer atomic.Pointer[backend.Entry]
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if err != nil {
				return e, err
			}
			answer.Store(&e)
			time.Sleep(50 * time.Microsecond) // here another's comes in
			return *answer.Load(), nil
		}
	}},
	{"two locks, taken in either order", "strangers", func(s *memory.Store, f *fork) {
		var one, other sync.Mutex
		locked := func(first, second *sync.Mutex, call func()) {
			first.Lock()
			defer first.Unlock()
			time.Sleep(50 * time.Microsecond)
			second.Lock()
			defer second.Unlock()
			call()
		}
		f.sets(func(w write) (revision uint64, err error) {
			locked(&one, &other, func() { revision, err = w.write() })
			return revision, err
		})
		f.remove = func(ctx context.Context, key string, expected uint64) (err error) {
			locked(&other, &one, func() { err = s.CompareAndDelete(ctx, key, expected) })
			return err
		}
	}},
	{"a read in two steps", "whole states", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if err == nil {
				time.Sleep(50 * time.Microsecond) // here another's write comes in
				e.Revision = max(e.Revision, current(s, key))
			}
			return e, err
		}
	}},
	{"a listing in two steps", "whole states", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if err == nil {
						time.Sleep(50 * time.Microsecond) // here another's write comes in
						e.Revision = max(e.Revision, current(s, e.Key))
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}},
	{"a watch in two steps", "whole states", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			e := states[len(states)-1]
			if e.Revision != 0 {
				time.Sleep(50 * time.Microsecond) // here another's write comes in
				e.Revision = max(e.Revision, current(s, e.Key))
			}
			return []backend.Entry{e}
		})
	}},
	{"more than fifty writes at once are turned away", "many keys", func(s *memory.Store, f *fork) {
		var under atomic.Int32
		f.sets(func(w write) (uint64, error) {
			defer under.Add(-1)
			if under.Add(1) > 50 {
				return 0, errors.New("too many connections")
			}
			time.Sleep(100 * time.Microsecond)
			return w.write()
		})
	}},
}
