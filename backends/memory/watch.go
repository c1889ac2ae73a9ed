package memory

import (
	"context"
	"slices"

	"github.com/ailease/lease/backend"
)

// watcher is one call of Watch. Its channel holds at most the newest state not yet taken. The
// shard's lock is held by whoever sends, replaces or closes.
type watcher struct {
	states chan backend.Entry
	forget func() bool // forgets the context
	ended  bool        // states is closed
}

// Watch implements [backend.Watcher].
func (s *Store) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := backend.CheckKey(key); err != nil {
		return nil, err
	}
	w := &watcher{states: make(chan backend.Entry, 1)}
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return nil, backend.ErrClosed
	}
	if sh.watchers == nil {
		sh.watchers = make(map[string][]*watcher)
	}
	sh.watchers[key] = append(sh.watchers[key], w)
	w.send(key, sh.entries[key])
	w.forget = context.AfterFunc(ctx, func() { sh.unwatch(key, w) })
	return w.states, nil
}

func (sh *shard) unwatch(key string, w *watcher) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w.ended { // the store was closed
		return
	}
	rest := slices.DeleteFunc(sh.watchers[key], func(other *watcher) bool { return other == w })
	if len(rest) == 0 {
		delete(sh.watchers, key)
	} else {
		sh.watchers[key] = rest
	}
	w.end()
}

func (w *watcher) end() {
	w.ended = true
	w.forget()
	close(w.states)
}

// notify tells those who watch key, alone or by a prefix, that it is now e, absent if that is zero.
func (sh *shard) notify(key string, e entry) {
	for _, w := range sh.watchers[key] {
		w.send(key, e)
	}
	sh.prefixes.notify(key, e)
}

func (w *watcher) send(key string, e entry) {
	select {
	case <-w.states: // nobody took it, and nobody needs to any more
	default:
	}
	w.states <- e.public(key)
}
