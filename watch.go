package lease

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// How often a watch asks a store that does not push: the longer nothing has changed, the less often, up to the Manager's retryAfter.
const (
	askFirst  = 20 * time.Millisecond
	askRarely = 8 // the pause is the time since the last change over this, so that whoever waits waits an eighth longer than need be
)

// watches are the keys that somebody waits for through this core. All who wait for a key share one watch of it.
type watches struct {
	mu sync.Mutex
	m  map[string]*watch
}

// watch follows the record under one key: pushed where the store watches, asked for where it does not. Its goroutine runs while
// there are listeners.
type watch struct {
	core     *core
	storeKey string
	cancel   context.CancelFunc

	mu        sync.Mutex // taken after watches.mu
	listeners map[*listener]struct{}
	news      news
	newest    uint64 // the greatest revision seen
}

// news is the last that a watch has seen.
type news struct {
	stored
	number int   // counts what was seen; 0 before anything was
	err    error // the record is unreadable
}

// listener is told when there is news that it wants.
type listener struct {
	watch *watch
	wants func(n news) bool
	C     chan struct{} // of capacity 1
}

// listen joins the watch of storeKey. Whatever changes after the call is told, and perhaps something older: the caller compares revisions, and asks the store
// where there is none. wants must not block. The caller must leave.
func (c *core) listen(storeKey string, wants func(n news) bool) *listener {
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	w := c.watches.m[storeKey]
	if w == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w = &watch{core: c, storeKey: storeKey, cancel: cancel, listeners: make(map[*listener]struct{})}
		c.watches.m[storeKey] = w
		go w.run(ctx)
	}
	l := &listener{watch: w, wants: wants, C: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners[l] = struct{}{}
	if w.news.number > 0 && wants(w.news) {
		l.C <- struct{}{}
	}
	return l
}

// leave ends the watch with its last listener.
func (l *listener) leave() {
	c, w := l.watch.core, l.watch
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.listeners, l)
	if len(w.listeners) == 0 {
		w.cancel()
		delete(c.watches.m, w.storeKey)
	}
}

// last is the last that was seen.
func (l *listener) last() news {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return l.watch.news
}

func (w *watch) run(ctx context.Context) {
	pushing, _ := w.core.backend.(backend.Watcher)
	t := newTimer(w.core.clock)
	changed := w.core.clock.Now()
	for {
		if pushing != nil {
			began := w.core.clock.Now()
			if states, err := pushing.Watch(ctx, w.storeKey); err == nil {
				for e := range states {
					if w.take(e) { // the first of a watch that was resumed may be none
						changed = w.core.clock.Now()
					}
				}
				if now := w.core.clock.Now(); now.Sub(began) >= w.core.retryAfter {
					changed = now // what has lasted may be had again soon
				}
			}
		}
		// There is no push, or not any more.
		t.set(w.pause(w.core.clock.Now().Sub(changed)))
		select {
		case <-ctx.Done():
			t.stop()
			return
		case <-t.C:
		}
		e, err := w.core.get(ctx, w.storeKey)
		if err == nil && w.take(e) {
			changed = w.core.clock.Now()
		}
	}
}

// pause is for how long not to ask after nothing has changed for so long; it is spread, so that those who began together do not ask together.
func (w *watch) pause(unchanged time.Duration) time.Duration {
	d := min(max(askFirst, unchanged/askRarely), w.core.retryAfter)
	return d - d/4 + rand.N(d/2)
}

// take tells the listeners what they want to hear, and reports whether e is later than all that was seen.
func (w *watch) take(e backend.Entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.news.number > 0 && w.news.revision == e.Revision {
		return false
	}
	n := news{number: w.news.number + 1}
	n.revision = e.Revision
	if e.Revision != 0 {
		n.rec, n.err = decodeRecord(e)
	}
	w.news = n
	later := e.Revision > w.newest
	w.newest = max(w.newest, e.Revision)
	for l := range w.listeners {
		if l.wants(n) {
			select {
			case l.C <- struct{}{}:
			default:
			}
		}
	}
	return later
}
