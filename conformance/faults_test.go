package conformance_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Faults that several mutants are made of.

// keyed has all keys go through a function under which some become the same. Readers see the name
// under which a key was written last.
func keyed(fold func(string) string) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		names := map[string]string{}
		safe := func(key string) string {
			if key != "" && len(key) <= backend.MaxKeyBytes && backend.CheckKey(key) == nil {
				key = fold(key)
			}
			return key
		}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, safe(key))
			if err == nil {
				e.Key = key
			}
			return e, err
		}
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			names[safe(key)] = key
			return s.CompareAndSet(ctx, safe(key), expected, value, keep)
		}
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, "") {
					if err == nil {
						mu.Lock()
						e.Key = names[e.Key]
						mu.Unlock()
					}
					if (err != nil || strings.HasPrefix(e.Key, prefix)) && !yield(e, err) {
						return
					}
				}
			}
		}
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			return relayed(s, func(states []backend.Entry) []backend.Entry {
				e := states[len(states)-1]
				e.Key = key
				return []backend.Entry{e}
			})(ctx, safe(key))
		}
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			return s.CompareAndDelete(ctx, safe(key), expected)
		}
	}
}

// staleGet answers every other Get of a key with what the one before found. It goes by no time,
// which a busy machine has more of.
func staleGet(s *memory.Store, f *fork) {
	var mu sync.Mutex
	cache := map[string]backend.Entry{}
	f.get = func(ctx context.Context, key string) (backend.Entry, error) {
		mu.Lock()
		defer mu.Unlock()
		if e, ok := cache[key]; ok {
			delete(cache, key)
			return e, nil
		}
		e, err := s.Get(ctx, key)
		if err == nil {
			cache[key] = e
		}
		return e, err
	}
}

// dropsAfter drops entries when what becomes of their keep is over; 0 is for ever, and a nil
// function changes nothing. It returns what sets the keep of a key otherwise.
func dropsAfter(s *memory.Store, f *fork, becomes func(keep time.Duration) time.Duration) func(key string, keep time.Duration) {
	var mu sync.Mutex
	until := map[string]time.Time{}
	f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
		revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
		if err == nil {
			if becomes != nil {
				keep = becomes(keep)
			}
			mu.Lock()
			defer mu.Unlock()
			delete(until, key)
			if keep > 0 {
				until[key] = time.Now().Add(keep)
			}
		}
		return revision, err
	}
	f.get = func(ctx context.Context, key string) (backend.Entry, error) {
		mu.Lock()
		defer mu.Unlock()
		if end, ok := until[key]; ok && !time.Now().Before(end) {
			s.CompareAndDelete(bg, key, current(s, key))
			delete(until, key)
		}
		return s.Get(ctx, key)
	}
	return func(key string, keep time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		until[key] = time.Now().Add(keep)
	}
}

// closable has the fork close by itself, and leave its store to a second handle. Calls of the
// closed fork come to what they are given.
func closable(answer error) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		life, end := context.WithCancel(bg)
		ended := func() error {
			if life.Err() != nil {
				return answer
			}
			return nil
		}
		f.close = func() error { end(); return nil }
		f.second = func() backend.Backend { return &fork{Store: s} }
		closableJournal(s, f, life)
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if err := ended(); err != nil {
				return backend.Entry{}, err
			}
			return s.Get(ctx, key)
		}
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if err := ended(); err != nil {
				return 0, err
			}
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if err := ended(); err != nil {
				return err
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(ctx, prefix) {
					if closed := ended(); closed != nil {
						e, err = backend.Entry{}, closed
					}
					if !yield(e, err) || err != nil {
						return
					}
				}
				if err := ended(); err != nil {
					yield(backend.Entry{}, err)
				}
			}
		}
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if err := ended(); err != nil {
				return nil, err
			}
			ctx, cancel := context.WithCancel(ctx)
			context.AfterFunc(life, cancel)
			return s.Watch(ctx, key)
		}
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			if err := ended(); err != nil {
				return nil, err
			}
			ctx, cancel := context.WithCancel(ctx)
			context.AfterFunc(life, cancel)
			return s.WatchPrefix(ctx, prefix)
		}
	}
}

// mended has keys altered before they are looked at.
func mended(mend func(key string) string) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) { return s.Get(ctx, mend(key)) }
		f.sets(func(w write) (uint64, error) {
			w.key = mend(w.key)
			return w.write()
		})
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			return s.CompareAndDelete(ctx, mend(key), expected)
		}
	}
}

// valued has all values altered on their way in.
func valued(alter func(value []byte) []byte) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if len(w.value) <= backend.MaxValueBytes {
				w.value = alter(w.value)
			}
			return w.write()
		})
	}
}

// deletions are what was deleted, each with its last state.
type deletions struct {
	mu      sync.Mutex
	entries []backend.Entry
}

// recorded has deletions recorded.
func recorded(s *memory.Store, f *fork) *deletions {
	d := &deletions{}
	f.remove = func(ctx context.Context, key string, expected uint64) error {
		e, _ := s.Get(ctx, key)
		err := s.CompareAndDelete(ctx, key, expected)
		if err == nil {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.entries = append(d.entries, e)
		}
		return err
	}
	return d
}

// all are in the order in which they were deleted.
func (d *deletions) all() []backend.Entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entries)
}

func (d *deletions) last(key string) (backend.Entry, bool) {
	for _, e := range slices.Backward(d.all()) {
		if e.Key == key {
			return e, true
		}
	}
	return backend.Entry{}, false
}

// pauses takes the time of a call to a server, or until ctx ends, and tells whether it has.
func pauses(ctx context.Context) bool {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Microsecond):
	}
	return ctx.Err() != nil
}
