package conformance_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of compare-and-set and delete, one call at a time.

var ofWrites = []mutant{
	{"create overwrites", "create", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if expected == 0 {
				expected = current(s, key)
			}
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"compare-and-set ignores the revision", "update", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if now := current(s, key); expected != 0 && now != 0 {
				expected = now
			}
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"compare-and-set takes a greater revision", "update", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if now := current(s, key); now != 0 && expected > now {
				expected = now
			}
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"conflict reported but written", "conflict", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
			if errors.Is(err, backend.ErrConflict) && current(s, key) != 0 && expected != 0 {
				s.CompareAndSet(ctx, key, current(s, key), value, keep)
			}
			return revision, err
		}
	}},
	{"written but reported as conflict", "create", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
			if err == nil && n.Add(1)%5 == 0 {
				return 0, backend.ErrConflict
			}
			return revision, err
		}
	}},
	{"delete without comparing", "delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now != 0 && expected != 0 {
				expected = now
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"delete reported but not done", "delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now != 0 && expected == now {
				return nil
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"wrong error for absence", "absent", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if errors.Is(err, backend.ErrNotFound) {
				err = errors.New("sql: no rows in result set")
			}
			return e, err
		}
	}},
	{"compare-and-set compares the low byte", "update", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && w.expected != 0 && byte(now) == byte(w.expected) {
				w.expected = now
			}
			return w.write()
		})
	}},
	{"compare-and-set compares 32 bits", "update", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && w.expected != 0 && uint32(now) == uint32(w.expected) {
				w.expected = now
			}
			return w.write()
		})
	}},
	{"compare-and-set takes the greatest revision for any", "update", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && w.expected == math.MaxUint64 {
				w.expected = now
			}
			return w.write()
		})
	}},
	{"a key is created at an expected revision", "absent", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.now() == 0 {
				w.expected = 0
			}
			return w.write()
		})
	}},
	{"a deleted key is written at its old revision", "delete", func(s *memory.Store, f *fork) {
		deleted := recorded(s, f)
		f.sets(func(w write) (uint64, error) {
			if last, ok := deleted.last(w.key); ok && w.now() == 0 && last.Revision == w.expected {
				w.expected = 0
			}
			return w.write()
		})
	}},
	{"a revision is returned that is not the entry's", "create", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil {
				revision++
			}
			return revision, err
		})
	}},
	{"a revision that is not returned", "create", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			_, err := w.write()
			return 0, err
		})
	}},
	{"an entry without its key", "create", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			e.Key = ""
			return e, err
		}
	}},
	{"an error of the store's own for a conflict", "create", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if errors.Is(err, backend.ErrConflict) {
				err = errors.New("UNIQUE constraint failed")
			}
			return revision, err
		})
	}},
	{"absence without an error", "absent", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if errors.Is(err, backend.ErrNotFound) {
				err = nil
			}
			return e, err
		}
	}},
	{"delete of an absent key succeeds", "absent", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if errors.Is(err, backend.ErrNotFound) {
				err = nil
			}
			return err
		}
	}},
	{"delete of an absent key is a conflict", "absent", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if errors.Is(err, backend.ErrNotFound) {
				err = backend.ErrConflict
			}
			return err
		}
	}},
	{"delete at another revision says absent", "delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if errors.Is(err, backend.ErrConflict) {
				err = backend.ErrNotFound
			}
			return err
		}
	}},
	{"delete says conflict and deletes", "delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if errors.Is(err, backend.ErrConflict) {
				s.CompareAndDelete(ctx, key, current(s, key))
			}
			return err
		}
	}},
	{"delete compares the low byte", "delete", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); now != 0 && expected != 0 && byte(now) == byte(expected) {
				expected = now
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"a deleted key is found at revision 0", "delete", func(s *memory.Store, f *fork) {
		deleted := recorded(s, f)
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if _, ok := deleted.last(key); ok && errors.Is(err, backend.ErrNotFound) {
				return backend.Entry{Key: key}, nil
			}
			return e, err
		}
	}},
	{"an absent key is created at a multiple of 2^32", "absent", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.now() == 0 && uint32(w.expected) == 0 {
				w.expected = 0
			}
			return w.write()
		})
	}},
	{"compare-and-set compares all but the sign", "update", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if now := w.now(); now != 0 && w.expected<<1 == now<<1 {
				w.expected = now
			}
			return w.write()
		})
	}},
	{"the last compare-and-set succeeds again", "conflict", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		last := map[string]write{} // that succeeded, by key
		at := map[string]uint64{}  // the revision that it returned
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			before, ok := last[w.key]
			revision, err := w.write()
			switch {
			case err == nil:
				last[w.key], at[w.key] = w, revision
			case ok && errors.Is(err, backend.ErrConflict) && before.expected == w.expected && w.now() == at[w.key]:
				return at[w.key], nil
			}
			return revision, err
		})
	}},
	{"a call that ends its caller's goroutine", "create", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			runtime.Goexit()
			return w.write()
		})
	}},
}
