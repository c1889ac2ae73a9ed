package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of keep.

var ofKeep = []mutant{
	{"revision reused after expiry", "keep", renumbered(func(r *renumbering, key string, _ bool) {
		if r.expired(key) {
			r.next[key] = 0
		}
	})},
	{"entry dropped before its keep ends", "keep", func(s *memory.Store, f *fork) {
		dropsAfter(s, f, func(keep time.Duration) time.Duration { return keep.Truncate(time.Second) }) // fractions cut off
	}},
	{"keep of 0 treated as at once", "keep", func(s *memory.Store, f *fork) {
		dropsAfter(s, f, func(keep time.Duration) time.Duration {
			if keep == 0 {
				return 300 * time.Millisecond // at the next sweep
			}
			return time.Hour
		})
	}},
	{"keep not set anew by later writes", "keep", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		first := map[string]time.Duration{}
		dropsAfter(s, f, nil)
		drops := f.set
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			mu.Lock()
			if expected == 0 {
				first[key] = keep
			}
			keep = first[key]
			mu.Unlock()
			return drops(ctx, key, expected, value, keep)
		}
	}},
	{"a refused write sets keep", "keep", func(s *memory.Store, f *fork) {
		end := dropsAfter(s, f, func(time.Duration) time.Duration { return 0 })
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if errors.Is(err, backend.ErrConflict) && w.keep > 0 {
				end(w.key, w.keep)
			}
			return revision, err
		})
	}},
	{"an entry whose keep has ended still compares", "keep", func(s *memory.Store, f *fork) {
		hidden := dropsAfter(s, f, nil)
		get := f.get
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if err != nil {
				return e, err
			}
			_, err = get(ctx, key)
			if errors.Is(err, backend.ErrNotFound) { // it has just dropped the entry, which is put back
				s.CompareAndSet(ctx, key, 0, e.Value, 0)
				hidden(key, time.Nanosecond)
			}
			if err != nil {
				return backend.Entry{}, err
			}
			return e, nil
		}
	}},
	{"a listing without what is half over", "keep", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		half := map[string]time.Time{}
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			delete(half, w.key)
			if w.keep > 0 {
				half[w.key] = time.Now().Add(w.keep / 2)
			}
			return w.write()
		})
		listed(func(all []backend.Entry) []backend.Entry {
			mu.Lock()
			defer mu.Unlock()
			return slices.DeleteFunc(all, func(e backend.Entry) bool {
				end, ok := half[e.Key]
				return ok && time.Now().After(end)
			})
		})(s, f)
	}},
	{"a keep that overflows the clock", "long keeps", func(s *memory.Store, f *fork) {
		dropsAfter(s, f, func(keep time.Duration) time.Duration {
			if time.Now().UnixNano()+int64(keep) < 0 {
				return 1
			}
			return keep
		})
	}},
	{"a keep in milliseconds of 32 bits", "long keeps", func(s *memory.Store, f *fork) {
		dropsAfter(s, f, func(keep time.Duration) time.Duration {
			if ms := int32(keep.Milliseconds()); keep > 0 {
				return max(1, time.Duration(ms)*time.Millisecond)
			}
			return keep
		})
	}},
	{"a keep of more than thirty days taken for a date", "long keeps", func(s *memory.Store, f *fork) {
		dropsAfter(s, f, func(keep time.Duration) time.Duration {
			if keep > 30*24*time.Hour {
				return 1
			}
			return keep
		})
	}},
	{"a keep of more than a century is refused", "long keeps", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.keep > 100*365*24*time.Hour {
				return 0, fmt.Errorf("%w: keep too long", backend.ErrInvalid)
			}
			return w.write()
		})
	}},
	{"a listing of what is over", "keep", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		over := map[string]backend.Entry{}
		dropsAfter(s, f, func(keep time.Duration) time.Duration { return keep })
		get := f.get
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			before, _ := s.Get(ctx, key)
			e, err := get(ctx, key)
			if before.Revision != 0 && errors.Is(err, backend.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				over[key] = before
			}
			return e, err
		}
		listed(func(all []backend.Entry) []backend.Entry {
			mu.Lock()
			defer mu.Unlock()
			return slices.AppendSeq(all, maps.Values(over))
		})(s, f)
	}},
	{"the keep of a deleted entry ends that of the next", "keep", func(s *memory.Store, f *fork) {
		deleted := recorded(s, f)
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil && w.keep > 0 {
				time.AfterFunc(w.keep, func() {
					if last, ok := deleted.last(w.key); ok && last.Revision == revision {
						s.CompareAndDelete(bg, w.key, current(s, w.key))
					}
				})
			}
			return revision, err
		})
	}},
}
