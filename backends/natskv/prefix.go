package natskv

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/prefixwatch"
)

// WatchPrefix sends the later states of the keys that begin with prefix, as
// [backend.PrefixWatcher] says. The server pushes them to one consumer, which belongs to the watch.
// A prefix that contains a slash after its first byte names a namespace: then the server pushes
// what is written in that namespace alone. With any other it pushes all that is written in the
// bucket.
//
// The watch ends when the connection to a server is lost, also if the next is there at once. It
// ends, too, when the newest states of more than 1,024 keys wait, or 16 MiB of values.
func (s *Store) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	if err := s.ready(ctx); err != nil {
		return nil, s.failed("watch prefix", prefix, err)
	}
	if err := backend.CheckPrefix(prefix); err != nil {
		return nil, s.failed("watch prefix", prefix, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.life, cancel)
	w := &prefixWatcher{store: s, Feed: prefixwatch.New(prefix), selectors: selectors(prefix)}
	w.connection = s.nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED, nats.CLOSED)
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
		return nil, s.failed("watch prefix", prefix, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		w.release()
		return nil, s.failed("watch prefix", prefix, backend.ErrClosed)
	}
	s.tasks.Go(func() { w.run(ctx) })
	return w.States(), nil
}

// prefixWatcher is one call of WatchPrefix. Once it has subscribed its goroutine alone uses it.
type prefixWatcher struct {
	store *Store
	*prefixwatch.Feed
	selectors  []string
	connection chan nats.Status
	pushed     *subscription // nil before subscribe
	newest     uint64        // the number up to which all has been pushed, or stood before
	due        uint64        // a number that had been written when it was looked for
	release    func()
}

// subscribe has the server push all that is written from now on.
func (w *prefixWatcher) subscribe(ctx context.Context) (err error) {
	if w.newest, err = w.store.lastNumber(ctx); err != nil {
		return err
	}
	w.pushed, err = w.store.push(ctx, w.selectors, jetstream.ResumeFromRevision(w.newest+1))
	if err != nil {
		return w.store.hinted(readFailed(err))
	}
	return nil
}

// lastNumber returns a number of the stream that is not below that of any write that was
// acknowledged before, and not above that of any write that comes after lastNumber has returned.
func (s *Store) lastNumber(ctx context.Context) (uint64, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	l, err := s.layouts.get(ctx, s.background)
	if err != nil {
		return 0, err
	}
	if l.replicated {
		if number, err := s.fence(ctx); !full(err) {
			return number, err
		}
	}
	info, err := s.stream.Info(ctx) // by the only server that can answer, or in a bucket that takes no writes
	if err != nil {
		return 0, s.hinted(readFailed(err))
	}
	return info.State.LastSeq, nil
}

func (w *prefixWatcher) run(ctx context.Context) {
	defer w.release()
	defer w.Close() // first, since the release may wait for a server that is away
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.connection:
			return
		case e, ok := <-w.pushed.Updates():
			if !ok || !w.take(e) {
				return
			}
		case <-look.C:
			if w.behind(ctx) {
				return
			}
		}
	}
}

// take sends a message on. A nil one ends those that were there at first.
func (w *prefixWatcher) take(e jetstream.KeyValueEntry) (open bool) {
	if e == nil || e.Revision() <= w.newest {
		return true
	}
	w.newest = e.Revision()
	key, ok := unescape(e.Key())
	switch {
	case !ok || !w.Concerns(key):
		return true
	case e.Operation() != jetstream.KeyValuePut:
		return w.Send(backend.Entry{Key: key})
	}
	w.store.granted.add(e.Revision())
	return w.Send(backend.Entry{Key: key, Value: e.Value(), Revision: e.Revision()})
}

// behind reports whether what had been written by the last time that it was called has not been
// pushed since. It should have been, but nobody would notice a watch that stays silent for ever.
func (w *prefixWatcher) behind(ctx context.Context) bool {
	if w.newest < w.due {
		return true
	}
	for _, selector := range w.selectors {
		last, err := w.store.lastOfLeader(ctx, selector)
		if err == nil {
			w.due = max(w.due, last.sequence)
		}
	}
	return false
}
