package conformance_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of revisions, and faults that show seldom.

var ofManyWrites = []mutant{
	{"revision reused after delete", "revisions", renumbered(func(r *renumbering, key string, deleted bool) {
		if deleted {
			r.next[key] = 0
		}
	})},
	{"revision not growing", "revisions", renumbered(func(r *renumbering, key string, deleted bool) {
		if deleted {
			r.next[key] -= 2
		}
	})},
	{"revisions forgotten after a thousand deletions", "many keys", func(s *memory.Store, f *fork) {
		var order []string // of deletion
		renumbered(func(r *renumbering, key string, deleted bool) {
			if !deleted {
				return
			}
			if order = append(order, key); len(order) > 1000 {
				if current(s, order[0]) == 0 {
					r.next[order[0]] = 0
				}
				order = order[1:]
			}
		})(s, f)
	}},
	{"revisions that are times", "revisions", func(s *memory.Store, f *fork) {
		renumbered(func(*renumbering, string, bool) {})(s, f)
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if err == nil {
				revision = uint64(time.Now().Unix()) // two in a second have the same
				f.numbers.give(w.key, revision)
			}
			return revision, err
		})
	}},
	{"revisions of a single byte", "many writes", func(s *memory.Store, f *fork) {
		renumbered(func(*renumbering, string, bool) {})(s, f)
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if err == nil && revision > math.MaxUint8 {
				revision = 1
				f.numbers.give(w.key, revision)
			}
			return revision, err
		})
	}},
	{"one write in many is a conflict that is none", "many writes", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.sets(func(w write) (uint64, error) {
			if n.Add(1)%200 == 0 {
				return 0, backend.ErrConflict
			}
			return w.write()
		})
	}},
	{"one write in many is acknowledged only", "many writes", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.sets(func(w write) (uint64, error) {
			if n.Add(1)%200 == 0 && w.now() == w.expected {
				return w.expected + 1, nil
			}
			return w.write()
		})
	}},
	{"one read in many is stale", "many writes", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		var last atomic.Pointer[backend.Entry]
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			old := last.Swap(&e)
			if n.Add(1)%150 == 0 && err == nil && old != nil && old.Key == key {
				return *old, nil
			}
			return e, err
		}
	}},
	{"one conflict in fifty is let through", "many conflicts", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && now != w.expected && rand.IntN(50) == 0 { // by chance, as in life
				w.expected = now
			}
			return w.write()
		})
	}},
	{"one creation in fifty overwrites", "many conflicts", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && w.expected == 0 && rand.IntN(50) == 0 {
				w.expected = now
			}
			return w.write()
		})
	}},
	{"one write in fifty creates at a revision", "many conflicts", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.now() == 0 && rand.IntN(50) == 0 {
				w.expected = 0
			}
			return w.write()
		})
	}},
	{"one deletion in a hundred is not compared", "many conflicts", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now != 0 && now != expected && n.Add(1)%100 == 0 {
				expected = now
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"one deletion in fifty of nothing succeeds", "many conflicts", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if errors.Is(err, backend.ErrNotFound) && rand.IntN(50) == 0 {
				return nil
			}
			return err
		}
	}},
	{"a deletion after a conflict is not done", "model", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		refused := map[string]bool{} // the last call of the key was
		after := func(key string, conflict bool) (before bool) {
			mu.Lock()
			defer mu.Unlock()
			before, refused[key] = refused[key], conflict
			return before
		}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			after(key, false)
			return s.Get(ctx, key)
		}
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			after(w.key, errors.Is(err, backend.ErrConflict))
			return revision, err
		})
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if after(key, false) && expected != 0 && current(s, key) == expected {
				return nil
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
}
