package conformance_test

import (
	"context"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of handles, or of a crash.

var ofHandles = []mutant{
	{"stale read from another connection", "fresh reads elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			staleGet(s, other)
			return other
		}
	}},
	{"two handles on one store that do not see each other", "two handles", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend { return memory.New() }
	}},
	{"two handles that compare for themselves", "race of handles", func(s *memory.Store, f *fork) {
		// Each handle has a lock of its own around a read and a write.
		locked := func(f *fork) *fork {
			var mu sync.Mutex
			f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
				mu.Lock()
				defer mu.Unlock()
				if current(s, key) != expected {
					return 0, backend.ErrConflict
				}
				time.Sleep(20 * time.Microsecond)
				return s.CompareAndSet(ctx, key, current(s, key), value, keep)
			}
			return f
		}
		locked(f)
		f.second = func() backend.Backend { return locked(&fork{Store: s}) }
	}},
	{"acknowledged write lost in a crash", "crash", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		var last string
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				last = key
			}
			return revision, err
		}
		f.reopen = func() backend.Backend {
			s.CompareAndDelete(bg, last, current(s, last))
			return f
		}
	}},
	{"revisions that begin anew after a crash", "crash", func(s *memory.Store, f *fork) {
		renumbered(func(*renumbering, string, bool) {})(s, f)
		set := f.set
		crashed := false
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if crashed && expected == 0 {
				f.numbers.mu.Lock()
				f.numbers.next[key] = 0
				f.numbers.mu.Unlock()
			}
			return set(ctx, key, expected, value, keep)
		}
		f.reopen = func() backend.Backend { crashed = true; return f }
	}},
	{"a listing that lags behind another handle", "two handles", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.list = everyOther(s)
			return other
		}
	}},
	{"two handles that both create", "race of handles", func(s *memory.Store, f *fork) {
		// Each handle has a lock of its own around a read and a write of a key that is absent.
		locked := func(f *fork) *fork {
			var mu sync.Mutex
			f.sets(func(w write) (uint64, error) {
				if w.expected != 0 || w.now() != 0 {
					return w.write()
				}
				mu.Lock()
				defer mu.Unlock()
				if w.now() != 0 {
					return w.write()
				}
				time.Sleep(20 * time.Microsecond)
				w.expected = w.now()
				return w.write()
			})
			return f
		}
		locked(f)
		f.second = func() backend.Backend { return locked(&fork{Store: s}) }
	}},
	{"handles with revisions of their own", "two handles", func(s *memory.Store, f *fork) {
		// What one handle creates has revisions from 100 000 on.
		var mu sync.Mutex
		since := map[string]uint64{} // by key
		share := func(f *fork, first uint64) *fork {
			f.get = func(ctx context.Context, key string) (backend.Entry, error) {
				mu.Lock()
				defer mu.Unlock()
				e, err := s.Get(ctx, key)
				if err == nil {
					e.Revision += since[key]
				}
				return e, err
			}
			f.sets(func(w write) (uint64, error) {
				mu.Lock()
				defer mu.Unlock()
				now := w.now()
				if now == 0 && w.expected == 0 {
					since[w.key] = first
				}
				if now != 0 && w.expected != 0 {
					w.expected -= since[w.key]
				}
				revision, err := w.write()
				if err == nil {
					revision += since[w.key]
				}
				return revision, err
			})
			f.remove = func(ctx context.Context, key string, expected uint64) error {
				mu.Lock()
				defer mu.Unlock()
				return s.CompareAndDelete(ctx, key, expected-since[key])
			}
			listed(func(all []backend.Entry) []backend.Entry {
				mu.Lock()
				defer mu.Unlock()
				for i, e := range all {
					all[i].Revision += since[e.Key]
				}
				return all
			})(s, f)
			return f
		}
		share(f, 100_000)
		f.second = func() backend.Backend { return share(&fork{Store: s}, 0) }
	}},
	{"another handle does not see what has a keep", "two handles", func(s *memory.Store, f *fork) {
		var kept sync.Map
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if kept.Delete(w.key); err == nil && w.keep > 0 {
				kept.Store(w.key, true)
			}
			return revision, err
		})
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.get = func(ctx context.Context, key string) (backend.Entry, error) {
				if _, ok := kept.Load(key); ok {
					return backend.Entry{}, backend.ErrNotFound
				}
				return s.Get(ctx, key)
			}
			return other
		}
	}},
	{"another handle's watch begins with absence", "watch elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
				e := states[len(states)-1]
				if len(states) == 1 {
					e = backend.Entry{Key: e.Key}
				}
				return []backend.Entry{e}
			})
			return other
		}
	}},
	{"a deletion lost in a crash", "crash", func(s *memory.Store, f *fork) {
		deleted := recorded(s, f)
		f.reopen = func() backend.Backend {
			for _, e := range deleted.all() {
				s.CompareAndSet(bg, e.Key, 0, e.Value, 0)
			}
			return f
		}
	}},
	{"a crash after which opening blocks", "crash", func(s *memory.Store, f *fork) {
		f.reopen = func() backend.Backend { select {} }
	}},
}
