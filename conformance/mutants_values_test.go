package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of values and limits.

var ofValues = []mutant{
	{"value truncated", "values", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if len(value) <= backend.MaxValueBytes {
				value = value[:min(len(value), 65_535)]
			}
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"value's bytes shared with the caller on the way in", "aliasing", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		given := map[string][]byte{}
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			mu.Lock()
			defer mu.Unlock()
			revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
			if err == nil {
				given[key] = value
			}
			return revision, err
		}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			mu.Lock()
			defer mu.Unlock()
			e, err := s.Get(ctx, key)
			if err == nil {
				e.Value = bytes.Clone(given[key])
			}
			return e, err
		}
	}},
	{"value's bytes shared with the caller on the way out", "aliasing", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		handedOut := map[string]backend.Entry{}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			mu.Lock()
			defer mu.Unlock()
			if old, ok := handedOut[key]; ok && err == nil && old.Revision == e.Revision {
				return old, nil
			}
			if err == nil {
				handedOut[key] = e
			}
			return e, err
		}
	}},
	{"empty value confused with none", "values", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if err == nil && len(e.Value) == 0 {
				return backend.Entry{}, backend.ErrNotFound
			}
			return e, err
		}
	}},
	{"limits not checked", "invalid", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			return s.CompareAndSet(ctx, strings.ToValidUTF8(key, "?"), expected, value, keep)
		}
	}},
	{"values of more than half a megabyte are refused", "values", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if len(w.value) > 512<<10 {
				return 0, fmt.Errorf("%w: value too long", backend.ErrInvalid)
			}
			return w.write()
		})
	}},
	{"a panic over a large value", "values", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			buffer := make([]byte, 256<<10)
			if n := len(w.value); n > 0 && n <= backend.MaxValueBytes {
				_ = buffer[n-1]
			}
			return w.write()
		})
	}},
	{"values made valid UTF-8", "values", valued(func(v []byte) []byte { return bytes.ToValidUTF8(v, []byte("?")) })},
	{"zeros trimmed from a value's end", "values", valued(func(v []byte) []byte { return bytes.TrimRight(v, "\x00") })},
	{"an empty value leaves the one before", "values", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if e, err := s.Get(w.ctx, w.key); err == nil && len(w.value) == 0 && w.keep >= 0 {
				w.value = e.Value
			}
			return w.write()
		})
	}},
	{"listings that share their values", "aliasing", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		yielded := map[string]backend.Entry{}
		listed(func(all []backend.Entry) []backend.Entry {
			mu.Lock()
			defer mu.Unlock()
			for i, e := range all {
				if old := yielded[e.Key]; old.Revision == e.Revision {
					all[i] = old
				}
				yielded[e.Key] = all[i]
			}
			return all
		})(s, f)
	}},
	{"a listing whose values lie side by side", "aliasing", listed(func(all []backend.Entry) []backend.Entry {
		var page []byte
		for _, e := range all {
			page = append(page, e.Value...)
		}
		page = append(page, make([]byte, 64)...)
		at := 0
		for i, e := range all {
			all[i].Value = page[at : at+len(e.Value)]
			at += len(e.Value)
		}
		return all
	})},
	{"a listing that uses a value's bytes again", "aliasing", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				row := make([]byte, 0, 64)
				for e, err := range s.List(ctx, prefix) {
					if len(e.Value) <= cap(row) {
						row = append(row[:0], e.Value...)
						e.Value = row
					}
					if !yield(e, err) {
						return
					}
				}
			}
		}
	}},
	{"watches that share what they send", "aliasing", func(s *memory.Store, f *fork) {
		var sent sync.Map
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			e := states[len(states)-1]
			shared, _ := sent.LoadOrStore(fmt.Sprint(e.Key, e.Revision), e)
			return []backend.Entry{shared.(backend.Entry)}
		})
	}},
	{"watches that share the changes they send", "aliasing", func(s *memory.Store, f *fork) {
		var sent sync.Map
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			e := states[len(states)-1]
			if len(states) > 1 {
				shared, _ := sent.LoadOrStore(fmt.Sprint(e.Key, e.Revision), e)
				e = shared.(backend.Entry)
			}
			return []backend.Entry{e}
		})
	}},
	{"an update's bytes shared with the caller", "aliasing", func(s *memory.Store, f *fork) {
		var given sync.Map
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil {
				if given.Delete(w.key); w.expected != 0 {
					given.Store(w.key, w.value)
				}
			}
			return revision, err
		})
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if v, ok := given.Load(key); ok && err == nil {
				e.Value = bytes.Clone(v.([]byte))
			}
			return e, err
		}
	}},
	{"what is refused is written as far as it goes", "invalid", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if errors.Is(err, backend.ErrInvalid) && len(w.value) > backend.MaxValueBytes {
				s.CompareAndSet(w.ctx, w.key, w.expected, w.value[:backend.MaxValueBytes], w.keep)
			}
			return revision, err
		})
	}},
	{"an impossible key is absent", "invalid", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if backend.CheckKey(key) != nil {
				return backend.Entry{}, backend.ErrNotFound
			}
			return s.Get(ctx, key)
		}
	}},
	{"a negative keep is none", "invalid", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			w.keep = max(w.keep, 0)
			return w.write()
		})
	}},
	{"delete at 0 deletes whatever is there", "invalid", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			if now := current(s, key); expected == 0 && now != 0 {
				expected = now
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
	}},
	{"a watch of an impossible key begins", "invalid", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if backend.CheckKey(key) != nil {
				return only(ctx, backend.Entry{Key: key}), nil
			}
			return s.Watch(ctx, key)
		}
	}},
	{"surrogates pass for UTF-8", "invalid", mended(func(key string) string { return strings.ReplaceAll(key, "\xed\xa0\x80", "?") })},
	{"the limit of keys is counted in characters", "invalid", mended(func(key string) string {
		if len(key) > backend.MaxKeyBytes && utf8.RuneCountInString(key) <= backend.MaxKeyBytes {
			return strings.ReplaceAll(key, "é", "e")
		}
		return key
	})},
	{"key and value are too long together", "limits", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if n := len(w.key) + len(w.value); n > backend.MaxValueBytes+1024 && backend.CheckWrite(w.key, w.value, w.keep) == nil {
				return 0, errors.New("maximum payload exceeded")
			}
			return w.write()
		})
	}},
}
