package conformance_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// renumbering gives each key revisions of its own, 1, 2, 3, as stores without a counter for all do.
type renumbering struct {
	store *memory.Store
	mu    sync.Mutex
	next  map[string]uint64 // the last revision given
	given map[state]uint64  // for the store's
	until map[string]time.Time
}

// state is a key at one of the store's revisions.
type state struct {
	key      string
	revision uint64
}

// tell has the entry tell the revision that was given for the store's.
func (r *renumbering) tell(e backend.Entry) backend.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Revision = r.given[state{e.Key, e.Revision}]
	return e
}

func (r *renumbering) expired(key string) bool {
	end, ok := r.until[key]
	return ok && !time.Now().Before(end)
}

// give has key stand at another revision than the one it was given.
func (r *renumbering) give(key string, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[key] = revision
	r.given[state{key, current(r.store, key)}] = revision
}

// renumbered has forget called before each write, and after each deletion, to forget what must not
// be forgotten.
func renumbered(forget func(r *renumbering, key string, deleted bool)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		r := &renumbering{store: s, next: map[string]uint64{}, given: map[state]uint64{}, until: map[string]time.Time{}}
		f.numbers = r
		expire := func(key string) {
			if r.expired(key) {
				s.CompareAndDelete(bg, key, current(s, key))
				forget(r, key, false)
				delete(r.until, key)
			}
		}
		standing := func(key string) uint64 {
			if current(s, key) == 0 {
				return 0
			}
			return r.next[key]
		}
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			expire(key)
			e, err := s.Get(ctx, key)
			if err == nil {
				e.Revision = r.next[key]
			}
			return e, err
		}
		f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if err := backend.CheckWrite(key, value, keep); err != nil {
				return 0, err
			}
			if standing(key) != expected {
				if _, err := s.Get(ctx, key); err != nil && !errors.Is(err, backend.ErrNotFound) {
					return 0, err
				}
				return 0, backend.ErrConflict
			}
			real, err := s.CompareAndSet(ctx, key, current(s, key), value, keep)
			if err != nil {
				return 0, err
			}
			r.next[key]++
			r.given[state{key, real}] = r.next[key]
			delete(r.until, key)
			if 0 < keep && keep < 24*time.Hour {
				r.until[key] = time.Now().Add(keep)
			}
			return r.next[key], nil
		}
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if expected != 0 && standing(key) == expected {
				err := s.CompareAndDelete(ctx, key, current(s, key))
				if err == nil {
					forget(r, key, true)
				}
				return err
			}
			if expected != 0 && expected == current(s, key) { // which is another's number
				expected++
			}
			return s.CompareAndDelete(ctx, key, expected)
		}
		listed(func(all []backend.Entry) []backend.Entry {
			for i, e := range all {
				all[i] = r.tell(e)
			}
			return all
		})(s, f)
		f.watch = relayed(s, func(states []backend.Entry) []backend.Entry {
			return []backend.Entry{r.tell(states[len(states)-1])}
		})
		f.watchPrefix = altered(s, func(e *backend.Entry) { *e = r.tell(*e) })
	}
}
