package leasetest

import (
	"cmp"
	"context"
	"iter"

	"github.com/ailease/lease/backend"
)

// Unwrap returns what [backend.As] is to look at behind this Store: a [backend.Lister], a
// [backend.Watcher], a [backend.PrefixWatcher] and a [backend.Journal], as far as the backend that
// it wraps is one. Cuts and delays hold for them too. The wrapped backend itself, which no cut
// would reach, is not found.
func (s *Store) Unwrap() backend.Backend {
	var under backend.Backend = struct{ backend.Backend }{s} // which unwraps no further
	if j, ok := backend.As[backend.Journal](s.wrapped); ok {
		under = struct {
			layer
			journal
		}{layer{s, under}, journal{s, j}}
	}
	if w, ok := backend.As[backend.PrefixWatcher](s.wrapped); ok {
		under = struct {
			layer
			prefixWatcher
		}{layer{s, under}, prefixWatcher{s, w}}
	}
	if w, ok := backend.As[backend.Watcher](s.wrapped); ok {
		under = struct {
			layer
			watcher
		}{layer{s, under}, watcher{s, w}}
	}
	if l, ok := backend.As[backend.Lister](s.wrapped); ok {
		under = struct {
			layer
			lister
		}{layer{s, under}, lister{s, l}}
	}
	return under
}

// layer is behind a Store, and adds one capability.
type layer struct {
	backend.Backend // the Store
	under           backend.Backend
}

func (l layer) Unwrap() backend.Backend { return l.under }

// lister is a Store's [backend.Lister].
type lister struct {
	s       *Store
	wrapped backend.Lister
}

func (l lister) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		conn, err := l.s.send(ctx)
		if err != nil {
			yield(backend.Entry{}, err)
			return
		}
		for e, err := range l.wrapped.List(ctx, prefix) {
			if conn.isCut() {
				break
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := conn.hang(ctx); err != nil { // in place of an entry, or of the end
			yield(backend.Entry{}, err)
		}
	}
}

// watcher is a Store's [backend.Watcher].
type watcher struct {
	s       *Store
	wrapped backend.Watcher
}

func (w watcher) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	return w.s.watch(ctx, func(ctx context.Context) (<-chan backend.Entry, error) { return w.wrapped.Watch(ctx, key) })
}

// prefixWatcher is a Store's [backend.PrefixWatcher].
type prefixWatcher struct {
	s       *Store
	wrapped backend.PrefixWatcher
}

func (w prefixWatcher) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	return w.s.watch(ctx, func(ctx context.Context) (<-chan backend.Entry, error) { return w.wrapped.WatchPrefix(ctx, prefix) })
}

// watch relays what begin begins.
func (s *Store) watch(ctx context.Context, begin func(ctx context.Context) (<-chan backend.Entry, error)) (<-chan backend.Entry, error) {
	conn, err := s.send(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	states, err := begin(ctx)
	if lost := conn.hang(ctx); lost != nil || err != nil {
		cancel()
		drain(states)
		return nil, cmp.Or(lost, err)
	}
	out := make(chan backend.Entry)
	go func() {
		defer close(out)
		conn.relay(ctx, states, out)
		cancel()
		drain(states)
	}()
	return out, nil
}

// relay passes states on to out until ctx ends, the wrapped watch ends, or the connection is gone.
func (c *connection) relay(ctx context.Context, states <-chan backend.Entry, out chan<- backend.Entry) {
	for c.hang(ctx) == nil {
		var e backend.Entry
		var ok bool
		select {
		case e, ok = <-states:
		case <-c.cut:
			continue
		}
		if c.isCut() {
			continue
		}
		if !ok {
			return
		}
		select {
		case out <- e:
		case <-c.cut:
		case <-ctx.Done():
			return
		}
	}
}

// drain waits for the end of a watch whose context has ended. states is nil if there is no watch.
func drain(states <-chan backend.Entry) {
	for states != nil {
		if _, ok := <-states; !ok {
			return
		}
	}
}
