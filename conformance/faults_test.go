package conformance_test

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Faults that several mutants are made of.

// keyed has all keys go through a function under which some become the same.
func keyed(fold func(string) string) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
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
			return s.CompareAndSet(ctx, safe(key), expected, value, keep)
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
// function changes nothing.
func dropsAfter(s *memory.Store, f *fork, becomes func(keep time.Duration) time.Duration) {
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
}

// renumbering gives each key revisions of its own, 1, 2, 3, as stores without a counter for all do.
type renumbering struct {
	mu    sync.Mutex
	next  map[string]uint64 // the last revision given
	real  map[string]uint64 // the store's revision of it
	until map[string]time.Time
}

func (r *renumbering) expired(key string) bool {
	end, ok := r.until[key]
	return ok && !time.Now().Before(end)
}

// renumbered has forget called before each write, and after each deletion, to forget what must not
// be forgotten.
func renumbered(forget func(r *renumbering, key string, deleted bool)) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		r := &renumbering{next: map[string]uint64{}, real: map[string]uint64{}, until: map[string]time.Time{}}
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
			if standing(key) != expected {
				return 0, backend.ErrConflict
			}
			if _, err := s.CompareAndSet(ctx, key, current(s, key), value, keep); err != nil {
				return 0, err
			}
			r.next[key]++
			delete(r.until, key)
			if keep > 0 {
				r.until[key] = time.Now().Add(keep)
			}
			return r.next[key], nil
		}
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			switch standing(key) {
			case 0:
				return backend.ErrNotFound
			case expected:
				err := s.CompareAndDelete(ctx, key, current(s, key))
				forget(r, key, true)
				return err
			}
			return backend.ErrConflict
		}
	}
}

// listed has a listing altered as a whole.
func listed(alter func(all []backend.Entry) []backend.Entry) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				var all []backend.Entry
				for e, err := range s.List(ctx, prefix) {
					if err != nil {
						yield(backend.Entry{}, err)
						return
					}
					all = append(all, e)
				}
				for _, e := range alter(all) {
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
}

// relayed has each new state of a watch replaced by what pick makes of all states so far.
func relayed(s *memory.Store, pick func(states []backend.Entry) []backend.Entry) func(ctx context.Context, key string) (<-chan backend.Entry, error) {
	return func(ctx context.Context, key string) (<-chan backend.Entry, error) {
		from, err := s.Watch(ctx, key)
		if err != nil {
			return nil, err
		}
		to := make(chan backend.Entry, 1)
		go func() {
			defer close(to)
			var states []backend.Entry
			for e := range from {
				states = append(states, e)
				for _, e := range pick(states) {
					select {
					case to <- e:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
		return to, nil
	}
}

// only is a watch that sends one state and no more.
func only(ctx context.Context, e backend.Entry) <-chan backend.Entry {
	ch := make(chan backend.Entry, 1)
	ch <- e
	context.AfterFunc(ctx, func() { close(ch) })
	return ch
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
	}
}
