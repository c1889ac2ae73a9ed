package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// pollEvery is how often the hub asks whether another process has written, while anything is
// watched. Asking takes some ten microseconds.
const pollEvery = 50 * time.Millisecond

// hub knows who watches what.
//
// The Store's own changes are offered as they are committed. Changes of other processes are found
// with the counter. Every change moves it: if it stands beyond our last change, or had moved
// between two of ours, somebody else has written. Only then is read what is watched. PRAGMA
// data_version would not do: it counts our own commits too, and everything would be read every
// time.
type hub struct {
	pool *pool

	mu       sync.Mutex
	watchers map[string]map[*watcher]struct{}
	prefixes map[*prefixWatcher]struct{}
	looking  bool   // a goroutine looks for the watches of prefixes
	known    uint64 // up to here, changes were offered or are being read...
	missed   bool   // ...except that some between were not
	cancel   context.CancelFunc
	pollers  sync.WaitGroup
	closed   bool
}

func newHub(p *pool) *hub {
	return &hub{pool: p, watchers: make(map[string]map[*watcher]struct{}), prefixes: make(map[*prefixWatcher]struct{})}
}

// begin is called before a watch is added.
func (h *hub) begin() {
	if len(h.watchers)+len(h.prefixes) == 0 {
		h.missed = true // nobody has kept count
		ctx, cancel := context.WithCancel(context.Background())
		h.cancel = cancel
		h.pollers.Go(func() { h.poll(ctx) })
	}
}

// rest is called after a watch was removed.
func (h *hub) rest() {
	if len(h.watchers)+len(h.prefixes) == 0 {
		h.cancel()
	}
}

func (h *hub) add(w *watcher) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return backend.ErrClosed
	}
	h.begin()
	if h.watchers[w.key] == nil {
		h.watchers[w.key] = make(map[*watcher]struct{})
	}
	h.watchers[w.key][w] = struct{}{}
	return nil
}

// start offers the first state, and sees to it that the watch ends with ctx.
func (h *hub) start(ctx context.Context, w *watcher, e backend.Entry, stamp uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.closed { // by close, just now
		return
	}
	w.offer(e, stamp)
	w.stop = context.AfterFunc(ctx, func() { h.remove(w) })
}

func (h *hub) remove(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	close(w.ch)
	if w.stop != nil {
		w.stop()
	}
	delete(h.watchers[w.key], w)
	if len(h.watchers[w.key]) == 0 {
		delete(h.watchers, w.key)
	}
	h.rest()
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end()
	h.pollers.Wait()
}

// end ends all watches. Their callers find out why when they watch again.
func (h *hub) end() {
	h.mu.Lock()
	var all []*watcher
	for _, of := range h.watchers {
		for w := range of {
			all = append(all, w)
		}
	}
	for w := range h.prefixes {
		h.endPrefix(w)
	}
	h.mu.Unlock()
	for _, w := range all {
		h.remove(w)
	}
}

// committed offers what a transaction has changed. It moved the counter from base to last.
// Transactions come here one after the other, in the order of their commits.
func (h *hub) committed(base, last uint64, batch []*request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.watchers)+len(h.prefixes) == 0 {
		return
	}
	if base > h.known {
		h.missed = true
	}
	h.known = max(h.known, last)
	for _, r := range batch {
		if r.offset == 0 || r.appends {
			continue
		}
		e := backend.Entry{Key: r.key}
		if !r.remove {
			e.Value, e.Revision = r.value, r.revision
		}
		for w := range h.watchers[r.key] {
			w.offer(e, r.revision)
		}
		h.ownChange(e, r.revision)
	}
}

// poll runs while anything is watched.
func (h *hub) poll(ctx context.Context) {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			h.refresh(ctx)
		}
	}
}

// refresh reads what is watched if another process has written. Trouble is left to the next time.
func (h *hub) refresh(ctx context.Context) {
	counter, err := h.pool.counter(ctx)
	if errors.Is(err, backend.ErrClosed) {
		h.end()
	}
	if err != nil {
		return
	}
	for _, key := range h.stale(counter) {
		e, stamp, err := h.pool.look(ctx, key)
		h.mu.Lock()
		if err != nil {
			h.missed = true
		} else {
			for w := range h.watchers[key] {
				w.offer(e, stamp)
			}
		}
		h.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
	h.lookAgain(ctx)
}

// stale returns the keys to read, if any. A change up to counter is either found by the reads that
// follow, which see at least that far, or was ours and has been offered. One of ours that is in the
// counter but not yet offered only causes needless reads.
func (h *hub) stale(counter uint64) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.missed && counter <= h.known {
		return nil
	}
	h.missed = false
	h.known = max(h.known, counter)
	keys := make([]string, 0, len(h.watchers))
	for key := range h.watchers {
		keys = append(keys, key)
	}
	for w := range h.prefixes {
		w.behind = true
	}
	return keys
}
