package conformance_test

import (
	"context"
	"iter"
	"strings"
	"sync"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of listings.

var ofLists = []mutant{
	{"error swallowed", "list cut short", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if err != nil || !yield(e, nil) {
						return
					}
				}
			}
		}
	}},
	{"list that misses", "list", listed(func(all []backend.Entry) []backend.Entry {
		if len(all) > 2 {
			return all[1:]
		}
		return all
	})},
	{"list that repeats", "list", listed(func(all []backend.Entry) []backend.Entry {
		if len(all) > 2 {
			return append(all, all[0])
		}
		return all
	})},
	{"list that repeats what is written meanwhile", "list while writing", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				seen := map[string]uint64{}
				for range 2 { // until nothing new comes
					for e, err := range s.List(ctx, prefix) {
						if err == nil && seen[e.Key] == e.Revision {
							continue
						}
						if seen[e.Key] = e.Revision; !yield(e, err) || err != nil {
							return
						}
					}
				}
			}
		}
	}},
	{"list that shows deleted entries", "list", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		var deleted []backend.Entry
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			e, _ := s.Get(ctx, key)
			err := s.CompareAndDelete(ctx, key, expected)
			if err == nil {
				mu.Lock()
				deleted = append(deleted, e)
				mu.Unlock()
			}
			return err
		}
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if !yield(e, err) {
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for _, e := range deleted {
					if strings.HasPrefix(e.Key, prefix) && current(s, e.Key) == 0 && !yield(e, nil) {
						return
					}
				}
			}
		}
	}},
	{"list that shows the deleted at revision 0", "list", func(s *memory.Store, f *fork) {
		deleted := recorded(s, f)
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if !yield(e, err) {
						return
					}
				}
				for _, e := range deleted.all() {
					if strings.HasPrefix(e.Key, prefix) && current(s, e.Key) == 0 && !yield(backend.Entry{Key: e.Key}, nil) {
						return
					}
				}
			}
		}
	}},
	{"list that is behind", "list", func(s *memory.Store, f *fork) { f.list = everyOther(s) }},
	{"list that holds a lock which a writer needs", "list while writing", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = lockedWhile(s, &mu)
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return w.write()
		})
	}},
	{"list that holds a lock which a list needs", "list while writing", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				mu.Lock()
				defer mu.Unlock()
				s.List(ctx, prefix)(yield)
			}
		}
	}},
	{"list that holds a lock which a deletion needs", "list while writing", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = lockedWhile(s, &mu)
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			mu.Lock()
			defer mu.Unlock()
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"list that holds a lock which a watch needs", "list while writing", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = lockedWhile(s, &mu)
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			return s.Watch(ctx, key)
		}
	}},
	{"list that misses what is written meanwhile", "list while writing", listing(func(s *memory.Store, _ context.Context, e backend.Entry) bool {
		return current(s, e.Key) == e.Revision
	})},
	{"list broken off that keeps its lock", "list cut short", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				mu.RLock()
				for e, err := range s.List(ctx, prefix) {
					if mu.RUnlock(); !yield(e, err) {
						mu.RLock()
						return
					}
					mu.RLock()
				}
				mu.RUnlock()
			}
		}
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return w.write()
		})
	}},
	{"list broken off by a panic that keeps its lock", "list cut short", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					returned, more := false, false
					func() {
						defer func() {
							if !returned {
								mu.RLock() // and nobody lets go of it
							}
						}()
						more = yield(e, err)
						returned = true
					}()
					if !more {
						return
					}
				}
			}
		}
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return w.write()
		})
	}},
	{"list that is not begun and holds a lock", "list cut short", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			mu.RLock()
			release := sync.OnceFunc(mu.RUnlock)
			return func(yield func(backend.Entry, error) bool) {
				release()
				s.List(ctx, prefix)(yield)
			}
		}
		f.sets(func(w write) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			return w.write()
		})
	}},
	{"list that goes on when it is broken off", "list cut short", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					yield(e, err)
				}
			}
		}
	}},
	{"list that ends without a word when its context does", "list cut short", listing(func(_ *memory.Store, ctx context.Context, _ backend.Entry) bool {
		return ctx.Err() == nil
	})},
	{"list that goes on after an error", "list cut short", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if !yield(e, err) {
						return
					}
					if err != nil {
						yield(backend.Entry{}, err)
					}
				}
			}
		}
	}},
	{"list whose error comes with an entry", "list cut short", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if err != nil {
						e.Key = prefix
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}},
}
