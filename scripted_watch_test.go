package lease_test

import (
	"context"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// neverPushes is a store that fails to watch.
type neverPushes struct{ backend.Backend }

func (neverPushes) Watch(context.Context, string) (<-chan backend.Entry, error) {
	return nil, backend.ErrUnavailable
}

// tells is a watch that tells what is sent to states.
func tells(states <-chan backend.Entry) func(context.Context, string) (<-chan backend.Entry, error) {
	return func(ctx context.Context, _ string) (<-chan backend.Entry, error) {
		out := make(chan backend.Entry)
		go func() {
			defer close(out)
			for {
				select {
				case <-ctx.Done():
					return
				case e := <-states:
					select {
					case out <- e:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
		return out, nil
	}
}

// absent is a watch that tells of an absence, and of nothing else. It ends at once if ends.
func absent(ends bool) func(context.Context, string) (<-chan backend.Entry, error) {
	return func(ctx context.Context, key string) (<-chan backend.Entry, error) {
		states := make(chan backend.Entry, 1)
		states <- backend.Entry{Key: key}
		if ends {
			close(states)
		} else {
			context.AfterFunc(ctx, func() { close(states) })
		}
		return states, nil
	}
}

// lagging is a store that tells each change so much later.
type lagging struct {
	*memory.Store
	lag time.Duration
}

func (l lagging) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	from, err := l.Store.Watch(ctx, key)
	if err != nil {
		return nil, err
	}
	to := make(chan backend.Entry)
	go func() {
		defer close(to)
		for e := range from {
			if stay(ctx, l.lag) != nil {
				return
			}
			select {
			case to <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to, nil
}
