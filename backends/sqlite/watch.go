package sqlite

import (
	"bytes"
	"context"

	"github.com/ailease/lease/backend"
)

// Watch sends the state of key and its later states, as [backend.Watcher] says. Changes made
// through this Store arrive as they are committed, those of other processes within 100
// milliseconds. The dropping of an entry whose keep has ended may go unreported.
//
// No goroutine belongs to a watch. One for the whole Store looks for changes of other processes,
// and only while anything is watched.
func (s *Store) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("watch", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return nil, failed("watch", key, err)
	}
	w := &watcher{key: key, ch: make(chan backend.Entry, 1)}
	// First the subscription, then the state: a change between the two is offered, and the older of
	// the two states is ignored.
	if err := s.hub.add(w); err != nil {
		return nil, failed("watch", key, err)
	}
	e, counter, err := s.pool.look(ctx, key)
	if err != nil {
		s.hub.remove(w)
		return nil, failed("watch", key, err)
	}
	s.hub.start(ctx, w, e, counter)
	return w.ch, nil
}

// watcher is one call of Watch. All fields but the first two are guarded by hub.mu.
//
// Order. The counter numbers the states of the whole file: every write, deletion and sweep moves
// it, in the transaction that makes the change. A state of a key is stamped with the counter of a
// moment at which it held:
//
//   - with its own revision, if it comes from the transaction that made it;
//   - with the counter in the same snapshot, if it was read.
//
// Of two states the one with the greater stamp is the later, absent or not. A state whose stamp is
// not greater than the last one's is old.
type watcher struct {
	key string
	ch  chan backend.Entry // of capacity 1, always with the newest state

	seen     bool   // a state was offered
	stamp    uint64 // of the newest state
	revision uint64 // of the newest state
	closed   bool
	stop     func() bool // forgets the context
}

// offer sends a state, in place of one that was not received yet. Only one offer runs at a time, so
// there is room for it.
func (w *watcher) offer(e backend.Entry, stamp uint64) {
	if w.closed || w.seen && stamp <= w.stamp {
		return
	}
	same := w.seen && e.Revision == w.revision
	w.seen, w.stamp, w.revision = true, stamp, e.Revision
	if same {
		return
	}
	select {
	case <-w.ch:
	default:
	}
	w.ch <- backend.Entry{Key: e.Key, Value: bytes.Clone(e.Value), Revision: e.Revision}
}
