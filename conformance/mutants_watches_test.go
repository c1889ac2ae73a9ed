package conformance_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of watches.

var ofWatches = []mutant{
	{"a watch that sees only its own handle's writes", "watch elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			other.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
				e, _ := s.Get(ctx, key)
				e.Key = key
				return only(ctx, e), nil
			}
			return other
		}
	}},
	{"watch that goes back in time", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if n := len(states); n >= 3 && states[n-3].Revision != 0 {
				return []backend.Entry{states[n-1], states[n-3]}
			}
			return states[len(states)-1:]
		})
	}},
	{"watch that misses the last state", "watch under load", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if len(states) > 1 { // one behind
				return states[len(states)-2 : len(states)-1]
			}
			return states
		})
	}},
	{"watch that does not tell of deletions", "watch elsewhere", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if last := states[len(states)-1]; len(states) == 1 || last.Revision != 0 {
				return []backend.Entry{last}
			}
			return nil
		})
	}},
	{"watch that leaks its goroutine after cancel", "watch ends", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			go func() { select {} }()
			return s.Watch(ctx, key)
		}
	}},
	{"watch that stays open after cancel", "watch ends", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if ctx.Err() == nil {
				ctx = context.WithoutCancel(ctx)
			}
			return s.Watch(ctx, key)
		}
	}},
	{"watch that is silent", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func([]backend.Entry) []backend.Entry { return nil })
	}},
	{"watch that sends its first state for ever", "watch", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			states, err := s.Watch(ctx, key)
			if err != nil {
				return nil, err
			}
			e, to := <-states, make(chan backend.Entry)
			go func() {
				defer close(to)
				for ctx.Err() == nil {
					select {
					case to <- e:
					case <-ctx.Done():
					}
				}
			}()
			return to, nil
		}
	}},
	{"watch that sends changes without their values", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			e := states[len(states)-1]
			if len(states) > 1 {
				e.Value = nil
			}
			return []backend.Entry{e}
		})
	}},
	{"watch that sends changes alone", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if len(states) == 1 {
				return nil
			}
			return states[len(states)-1:]
		})
	}},
	{"watch that sends its first state alone", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if len(states) > 1 {
				return nil
			}
			return states
		})
	}},
	{"watch that is silent about an absent key", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			if len(states) == 1 && states[0].Revision == 0 {
				return nil
			}
			return states[len(states)-1:]
		})
	}},
	{"watch that ends with its first state", "watch", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if err != nil && !errors.Is(err, backend.ErrNotFound) {
				return nil, err
			}
			e.Key = key
			c := make(chan backend.Entry, 1)
			c <- e
			close(c)
			return c, nil
		}
	}},
	{"watch that sends a deletion at a revision", "watch", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			n := len(states)
			e := states[n-1]
			if n > 1 && e.Revision == 0 {
				e.Revision = states[n-2].Revision
			}
			return []backend.Entry{e}
		})
	}},
	{"watch of keys without case", "watch keys", func(s *memory.Store, f *fork) {
		direct(s, f, 1000, strings.EqualFold)
	}},
	{"watch of a key's path too", "watch keys", func(s *memory.Store, f *fork) {
		direct(s, f, 1000, func(written, watched string) bool { return strings.HasPrefix(written, watched) })
	}},
	{"watch that begins late", "watch under load", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			e, _ := s.Get(ctx, key)
			e.Key = key
			time.Sleep(100 * time.Microsecond) // what is written here is missed
			n := 0
			return relayed(s, func(states []backend.Entry) []backend.Entry {
				if n++; n == 1 {
					return []backend.Entry{e}
				}
				return states[len(states)-1:]
			})(ctx, key)
		}
	}},
	{"watch that holds its writers up", "unread watch", func(s *memory.Store, f *fork) {
		direct(s, f, 1, func(written, watched string) bool { return written == watched })
	}},
	{"no more than 64 watches", "many watches", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if n.Add(1) > 64 {
				return nil, errors.New("too many subscriptions")
			}
			context.AfterFunc(ctx, func() { n.Add(-1) })
			return s.Watch(ctx, key)
		}
	}},
	{"the watch of a key replaces the one before", "many watches", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		ends := map[string]func(){}
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			if end := ends[key]; end != nil {
				end()
			}
			ctx, cancel := context.WithCancel(ctx)
			states, err := s.Watch(ctx, key)
			if err != nil {
				cancel()
				return nil, err
			}
			ends[key] = func() {
				cancel()
				for range states { // until it is closed
				}
			}
			return states, nil
		}
	}},
	{"watch that leaks what nobody took", "watch ends", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			from, err := s.Watch(ctx, key)
			if err != nil {
				return nil, err
			}
			to := make(chan backend.Entry)
			go func() {
				defer close(to)
				for e := range from {
					to <- e
				}
			}()
			return to, nil
		}
	}},
	{"no more than eight watches of a key are told", "many watches", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		n := map[string]int{}
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			if n[key] < 8 {
				n[key]++
				context.AfterFunc(ctx, func() {
					mu.Lock()
					defer mu.Unlock()
					n[key]--
				})
				return s.Watch(ctx, key)
			}
			return relayed(s, func(states []backend.Entry) []backend.Entry {
				if len(states) > 1 {
					return nil
				}
				return states
			})(ctx, key)
		}
	}},
	{"a write panics if a watch ends meanwhile", "watch under load", func(s *memory.Store, f *fork) {
		var ended sync.Map // by key
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			context.AfterFunc(ctx, func() { ended.Store(key, true) })
			return s.Watch(ctx, key)
		}
		f.sets(func(w write) (uint64, error) {
			ended.Delete(w.key)
			revision, err := w.write()
			time.Sleep(50 * time.Microsecond) // here the end of a watch comes in
			if _, ok := ended.Load(w.key); ok {
				panic("send on closed channel")
			}
			return revision, err
		})
	}},
	{"watch that skips large values", "limits", func(s *memory.Store, f *fork) {
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			last := states[len(states)-1]
			if len(last.Value) > 64<<10 {
				return nil
			}
			return []backend.Entry{last}
		})
	}},
	{"watch that tells of what is refused", "watch", func(s *memory.Store, f *fork) {
		tell := direct(s, f, 1000, func(written, watched string) bool { return written == watched })
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if now := w.now(); now != 0 && errors.Is(err, backend.ErrConflict) {
				tell(backend.Entry{Key: w.key, Value: w.value, Revision: now})
			}
			return revision, err
		})
	}},
}
