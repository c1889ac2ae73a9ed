package natskv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// lookEvery is how often a watch asks the leader whether it has missed something. It should not have: the client makes a consumer anew
// that the server has lost. But a watch that stays silent for ever is the one thing that nobody would notice.
const lookEvery = 30 * time.Second

// Watch sends the state of key and its later states, as [backend.Watcher] says. The server pushes them to a consumer that belongs to the watch. When a server goes away the
// watch goes on at the next; it closes its channel when it cannot be sure that it has missed nothing.
func (s *Store) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if err := s.ready(ctx); err != nil {
		return nil, failed("watch", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return nil, failed("watch", key, err)
	}
	// First the subscription, then the state as the leader has it: the consumer may sit with a replica that lags.
	pushed, err := s.kv.Watch(ctx, escape(key))
	if err != nil {
		return nil, failed("watch", key, readFailed(err))
	}
	first, floor, err := s.stateAndFloor(ctx, escape(key))
	if err != nil {
		pushed.Stop()
		return nil, failed("watch", key, err)
	}
	w := &watcher{store: s, key: key, pushed: pushed, states: make(chan backend.Entry, 1), newest: floor}
	if first.live() {
		w.send(first.entry(key))
	} else {
		w.send(backend.Entry{Key: key})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		pushed.Stop()
		return nil, failed("watch", key, errClosed)
	}
	s.watchers.Go(func() { w.run(ctx) })
	return w.states, nil
}

// stateAndFloor reads the state of name, and the number up to which pushed states are no news.
func (s *Store) stateAndFloor(ctx context.Context, name string) (message, uint64, error) {
	m, err := s.last(ctx, name)
	if err != nil || m.sequence != 0 {
		return m, m.sequence, err
	}
	// Nothing is there, which has no number. So take that of the stream, before looking again: what came before it is older than what is seen now.
	info, err := s.stream.Info(ctx)
	if err != nil {
		return m, 0, readFailed(err)
	}
	m, err = s.last(ctx, name)
	return m, max(info.State.LastSeq, m.sequence), err
}

// watcher is one call of Watch. Its goroutine alone sends and closes.
type watcher struct {
	store  *Store
	key    string
	pushed jetstream.KeyWatcher
	states chan backend.Entry // of capacity 1, with the newest state that was not taken
	newest uint64             // what was sent stood at this number; older states are no news
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.states)
	defer w.pushed.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.store.closing:
			return
		case e, ok := <-w.pushed.Updates():
			if !ok {
				return
			}
			if e != nil && e.Revision() > w.newest { // nil ends the initial states
				w.take(e)
			}
		case <-look.C:
			if w.missedSomething(ctx) {
				return
			}
		}
	}
}

func (w *watcher) take(e jetstream.KeyValueEntry) {
	w.newest = e.Revision()
	if e.Operation() != jetstream.KeyValuePut {
		w.send(backend.Entry{Key: w.key})
		return
	}
	w.store.granted.add(e.Revision())
	w.send(message{sequence: e.Revision(), value: e.Value()}.entry(w.key))
}

// send replaces a state that was not taken.
func (w *watcher) send(e backend.Entry) {
	select {
	case <-w.states:
	default:
	}
	w.states <- e
}

// missedSomething reports whether the leader has a state that a working watch would long have been sent.
func (w *watcher) missedSomething(ctx context.Context) bool {
	before := w.newest
	m, err := w.store.last(ctx, escape(w.key))
	if err != nil || m.sequence <= before {
		return false // if the store is away, the next look will tell
	}
	late := time.NewTimer(time.Second)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case e, ok := <-w.pushed.Updates():
			if !ok {
				return true
			}
			if e != nil && e.Revision() > w.newest {
				w.take(e)
			}
			if w.newest >= m.sequence {
				return false
			}
		case <-late.C:
			return true
		}
	}
}
