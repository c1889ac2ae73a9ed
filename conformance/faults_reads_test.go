package conformance_test

import (
	"context"
	"iter"
	"sync"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Faults of listings and watches that several mutants are made of.

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

// listing has entries left out of a listing unless shows wants them.
func listing(shows func(s *memory.Store, ctx context.Context, e backend.Entry) bool) func(s *memory.Store, f *fork) {
	return func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, err)
					return
				}
				var all []backend.Entry
				for e := range s.List(ctx, prefix) {
					all = append(all, e)
				}
				for _, e := range all {
					if shows(s, ctx, e) && !yield(e, nil) {
						return
					}
				}
			}
		}
	}
}

// everyOther has every other listing of a prefix show what the one before did.
func everyOther(s *memory.Store) func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	var mu sync.Mutex
	cache := map[string][]backend.Entry{}
	return func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
		if ctx.Err() != nil {
			return s.List(ctx, prefix)
		}
		mu.Lock()
		defer mu.Unlock()
		all, ok := cache[prefix]
		if delete(cache, prefix); !ok {
			for e := range s.List(ctx, prefix) {
				all = append(all, e)
			}
			cache[prefix] = all
		}
		return func(yield func(backend.Entry, error) bool) {
			for _, e := range all {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// lockedWhile has mu held for reading while a listing runs.
func lockedWhile(s *memory.Store, mu *sync.RWMutex) func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
		return func(yield func(backend.Entry, error) bool) {
			mu.RLock()
			defer mu.RUnlock()
			s.List(ctx, prefix)(yield)
		}
	}
}

// channel is a watch to which writers send themselves. Its lock is held to send and to close.
type channel struct {
	mu     sync.Mutex
	ctx    context.Context
	key    string
	states chan backend.Entry
}

func (c *channel) send(e backend.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	e.Key = c.key
	select {
	case c.states <- e:
	case <-c.ctx.Done():
	}
}

// direct has a write return when all watches that it concerns have room for it, of so many states
// at most. It returns what tells them of another entry.
func direct(s *memory.Store, f *fork, room int, concerns func(written, watched string) bool) (tell func(e backend.Entry)) {
	var mu sync.Mutex
	var watches []*channel
	life, end := context.WithCancel(bg)
	f.close = func() error {
		end()
		return s.Close()
	}
	tell = func(e backend.Entry) {
		mu.Lock()
		all := watches
		mu.Unlock()
		for _, c := range all {
			if concerns(e.Key, c.key) {
				c.send(e)
			}
		}
	}
	tellOf := func(key string) {
		e, _ := s.Get(bg, key)
		e.Key = key
		tell(e)
	}
	f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
		if _, err := s.Watch(ctx, key); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(ctx)
		context.AfterFunc(life, cancel)
		e, _ := s.Get(ctx, key)
		e.Key = key
		c := &channel{ctx: ctx, key: key, states: make(chan backend.Entry, room)}
		c.states <- e
		context.AfterFunc(ctx, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			close(c.states)
		})
		mu.Lock()
		defer mu.Unlock()
		watches = append(watches, c)
		return c.states, nil
	}
	f.sets(func(w write) (uint64, error) {
		revision, err := w.write()
		if err == nil {
			tellOf(w.key)
		}
		return revision, err
	})
	f.remove = func(ctx context.Context, key string, expected uint64) error {
		err := s.CompareAndDelete(ctx, key, expected)
		if err == nil {
			tellOf(key)
		}
		return err
	}
	return tell
}
