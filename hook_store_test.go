package lease_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// hook is a store in memory that counts what it is asked, and of which a test may replace a call,
// or the whole store by a bad day. The functions are set before the store is used.
type hook struct {
	*memory.Store
	before func(ctx context.Context) error // called first by a write, which fails with its error
	set    func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error)
	get    func(ctx context.Context, key string) (backend.Entry, error)
	watch  func(ctx context.Context, key string) (<-chan backend.Entry, error)

	away  atomic.Bool // reads and writes fail at once, and nothing is written
	hangs atomic.Bool // reads and writes do nothing, and return when their contexts end
	lost  atomic.Bool // writes are applied; no read and no write gets an answer

	reads, writes, watches, watching atomic.Int64
}

// errNoAnswer says nothing of what became of a write.
var errNoAnswer = errors.New("connection reset")

// newHook returns a store to set functions in.
func newHook() *hook { return &hook{Store: memory.New()} }

// meets is what a call meets on a bad day.
func (h *hook) meets(ctx context.Context) error {
	switch {
	case h.away.Load():
		return backend.ErrUnavailable
	case h.lost.Load():
		return errNoAnswer
	case h.hangs.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (h *hook) Get(ctx context.Context, key string) (backend.Entry, error) {
	h.reads.Add(1)
	if err := h.meets(ctx); err != nil {
		return backend.Entry{}, err
	}
	if h.get != nil {
		return h.get(ctx, key)
	}
	return h.Store.Get(ctx, key)
}

func (h *hook) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	h.writes.Add(1)
	if h.before != nil {
		if err := h.before(ctx); err != nil {
			return 0, err
		}
	}
	if err := h.meets(ctx); err != nil {
		if h.lost.Load() {
			_, _ = h.Store.CompareAndSet(ctx, key, expected, value, keep)
		}
		return 0, err
	}
	if h.set != nil {
		return h.set(ctx, key, expected, value, keep)
	}
	return h.Store.CompareAndSet(ctx, key, expected, value, keep)
}

func (h *hook) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	h.watches.Add(1)
	h.watching.Add(1)
	context.AfterFunc(ctx, func() { h.watching.Add(-1) })
	if h.watch != nil {
		return h.watch(ctx, key)
	}
	return h.Store.Watch(ctx, key)
}

// entry is what the store holds under "k".
func entry(t testing.TB, b *hook) backend.Entry {
	t.Helper()
	e, err := b.Store.Get(context.Background(), "default/k")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// asked is a store that does not push what changes.
type asked struct{ backend.Backend }

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

// writesAt has b note when it is written, and returns the list.
func writesAt(b *hook) *[]time.Duration {
	at, begun := new([]time.Duration), time.Now()
	b.before = func(context.Context) error {
		*at = append(*at, time.Since(begun))
		return nil
	}
	return at
}

func dayAway(b *hook) *atomic.Bool  { return &b.away }
func dayHangs(b *hook) *atomic.Bool { return &b.hangs }
func dayLost(b *hook) *atomic.Bool  { return &b.lost }
