package leasetest

import (
	"cmp"
	"context"
	"iter"

	"github.com/ailease/lease/backend"
)

// Unwrap returns this Store with the capabilities of the backend that it wraps: a [backend.Lister],
// a [backend.Watcher], both or neither. Cuts and delays hold for them too. It does not return the
// wrapped backend itself, which no cut would reach.
func (s *Store) Unwrap() backend.Backend {
	l, lists := backend.As[backend.Lister](s.wrapped)
	w, watches := backend.As[backend.Watcher](s.wrapped)
	// Each struct has the methods of its fields, and only those: no Unwrap, above all.
	switch {
	case lists && watches:
		return struct {
			backend.Backend
			lister
			watcher
		}{s, lister{s, l}, watcher{s, w}}
	case lists:
		return struct {
			backend.Backend
			lister
		}{s, lister{s, l}}
	case watches:
		return struct {
			backend.Backend
			watcher
		}{s, watcher{s, w}}
	default:
		return struct{ backend.Backend }{s}
	}
}

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
	conn, err := w.s.send(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	states, err := w.wrapped.Watch(ctx, key)
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
