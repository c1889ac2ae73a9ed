package conformance_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of keys.

var ofKeys = []mutant{
	{"keys folded by case", "keys", keyed(strings.ToLower)},
	{"keys normalised in Unicode", "keys", keyed(strings.NewReplacer("e\u0301", "é", "\u212a", "K", "ﬁ", "fi").Replace)},
	{"keys without control characters", "each odd key", keyed(func(key string) string {
		return strings.Map(func(c rune) rune {
			if unicode.IsControl(c) {
				return -1
			}
			return c
		}, key)
	})},
	{"keys escaped, but not the escape", "keys", keyed(strings.NewReplacer(".", "=2E").Replace)},
	{"key prefix confused with key", "keys", keyed(func(key string) string { return strings.TrimRight(key, "/.* ") })},
	{"key truncated", "keys", keyed(func(key string) string { return key[:min(len(key), 255)] })},
	{"keys that are folders, above which none is", "keys", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			for i, c := range w.key {
				if c == '/' && current(s, w.key[:i]) != 0 {
					return 0, errors.New("not a directory")
				}
			}
			return w.write()
		})
	}},
	{"deletion of a key deletes what is below it", "keys", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if err == nil {
				for e := range s.List(ctx, key+"/") {
					s.CompareAndDelete(ctx, e.Key, e.Revision)
				}
			}
			return err
		}
	}},
	{"keys of more than a kilobyte are refused", "keys", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if len(w.key) > 1024 {
				return 0, fmt.Errorf("%w: key too long", backend.ErrInvalid)
			}
			return w.write()
		})
	}},
	{"keys told apart by a hash of 16 bits", "many keys", keyed(func(key string) string {
		h := sha256.Sum256([]byte(key))
		return fmt.Sprintf("%x", h[:2])
	})},
	{"only the newest 200 keys are remembered", "many keys", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		var order []string
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil && w.expected == 0 {
				mu.Lock()
				defer mu.Unlock()
				if order = append(order, w.key); len(order) > 200 {
					s.CompareAndDelete(bg, order[0], current(s, order[0]))
					order = order[1:]
				}
			}
			return revision, err
		})
	}},
	{"a store that is full with a thousand keys", "many keys", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.sets(func(w write) (uint64, error) {
			if w.expected == 0 && n.Load() >= 1000 {
				return 0, fmt.Errorf("%w: full", backend.ErrUnavailable)
			}
			revision, err := w.write()
			if err == nil && w.expected == 0 {
				n.Add(1)
			}
			return revision, err
		})
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if err == nil {
				n.Add(-1)
			}
			return err
		}
	}},
	{"a store that closes when it has had enough", "many keys", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.sets(func(w write) (uint64, error) {
			if n.Add(1) > 1000 {
				return 0, backend.ErrClosed
			}
			return w.write()
		})
	}},
	{"only the newest three megabytes are remembered", "many keys", func(s *memory.Store, f *fork) {
		var mu sync.Mutex
		var order []write
		size := 0
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err != nil || w.expected != 0 {
				return revision, err
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, w)
			for size += len(w.value); size > 3<<20 && len(order) > 1; order = order[1:] {
				size -= len(order[0].value)
				s.CompareAndDelete(bg, order[0].key, order[0].now())
			}
			return revision, err
		})
	}},
}
