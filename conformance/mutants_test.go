package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// mutant is a store with one fault, which it is named after, and the property that is meant to find
// it.
type mutant struct {
	name     string
	caughtBy string
	fault    func(s *memory.Store, f *fork)
}

var bg = context.Background()

var mutants = []mutant{
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
	{"read-then-write without atomicity", "race to create", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if current(s, key) != expected {
				return 0, backend.ErrConflict
			}
			time.Sleep(50 * time.Microsecond) // here the others come in
			return s.CompareAndSet(ctx, key, current(s, key), value, keep)
		}
	}},
	{"lost write under concurrency", "lost update", func(s *memory.Store, f *fork) {
		var under atomic.Int32
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if under.Add(1) > 1 && expected != 0 { // it says so, and writes nothing
				defer under.Add(-1)
				if current(s, key) == expected {
					return expected + 1, nil
				}
				return 0, backend.ErrConflict
			}
			defer under.Add(-1)
			time.Sleep(20 * time.Microsecond)
			return s.CompareAndSet(ctx, key, expected, value, keep)
		}
	}},
	{"revision reused after delete", "revisions", renumbered(func(r *renumbering, key string, deleted bool) {
		if deleted {
			r.next[key] = 0
		}
	})},
	{"revision reused after expiry", "keep", renumbered(func(r *renumbering, key string, _ bool) {
		if r.expired(key) {
			r.next[key] = 0
		}
	})},
	{"revision not growing", "revisions", renumbered(func(r *renumbering, key string, deleted bool) {
		if deleted {
			r.next[key] -= 2
		}
	})},
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
	{"stale read after an acknowledged write", "fresh reads", func(s *memory.Store, f *fork) {
		staleGet(s, f)
	}},
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
	{"keys folded by case", "keys", keyed(strings.ToLower)},
	{"keys normalised in Unicode", "keys", keyed(strings.NewReplacer("e\u0301", "é", "\u212a", "K", "ﬁ", "fi").Replace)},
	{"keys without control characters", "keys", keyed(func(key string) string {
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
			revision, err := s.CompareAndSet(ctx, key, expected, value, keep)
			if err == nil {
				mu.Lock()
				given[key] = value
				mu.Unlock()
			}
			return revision, err
		}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			mu.Lock()
			defer mu.Unlock()
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
	{"wrong error for absence", "absent", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if errors.Is(err, backend.ErrNotFound) {
				err = errors.New("sql: no rows in result set")
			}
			return e, err
		}
	}},
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
	{"limits not checked", "invalid", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			return s.CompareAndSet(ctx, strings.ToValidUTF8(key, "?"), expected, value, keep)
		}
	}},
	{"cancelled context ignored", "ended context", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			return s.CompareAndSet(context.WithoutCancel(ctx), key, expected, value, keep)
		}
	}},
	{"blocked for ever on a cancelled context", "ended context", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if ctx.Err() != nil {
				select {}
			}
			return s.Get(ctx, key)
		}
	}},
	{"half a value written when the context ends", "cut short", func(s *memory.Store, f *fork) {
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			if ctx.Done() == nil || len(value) < 2 {
				return s.CompareAndSet(ctx, key, expected, value, keep)
			}
			revision, err := s.CompareAndSet(ctx, key, expected, value[:len(value)/2], keep)
			if err != nil {
				return 0, err
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(200 * time.Microsecond):
				return s.CompareAndSet(ctx, key, revision, value, keep)
			}
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
			return s.Watch(context.WithoutCancel(ctx), key)
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
						if seen[e.Key] = e.Revision; !yield(e, err) {
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
	{"list by pattern instead of prefix", "list", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			if before, _, ok := strings.Cut(prefix, "%"); ok {
				prefix = before
			}
			return s.List(ctx, prefix)
		}
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
	{"closed store answers", "closed", func(s *memory.Store, f *fork) {
		f.close = func() error { return nil }
	}},
	{"closed store reports unavailable", "closed", closable(fmt.Errorf("%w: closed", backend.ErrUnavailable))},
	{"closed store asks to be tried again", "closed", closable(fmt.Errorf("%w: %w", backend.ErrUnavailable, backend.ErrClosed))},
	{"closed store says so, and writes all the same", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		set := f.set
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			revision, err := set(ctx, key, expected, value, keep)
			if errors.Is(err, backend.ErrClosed) {
				s.CompareAndSet(ctx, key, expected, value, keep)
			}
			return revision, err
		}
	}},
	{"closed store blocks", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		get := f.get
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := get(ctx, key)
			if errors.Is(err, backend.ErrClosed) {
				select {}
			}
			return e, err
		}
	}},
	{"acknowledged write lost in closing", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		end := f.close
		f.close = func() error {
			end()
			for e := range s.List(bg, "") {
				s.CompareAndDelete(bg, e.Key, e.Revision)
			}
			return nil
		}
	}},
	{"listing that ends without a word when the store closes", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		list := f.list
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				yielded := false
				for e, err := range list(ctx, prefix) {
					if errors.Is(err, backend.ErrClosed) && yielded || !yield(e, err) {
						return
					}
					yielded = true
				}
			}
		}
	}},
	{"watch that outlives its store", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		f.watch = s.Watch
	}},
	{"close that fails the second time", "closed", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.close = func() error {
			if n.Add(1) > 1 {
				return errors.New("already closed")
			}
			return s.Close()
		}
	}},
}
