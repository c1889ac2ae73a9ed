package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of closing.

var ofClosing = []mutant{
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
	{"closed store opens itself again", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		get := f.get
		var n atomic.Int32
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := get(ctx, key)
			if errors.Is(err, backend.ErrClosed) && n.Add(1) > 1 {
				return s.Get(ctx, key)
			}
			return e, err
		}
	}},
	{"closed store deletes", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		remove := f.remove
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := remove(ctx, key, expected)
			if errors.Is(err, backend.ErrClosed) {
				s.CompareAndDelete(ctx, key, expected)
			}
			return err
		}
	}},
	{"closed store panics", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		set := f.set
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			if errors.Is(err, backend.ErrClosed) {
				panic("send on closed channel")
			}
			return revision, err
		})
	}},
	{"a write under way says closed, but is written", "closed", func(s *memory.Store, f *fork) {
		var closing atomic.Bool
		closable(backend.ErrClosed)(s, f)
		set, end := f.set, f.close
		f.sets(func(w write) (uint64, error) {
			revision, err := set(w.ctx, w.key, w.expected, w.value, w.keep)
			time.Sleep(100 * time.Microsecond)
			if err == nil && closing.Load() {
				return 0, backend.ErrClosed
			}
			return revision, err
		})
		f.close = func() error {
			closing.Store(true)
			time.Sleep(2 * time.Millisecond) // so that a write is under way
			return end()
		}
	}},
	{"listing of a closed store is empty", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		list := f.list
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			if _, err := f.get(ctx, "k"); errors.Is(err, backend.ErrClosed) {
				return func(func(backend.Entry, error) bool) {}
			}
			return list(ctx, prefix)
		}
	}},
	{"watch of a closed store begins", "closed", func(s *memory.Store, f *fork) {
		closable(backend.ErrClosed)(s, f)
		watch := f.watch
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			c, err := watch(ctx, key)
			if errors.Is(err, backend.ErrClosed) {
				c := make(chan backend.Entry)
				close(c)
				return c, nil
			}
			return c, err
		}
	}},
	{"close in the loop of a listing blocks", "closed", func(s *memory.Store, f *fork) {
		var mu sync.RWMutex
		f.list = lockedWhile(s, &mu)
		f.close = func() error {
			mu.Lock()
			defer mu.Unlock()
			return s.Close()
		}
	}},
	{"close waits for a watch that nobody reads", "closed", func(s *memory.Store, f *fork) {
		var relays sync.WaitGroup
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			from, err := s.Watch(ctx, key)
			if err != nil {
				return nil, err
			}
			to := make(chan backend.Entry)
			relays.Go(func() {
				defer close(to)
				for e := range from {
					select {
					case to <- e:
					case <-ctx.Done():
					}
				}
			})
			return to, nil
		}
		f.close = func() error {
			s.Close()
			relays.Wait()
			return nil
		}
	}},
	{"close that blocks the second time", "closed", func(s *memory.Store, f *fork) {
		var n atomic.Int32
		f.close = func() error {
			if n.Add(1) > 1 {
				select {}
			}
			return s.Close()
		}
	}},
	{"close that panics the second time", "closed", func(s *memory.Store, f *fork) {
		life := make(chan struct{})
		f.close = func() error {
			close(life)
			return s.Close()
		}
	}},
	{"a deletion under way says closed, but is done", "closed", func(s *memory.Store, f *fork) {
		var closing atomic.Bool
		closable(backend.ErrClosed)(s, f)
		remove, end := f.remove, f.close
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := remove(ctx, key, expected)
			time.Sleep(100 * time.Microsecond)
			if err == nil && closing.Load() {
				return backend.ErrClosed
			}
			return err
		}
		f.close = func() error {
			closing.Store(true)
			time.Sleep(2 * time.Millisecond) // so that a deletion is under way
			return end()
		}
	}},
}
