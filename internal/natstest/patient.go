package natstest

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ailease/lease/backend"
)

// Store can do all that a store may.
type Store interface {
	backend.Backend
	backend.Lister
	backend.Watcher
	backend.PrefixWatcher
	backend.Journal
}

// Patient asks a store again that refuses: on a busy machine the servers of a cluster elect now and
// then, and have nothing to say meanwhile. What was refused was not written.
type Patient struct{ Store }

// Unwrap keeps what the store can do besides, such as to be closed.
func (p Patient) Unwrap() backend.Backend { return p.Store }

const patience = 30 * time.Second

func again[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for end := time.Now().Add(patience); ; {
		v, err := call()
		if !errors.Is(err, backend.ErrUnavailable) || ctx.Err() != nil || time.Now().After(end) {
			return v, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p Patient) Get(ctx context.Context, key string) (backend.Entry, error) {
	return again(ctx, func() (backend.Entry, error) { return p.Store.Get(ctx, key) })
}

func (p Patient) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	return again(ctx, func() (uint64, error) { return p.Store.CompareAndSet(ctx, key, expected, value, keep) })
}

func (p Patient) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	_, err := again(ctx, func() (struct{}, error) { return struct{}{}, p.Store.CompareAndDelete(ctx, key, expected) })
	return err
}

func (p Patient) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	return again(ctx, func() (<-chan backend.Entry, error) { return p.Store.Watch(ctx, key) })
}

func (p Patient) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	return again(ctx, func() (<-chan backend.Entry, error) { return p.Store.WatchPrefix(ctx, prefix) })
}

func (p Patient) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		all, err := again(ctx, func() (all []backend.Entry, err error) {
			for e, err := range p.Store.List(ctx, prefix) {
				if err != nil {
					return nil, err
				}
				all = append(all, e)
			}
			return all, nil
		})
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(backend.Entry{}, err)
		}
	}
}

func (p Patient) Append(ctx context.Context, entries []backend.JournalEntry) error {
	_, err := again(ctx, func() (struct{}, error) { return struct{}{}, p.Store.Append(ctx, entries) })
	return err
}

func (p Patient) ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	return again(ctx, func() ([]backend.JournalEntry, error) { return p.Store.ReadStream(ctx, stream, after, limit) })
}

func (p Patient) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	return again(ctx, func() ([]backend.JournalEntry, error) { return p.Store.ReadNewest(ctx, prefix, before, limit) })
}

func (p Patient) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	page, err = again(ctx, func() (page []backend.StreamInfo, err error) {
		page, total, err = p.Store.Streams(ctx, prefix, offset, limit)
		return page, err
	})
	return page, total, err
}
