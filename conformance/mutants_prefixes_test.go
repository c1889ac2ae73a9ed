package conformance_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of watches of prefixes.

var ofPrefixWatches = []mutant{
	{"prefix watch that is silent", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func([]backend.Entry) []backend.Entry { return nil })
	}},
	{"prefix watch that sees only its own handle's writes", "prefix watch elsewhere", func(s *memory.Store, f *fork) {
		f.second = func() backend.Backend {
			other := &fork{Store: s}
			directPrefix(s, other, told{room: 1000})
			other.close = nil
			return other
		}
	}},
	{"prefix watch that does not tell of deletions", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			if last := states[len(states)-1]; last.Revision != 0 {
				return []backend.Entry{last}
			}
			return nil
		})
	}},
	{"prefix watch of the keys that stood when it began", "watch prefix", func(s *memory.Store, f *fork) {
		directPrefix(s, f, told{room: backend.MaxWaiting, only: func(s *memory.Store) (keys []string) {
			for e := range s.List(bg, "") {
				keys = append(keys, e.Key)
			}
			return keys
		}})
	}},
	{"prefix watch that ends with its first state", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			ctx, cancel := context.WithCancel(ctx)
			return relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
				if len(states) > 1 {
					cancel()
				}
				return states[len(states)-1:]
			})(ctx, prefix)
		}
	}},
	{"prefix watch that tells of what is refused", "watch prefix", func(s *memory.Store, f *fork) {
		tell := directPrefix(s, f, told{room: backend.MaxWaiting})
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if errors.Is(err, backend.ErrConflict) {
				tell(backend.Entry{Key: w.key, Value: w.value, Revision: max(w.now(), 1)})
			}
			return revision, err
		})
	}},
	{"prefix watch that sends changes without their values", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = altered(s, func(e *backend.Entry) { e.Value = nil })
	}},
	{"the watch of a prefix replaces the one before", "watch prefix", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		ends := map[string]func(){}
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			if end := ends[prefix]; end != nil {
				end()
			}
			ctx, cancel := context.WithCancel(ctx)
			states, err := s.WatchPrefix(ctx, prefix)
			ends[prefix] = func() {
				cancel()
				for range states { // until it is closed; it is nil if there was an error
				}
			}
			if err != nil {
				cancel()
				delete(ends, prefix)
			}
			return states, err
		}
	}},
	{"prefix watch that compares without case", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = selected(s, func(key, prefix string) bool {
			return strings.HasPrefix(strings.ToLower(key), strings.ToLower(prefix))
		})
	}},
	{"prefix watch of whole steps of a path", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = selected(s, func(key, prefix string) bool {
			return prefix == "" || key == prefix || strings.HasPrefix(key, strings.TrimSuffix(prefix, "/")+"/")
		})
	}},
	{"prefix watch that ignores a slash at the end", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = selected(s, func(key, prefix string) bool {
			return strings.HasPrefix(key, strings.TrimSuffix(prefix, "/"))
		})
	}},
	{"prefix watch by pattern instead of prefix", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = selected(s, func(key, prefix string) bool {
			part := key
			for n := len(part); n >= 0; n-- {
				if ok, err := path.Match(prefix, key[:n]); ok && err == nil {
					return true
				}
			}
			return strings.HasPrefix(key, prefix)
		})
	}},
	{"prefix watch by the first 255 bytes of its prefix", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = selected(s, func(key, prefix string) bool {
			return strings.HasPrefix(key, prefix[:min(len(prefix), 255)])
		})
	}},
	{"prefix watch by whole characters", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			if len(prefix) <= backend.MaxKeyBytes {
				prefix = strings.ToValidUTF8(prefix, "\ufffd")
			}
			return s.WatchPrefix(ctx, prefix)
		}
	}},
	{"prefix watch of all by an empty prefix is silent", "watch prefixes", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			if prefix == "" {
				prefix = "no key"
			}
			return s.WatchPrefix(ctx, prefix)
		}
	}},
	{"prefix watch that begins late", "prefix watch under load", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			probe, cancel := context.WithCancel(ctx)
			defer cancel()
			if _, err := s.WatchPrefix(probe, prefix); err != nil {
				return nil, err
			}
			to := make(chan backend.Entry)
			go func() {
				defer close(to)
				pauses(ctx) // what is written here is missed
				from, err := s.WatchPrefix(ctx, prefix)
				if err != nil {
					<-ctx.Done()
					return
				}
				for e := range from {
					select {
					case to <- e:
					case <-ctx.Done():
						return
					}
				}
			}()
			return to, nil
		}
	}},
	{"prefix watch that begins with what stands", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			from, err := s.WatchPrefix(ctx, prefix)
			if err != nil {
				return nil, err
			}
			to := make(chan backend.Entry)
			go func() {
				defer close(to)
				send := func(e backend.Entry) {
					select {
					case to <- e:
					case <-ctx.Done():
					}
				}
				for e := range s.List(ctx, prefix) {
					if e.Revision != 0 {
						send(e)
					}
				}
				for e := range from {
					send(e)
				}
			}()
			return to, nil
		}
	}},
	{"prefix watch that misses the last state", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			if n := len(states); n > 1 {
				return states[n-2 : n-1]
			}
			return nil
		})
	}},
	{"prefix watch that tells of each key once", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			if len(before(states)) > 0 {
				return nil
			}
			return states[len(states)-1:]
		})
	}},
	{"prefix watch that goes back in time", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			last := states[len(states)-1]
			if old := before(states); len(old) > 0 && old[len(old)-1].Revision != 0 && last.Revision != 0 {
				return []backend.Entry{last, old[len(old)-1]}
			}
			return []backend.Entry{last}
		})
	}},
	{"prefix watch that sends a deletion at a revision", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			last := states[len(states)-1]
			if old := before(states); len(old) > 0 && last.Revision == 0 {
				last.Revision = old[len(old)-1].Revision
			}
			return []backend.Entry{last}
		})
	}},
	{"prefix watch whose deletions have no key", "watch prefix", func(s *memory.Store, f *fork) {
		f.watchPrefix = altered(s, func(e *backend.Entry) {
			if e.Revision == 0 {
				e.Key = ""
			}
		})
	}},
	{"a prefix watch that begins with an ended context", "ended context", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			if ctx.Err() != nil {
				ended := make(chan backend.Entry)
				close(ended)
				return ended, nil
			}
			return s.WatchPrefix(ctx, prefix)
		}
	}},
	{"a watch of an impossible prefix begins", "invalid", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			return s.WatchPrefix(ctx, prefix[:min(len(prefix), backend.MaxKeyBytes)])
		}
	}},
	{"prefix watch that holds its writers up", "unread prefix watch", func(s *memory.Store, f *fork) {
		directPrefix(s, f, told{room: 100})
	}},
	{"prefix watch that holds all that nobody reads", "unread prefix watch", func(s *memory.Store, f *fork) {
		directPrefix(s, f, told{room: 100_000})
	}},
	{"prefix watch that drops what is too much", "unread prefix watch", func(s *memory.Store, f *fork) {
		directPrefix(s, f, told{room: 1000, drops: true})
	}},
	{"prefix watch that stays open after cancel", "prefix watch ends", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			if ctx.Err() == nil {
				ctx = context.WithoutCancel(ctx)
			}
			return s.WatchPrefix(ctx, prefix)
		}
	}},
	{"prefix watch that leaks its goroutine after cancel", "prefix watch ends", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			go func() { select {} }()
			return s.WatchPrefix(ctx, prefix)
		}
	}},
	{"prefix watch that leaks what nobody took", "prefix watch ends", func(s *memory.Store, f *fork) {
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			from, err := s.WatchPrefix(ctx, prefix)
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
	{"prefix watches that share what they send", "watch prefix", func(s *memory.Store, f *fork) {
		directPrefix(s, f, told{room: backend.MaxWaiting, shares: true})
	}},
	{"a write panics if a prefix watch ends meanwhile", "prefix watch under load", func(s *memory.Store, f *fork) {
		var ended sync.Map // by prefix
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			context.AfterFunc(ctx, func() { ended.Store(prefix, true) })
			return s.WatchPrefix(ctx, prefix)
		}
		f.sets(func(w write) (uint64, error) {
			ended.Clear()
			revision, err := w.write()
			time.Sleep(50 * time.Microsecond) // here the end of a watch comes in
			ended.Range(func(prefix, _ any) bool {
				if strings.HasPrefix(w.key, prefix.(string)) {
					panic("send on closed channel")
				}
				return true
			})
			return revision, err
		})
	}},
	{"prefix watch that outlives its store", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		f.watchPrefix = s.WatchPrefix
	}},
	{"prefix watch of a closed store begins", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		watch := f.watchPrefix
		f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
			states, err := watch(ctx, prefix)
			if errors.Is(err, backend.ErrClosed) {
				ended := make(chan backend.Entry)
				close(ended)
				return ended, nil
			}
			return states, err
		}
	}},
}
