package proof

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ailease/lease/backend"
)

// patient asks a store again that refuses: on a busy machine the servers of a cluster elect now and then, and have nothing to say meanwhile. What was refused was
// not written.
type patient struct{ whole }

func again[T any](ctx context.Context, call func() (T, error)) (T, error) {
	for end := time.Now().Add(answersWithin); ; {
		v, err := call()
		if !errors.Is(err, backend.ErrUnavailable) || ctx.Err() != nil || time.Now().After(end) {
			return v, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p patient) Get(ctx context.Context, key string) (backend.Entry, error) {
	return again(ctx, func() (backend.Entry, error) { return p.whole.Get(ctx, key) })
}

func (p patient) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	return again(ctx, func() (uint64, error) { return p.whole.CompareAndSet(ctx, key, expected, value, keep) })
}

func (p patient) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	_, err := again(ctx, func() (struct{}, error) { return struct{}{}, p.whole.CompareAndDelete(ctx, key, expected) })
	return err
}

func (p patient) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	return again(ctx, func() (<-chan backend.Entry, error) { return p.whole.Watch(ctx, key) })
}

func (p patient) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		all, err := again(ctx, func() (all []backend.Entry, err error) {
			for e, err := range p.whole.List(ctx, prefix) {
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
