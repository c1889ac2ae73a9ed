package natskv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// A watch subscribes again whenever the connection was lost and is back, since the server may have
// lost the consumer. The client library notices that too, but only by missing heartbeats for ten
// seconds and more. A watch also reads the key now and then. It should not have missed anything,
// but nobody would notice a watch that stays silent for ever.
const (
	lookEvery  = 30 * time.Second
	retryEvery = time.Second // after a subscription that failed
)

// Watch sends the state of key and its later states, as [backend.Watcher] says. The server pushes
// them to a consumer that belongs to the watch. If a server goes away, the watch goes on at the
// next: at once if the client was connected to it, within half a minute if not. States in between
// may be skipped.
func (s *Store) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if err := s.ready(ctx); err != nil {
		return nil, s.failed("watch", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return nil, s.failed("watch", key, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.life, cancel)
	w := &watcher{store: s, key: key, name: escape(key), states: make(chan backend.Entry, 1)}
	w.connection = s.nc.StatusChanged(nats.CONNECTED, nats.CLOSED) // before the first subscription
	w.release = func() {
		s.nc.RemoveStatusListener(w.connection)
		if w.pushed != nil {
			w.pushed.stop()
		}
		unlink()
		cancel()
	}
	if err := w.subscribe(ctx); err != nil {
		w.release()
		return nil, s.failed("watch", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		w.release()
		return nil, s.failed("watch", key, backend.ErrClosed)
	}
	s.tasks.Go(func() { w.run(ctx) })
	return w.states, nil
}

// watcher is one call of Watch. After the first subscription its goroutine alone uses it.
type watcher struct {
	store      *Store
	key, name  string
	connection chan nats.Status
	pushed     *subscription // nil before the first
	updates    <-chan jetstream.KeyValueEntry
	states     chan backend.Entry // of capacity 1, with the newest state that was not taken
	sent       uint64             // the revision of the last state sent, 0 for absence
	newest     uint64             // what was sent stood at this number; older states are no news
	release    func()
}

func (w *watcher) run(ctx context.Context) {
	defer w.release()
	defer close(w.states) // first, since the release may wait for a server that is away
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	lost := false // what the server pushes may not be all
	for {
		select {
		case <-ctx.Done():
			return
		case e, ok := <-w.updates:
			if !ok {
				w.updates, lost = nil, true
				break
			}
			if e != nil && e.Revision() > w.newest { // nil ends the initial states
				w.take(e)
			}
			continue
		case <-w.connection:
			lost = true
		case <-look.C:
			lost = lost || w.behind(ctx)
		}
		if lost && w.store.nc.IsClosed() {
			return
		}
		if lost = lost && w.subscribe(ctx) != nil; lost {
			look.Reset(retryEvery)
		} else {
			look.Reset(lookEvery)
		}
	}
}

// behind reports whether the bucket has, or may have, a state that was not sent.
func (w *watcher) behind(ctx context.Context) bool {
	found, err := w.store.read(ctx, w.name)
	return err != nil || found.sequence > w.newest
}

// subscribe has the server push what comes from now on, in place of what it pushed before. It
// sends the state as it is, if that is news.
func (w *watcher) subscribe(ctx context.Context) error {
	// First the subscription, then the state: the consumer may sit with a replica that lags.
	pushed, err := w.store.push(ctx, []string{w.name})
	if err != nil {
		return w.store.hinted(readFailed(err))
	}
	state, err := w.store.readAsOf(ctx, w.name)
	if err != nil {
		pushed.stop()
		return err
	}
	first := w.pushed == nil
	if old := w.pushed; !first {
		w.store.tasks.Go(old.stop)
	}
	w.pushed, w.updates = pushed, pushed.Updates()
	if state.asOf < w.newest && !first {
		return nil
	}
	w.newest = state.asOf
	switch {
	case state.live() && (first || state.sequence != w.sent):
		w.send(state.entry(w.key))
	case !state.live() && (first || w.sent != 0):
		w.send(backend.Entry{Key: w.key})
	}
	return nil
}

// readAsOf reads the state of name, with the number as of which it is.
func (s *Store) readAsOf(ctx context.Context, name string) (state, error) {
	found, err := s.read(ctx, name)
	if err != nil || found.asOf != 0 {
		return found, err
	}
	// Nothing is there, which has no number. So take the stream's last one before looking again:
	// what came before it is older than what is seen now.
	info, err := s.stream.Info(ctx)
	if err != nil {
		return found, readFailed(err)
	}
	found, err = s.read(ctx, name)
	found.asOf = max(info.State.LastSeq, found.sequence)
	return found, err
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
	w.sent = e.Revision
	select {
	case <-w.states:
	default:
	}
	w.states <- e
}
