package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Stores with a fault of contexts.

var ofContexts = []mutant{
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
			if len(value) < 8 || backend.CheckWrite(key, value, keep) != nil {
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
	{"a deadline that is told as a cancellation", "ended context", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if ctx.Err() != nil {
				return backend.Entry{}, context.Canceled
			}
			return s.Get(ctx, key)
		}
	}},
	{"delete ignores its context", "ended context", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			return s.CompareAndDelete(context.WithoutCancel(ctx), key, expected)
		}
	}},
	{"written although the context had ended", "ended context", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if w.ctx.Err() != nil && backend.CheckWrite(w.key, w.value, w.keep) == nil {
				s.CompareAndSet(bg, w.key, w.expected, w.value, w.keep)
			}
			return revision, err
		})
	}},
	{"a watch that begins with an ended context", "ended context", func(s *memory.Store, f *fork) {
		f.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			if ctx.Err() != nil {
				c := make(chan backend.Entry)
				close(c)
				return c, nil
			}
			return s.Watch(ctx, key)
		}
	}},
	{"an error of the store's own when the context ends", "cut short", func(s *memory.Store, f *fork) {
		f.get = func(ctx context.Context, key string) (backend.Entry, error) {
			e, err := s.Get(ctx, key)
			if pauses(ctx) && err == nil {
				return backend.Entry{}, errors.New("interrupted")
			}
			return e, err
		}
	}},
	{"blocked for ever when the context ends", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.ctx.Err() == nil && pauses(w.ctx) {
				select {}
			}
			return w.write()
		})
	}},
	{"unavailable when the context ends, but written", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil && pauses(w.ctx) {
				return 0, fmt.Errorf("%w: %w", backend.ErrUnavailable, w.ctx.Err())
			}
			return revision, err
		})
	}},
	{"unavailable when the context ends, and written later", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.ctx.Err() == nil && pauses(w.ctx) {
				w.value = bytes.Clone(w.value)
				time.AfterFunc(10*time.Millisecond, func() { s.CompareAndSet(bg, w.key, w.expected, w.value, w.keep) })
				return 0, fmt.Errorf("%w: %w", backend.ErrUnavailable, w.ctx.Err())
			}
			return w.write()
		})
	}},
	{"unavailable when the context ends, but deleted", "cut short", func(s *memory.Store, f *fork) {
		f.remove = func(ctx context.Context, key string, expected uint64) error {
			err := s.CompareAndDelete(ctx, key, expected)
			if err == nil && pauses(ctx) {
				return fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
			}
			return err
		}
	}},
	{"unavailable when the context ends, but updated", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil && w.expected != 0 && pauses(w.ctx) {
				return 0, fmt.Errorf("%w: %w", backend.ErrUnavailable, w.ctx.Err())
			}
			return revision, err
		})
	}},
	{"a deadline that passes meanwhile is a cancellation", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.ctx.Err() == nil && pauses(w.ctx) {
				return 0, context.Canceled
			}
			return w.write()
		})
	}},
	{"success, which is undone when the context ends", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			revision, err := w.write()
			if err == nil && pauses(w.ctx) {
				time.AfterFunc(10*time.Millisecond, func() { s.CompareAndDelete(bg, w.key, revision) })
			}
			return revision, err
		})
	}},
	{"a value that is read after the call", "cut short", func(s *memory.Store, f *fork) {
		f.sets(func(w write) (uint64, error) {
			if w.ctx.Err() == nil && pauses(w.ctx) {
				late := w
				late.ctx = bg
				time.AfterFunc(time.Millisecond, func() { late.write() })
				return 0, w.ctx.Err()
			}
			return w.write()
		})
	}},
	{"a list with an ended context yields all the same", "ended context", func(s *memory.Store, f *fork) {
		f.list = func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
			return func(yield func(backend.Entry, error) bool) {
				for e, err := range s.List(context.WithoutCancel(ctx), prefix) {
					if !yield(e, err) {
						return
					}
				}
				if err := ctx.Err(); err != nil {
					yield(backend.Entry{}, err)
				}
			}
		}
	}},
	{"the end of one caller's context ends another's call", "cut short", func(s *memory.Store, f *fork) {
		var under sync.Map // the contexts of the calls under way
		f.sets(func(w write) (uint64, error) {
			call := &w
			under.Store(call, w.ctx)
			defer under.Delete(call)
			time.Sleep(200 * time.Microsecond)
			var ended error
			under.Range(func(_, ctx any) bool {
				ended = ctx.(context.Context).Err()
				return ended == nil
			})
			if ended != nil {
				return 0, ended
			}
			return w.write()
		})
	}},
}
