package sqlite

import (
	"context"
	"database/sql"
	"math"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/prefixwatch"
)

// WatchPrefix sends the later states of the keys that begin with prefix, as
// [backend.PrefixWatcher] says. Changes made through this Store arrive as they are committed. The
// dropping of an entry whose keep has ended may go unreported.
//
// Changes of other processes are found by reading all keys with the prefix: once at the beginning,
// and then whenever others have written. The watch remembers all these keys. To read ten thousand
// takes some 15 milliseconds, and others' changes arrive within 200. Reading takes a fifth of the
// time at most. So with a hundred thousand keys they may take a second.
//
// The watch ends when the newest states of more than 1,024 keys wait, or 16 MiB of values.
func (s *Store) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("watch prefix", prefix, err)
	}
	if err := backend.CheckPrefix(prefix); err != nil {
		return nil, failed("watch prefix", prefix, err)
	}
	w := &prefixWatcher{Feed: prefixwatch.New(prefix), prefix: prefix, stands: make(map[string]uint64)}
	// First the subscription, then what stands: a change between the two is sent.
	if err := s.hub.addPrefix(w); err != nil {
		return nil, failed("watch prefix", prefix, err)
	}
	if err := s.hub.look(ctx, w); err != nil {
		s.hub.removePrefix(w)
		return nil, failed("watch prefix", prefix, err)
	}
	s.hub.startPrefix(ctx, w)
	return w.States(), nil
}

// prefixWatcher is one call of WatchPrefix. All fields but the first two are guarded by hub.mu.
//
// A look reads all keys with the prefix in one snapshot, and so with the counter of that moment.
// The snapshot has every change up to that counter. The Store's own changes are taken as they are
// committed, during a look too. So of a key that has changed since the snapshot the snapshot is not
// believed.
type prefixWatcher struct {
	*prefixwatch.Feed
	prefix string

	stands  map[string]uint64 // the revisions of what is there, as far as is known
	asOf    uint64            // the counter of the last look
	removed map[string]uint64 // what our own deletions during a look were counted as; nil between looks
	looked  bool              // the first look has ended
	behind  bool              // others may have written since the last look began
	rest    time.Time         // no look begins before
	closed  bool
	stop    func() bool // forgets the context
}

// lookRest is how many times as long as a look took no other begins.
const lookRest = 4

// own takes a change of the Store's own.
func (w *prefixWatcher) own(e backend.Entry, counter uint64) (open bool) {
	if counter <= w.asOf {
		return true // a look has seen it
	}
	if e.Revision != 0 {
		w.stands[e.Key] = e.Revision
	} else {
		delete(w.stands, e.Key)
		if w.removed != nil {
			w.removed[e.Key] = counter
		}
	}
	return w.Send(e)
}

// found takes what a look has seen: of each key the revision, and the value if that is above asOf.
func (w *prefixWatcher) found(snapshot []backend.Entry, counter uint64) (open bool) {
	open = true
	send := func(e backend.Entry) {
		if w.looked { // what stands when the watch begins is no news
			open = w.Send(e) && open
		}
	}
	seen := make(map[string]struct{}, len(snapshot))
	for _, e := range snapshot {
		seen[e.Key] = struct{}{}
		if e.Revision > w.stands[e.Key] && w.removed[e.Key] <= counter {
			w.stands[e.Key] = e.Revision
			send(e)
		}
	}
	for key, revision := range w.stands {
		if _, ok := seen[key]; !ok && revision <= counter {
			delete(w.stands, key)
			send(backend.Entry{Key: key})
		}
	}
	w.asOf, w.looked, w.removed = counter, true, nil
	return open
}

func (h *hub) addPrefix(w *prefixWatcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return backend.ErrClosed
	}
	h.begin()
	h.prefixes[w] = struct{}{}
	return nil
}

func (h *hub) startPrefix(ctx context.Context, w *prefixWatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !w.closed { // by close, just now
		w.stop = context.AfterFunc(ctx, func() { h.removePrefix(w) })
	}
}

func (h *hub) removePrefix(w *prefixWatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endPrefix(w)
}

// endPrefix is removePrefix with mu held.
func (h *hub) endPrefix(w *prefixWatcher) {
	if w.closed {
		return
	}
	w.closed = true
	w.Close()
	if w.stop != nil {
		w.stop()
	}
	delete(h.prefixes, w)
	h.rest()
}

// look reads what w watches. Looks of one watch come one after the other.
func (h *hub) look(ctx context.Context, w *prefixWatcher) error {
	h.mu.Lock()
	w.behind, w.removed = false, make(map[string]uint64)
	known := w.asOf
	if !w.looked {
		known = math.MaxUint64 // what stands is not sent
	}
	h.mu.Unlock()
	begun := time.Now()
	snapshot, counter, err := h.pool.under(ctx, w.prefix, known)
	ended := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	w.rest = ended.Add(lookRest * ended.Sub(begun))
	switch {
	case err != nil:
		w.behind, w.removed = true, nil
		return err
	case w.closed:
	case !w.found(snapshot, counter):
		h.endPrefix(w)
	}
	return nil
}

// lookAgain has the watches of prefixes look that may have missed others' changes. They do so in a
// goroutine of their own, since a look may take long. Trouble is left to the next time.
func (h *hub) lookAgain(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looking {
		return
	}
	var due []*prefixWatcher
	now := time.Now()
	for w := range h.prefixes {
		if w.looked && w.behind && !now.Before(w.rest) {
			due = append(due, w)
		}
	}
	if len(due) == 0 {
		return
	}
	h.looking = true
	h.pollers.Go(func() {
		for _, w := range due {
			h.look(ctx, w)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.looking = false
	})
}

// ownChange offers a change of the Store's own to the watches of prefixes. mu is held.
func (h *hub) ownChange(e backend.Entry, counter uint64) {
	for w := range h.prefixes {
		if w.Concerns(e.Key) && !w.own(e, counter) {
			h.endPrefix(w)
		}
	}
}

// under reads the entries whose key begins with prefix, in one snapshot, and the counter of that
// moment. Values come only with revisions above known.
func (p *pool) under(ctx context.Context, prefix string, known uint64) (all []backend.Entry, counter uint64, err error) {
	r, err := p.take(ctx)
	if err != nil {
		return nil, 0, err
	}
	var rows *sql.Rows
	var trouble error // of the reader
	defer func() { p.give(r, trouble) }()
	var end any = []byte{0} // every text is below every blob
	if e := prefixEnd(prefix); e != nil {
		end = string(e)
	}
	rows, trouble = r.underStmt.QueryContext(context.WithoutCancel(ctx), toColumn(known), prefix, end)
	if trouble != nil {
		return nil, 0, readFailed(trouble)
	}
	defer rows.Close()
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		var key *string
		var e backend.Entry
		if trouble = rows.Scan(&counter, &key, &e.Revision, &e.Value); trouble != nil {
			return nil, 0, readFailed(trouble)
		}
		if key != nil {
			e.Key = *key
			all = append(all, e)
		}
	}
	if trouble = rows.Err(); trouble != nil {
		return nil, 0, readFailed(trouble)
	}
	return all, counter, nil
}
