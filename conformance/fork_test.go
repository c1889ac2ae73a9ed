package conformance_test

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// fork is the memory store with some methods replaced. Those that are nil are as they were.
type fork struct {
	*memory.Store
	get    func(ctx context.Context, key string) (backend.Entry, error)
	set    func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error)
	remove func(ctx context.Context, key string, expected uint64) error
	list   func(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error]
	watch  func(ctx context.Context, key string) (<-chan backend.Entry, error)
	close  func() error

	watchPrefix func(ctx context.Context, prefix string) (<-chan backend.Entry, error)

	append  func(ctx context.Context, entries []backend.JournalEntry) error
	stream  func(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error)
	newest  func(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error)
	streams func(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error)

	second func() backend.Backend // another handle; nil: the fork itself
	reopen func() backend.Backend // the store after a crash; nil: the fork itself

	numbers *renumbering // of a fork that gives revisions of its own
}

func (f *fork) Get(ctx context.Context, key string) (backend.Entry, error) {
	if f.get != nil {
		return f.get(ctx, key)
	}
	return f.Store.Get(ctx, key)
}

func (f *fork) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if f.set != nil {
		return f.set(ctx, key, expected, value, keep)
	}
	return f.Store.CompareAndSet(ctx, key, expected, value, keep)
}

func (f *fork) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	if f.remove != nil {
		return f.remove(ctx, key, expected)
	}
	return f.Store.CompareAndDelete(ctx, key, expected)
}

func (f *fork) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	if f.list != nil {
		return f.list(ctx, prefix)
	}
	return f.Store.List(ctx, prefix)
}

func (f *fork) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if f.watch != nil {
		return f.watch(ctx, key)
	}
	return f.Store.Watch(ctx, key)
}

func (f *fork) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	if f.watchPrefix != nil {
		return f.watchPrefix(ctx, prefix)
	}
	return f.Store.WatchPrefix(ctx, prefix)
}

func (f *fork) Append(ctx context.Context, entries []backend.JournalEntry) error {
	if f.append != nil {
		return f.append(ctx, entries)
	}
	return f.Store.Append(ctx, entries)
}

func (f *fork) ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	if f.stream != nil {
		return f.stream(ctx, stream, after, limit)
	}
	return f.Store.ReadStream(ctx, stream, after, limit)
}

func (f *fork) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	if f.newest != nil {
		return f.newest(ctx, prefix, before, limit)
	}
	return f.Store.ReadNewest(ctx, prefix, before, limit)
}

func (f *fork) Streams(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
	if f.streams != nil {
		return f.streams(ctx, prefix, offset, limit)
	}
	return f.Store.Streams(ctx, prefix, offset, limit)
}

func (f *fork) Close() error {
	if f.close != nil {
		return f.close()
	}
	return f.Store.Close()
}

// write is one call of CompareAndSet.
type write struct {
	s        *memory.Store
	ctx      context.Context
	key      string
	expected uint64
	value    []byte
	keep     time.Duration
}

// now is the revision of the key, 0 if it is absent.
func (w write) now() uint64 { return current(w.s, w.key) }

// write does what is asked.
func (w write) write() (uint64, error) {
	return w.s.CompareAndSet(w.ctx, w.key, w.expected, w.value, w.keep)
}

// sets has f answer CompareAndSet.
func (f *fork) sets(set func(w write) (uint64, error)) {
	f.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
		return set(write{f.Store, ctx, key, expected, value, keep})
	}
}

// newFork returns a sound store, for f to break.
func newFork(f func(s *memory.Store, f *fork)) *fork {
	b := &fork{Store: memory.New()}
	f(b.Store, b)
	return b
}

func secondOf(_ *testing.T, first backend.Backend) backend.Backend {
	if f := first.(*fork); f.second != nil {
		return f.second()
	}
	return first
}

func reopened(_ *testing.T, crashed backend.Backend) backend.Backend {
	if f := crashed.(*fork); f.reopen != nil {
		return f.reopen()
	}
	return crashed
}

// current is the revision of key, 0 if it is absent.
func current(s *memory.Store, key string) uint64 {
	e, _ := s.Get(context.Background(), key)
	return e.Revision
}

var bg = context.Background()
