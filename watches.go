package lease

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

// How often a watch asks a store that does not push. The longer nothing has changed, the less often
// it asks, down to once in the Manager's retryAfter.
const askFirst = 20 * time.Millisecond

// watches are the keys that somebody waits for through this core. All who wait for a key share one
// watch of it.
type watches struct {
	mu sync.Mutex
	m  map[string]*watch
}

// watch follows the record under one key. The store pushes changes if it can watch, and is asked if
// it cannot. The goroutine of a watch runs while there are subscriptions.
type watch struct {
	core     *core
	storeKey string
	cancel   context.CancelFunc

	mu            sync.Mutex // taken after watches.mu
	subscriptions map[*subscription]struct{}
	news          news
	newest        uint64 // the greatest revision seen
}

// news is the last that a watch has seen.
type news struct {
	stored
	number int   // counts what was seen; 0 before anything was
	err    error // the record is unreadable
	final  error // the store was closed: there will be no more
}

// subscription is told when there is news that it wants.
type subscription struct {
	watch *watch
	wants func(n news) bool
	C     chan struct{} // of capacity 1
}

// subscribe joins the watch of storeKey. Whatever changes after the call is told, and perhaps
// something older: the caller compares revisions, and asks the store if there is none. wants must
// not block. The caller must leave.
func (c *core) subscribe(storeKey string, wants func(n news) bool) *subscription {
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	w := c.watches.m[storeKey]
	if w == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w = &watch{core: c, storeKey: storeKey, cancel: cancel, subscriptions: make(map[*subscription]struct{})}
		c.watches.m[storeKey] = w
		go w.run(ctx)
	}
	l := &subscription{watch: w, wants: wants, C: make(chan struct{}, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.subscriptions[l] = struct{}{}
	if w.news.number > 0 && wants(w.news) {
		l.C <- struct{}{}
	}
	return l
}

// leave ends the watch with its last subscription.
func (l *subscription) leave() {
	c, w := l.watch.core, l.watch
	c.watches.mu.Lock()
	defer c.watches.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.subscriptions, l)
	if len(w.subscriptions) == 0 {
		w.cancel()
		delete(c.watches.m, w.storeKey)
	}
}

// last is the last that was seen.
func (l *subscription) last() news {
	l.watch.mu.Lock()
	defer l.watch.mu.Unlock()
	return l.watch.news
}

func (w *watch) run(ctx context.Context) {
	pushing, _ := backend.As[backend.Watcher](w.core.backend)
	t := newTimer(w.core.clock)
	changed := w.core.clock.Now()
	for {
		if pushing != nil {
			began := w.core.clock.Now()
			watching, cancel := context.WithCancel(ctx)
			stop := w.core.clock.AfterFunc(tryFor, cancel) // bounds the call, not the watch
			states, err := pushing.Watch(watching, w.storeKey)
			stop()
			if isClosed(err) {
				cancel()
				w.end(err)
				return
			}
			if err == nil {
				for e := range states {
					if w.take(e) { // the first of a watch that was resumed may be none
						changed = w.core.clock.Now()
					}
				}
				if now := w.core.clock.Now(); now.Sub(began) >= w.core.retryAfter {
					changed = now // what has lasted may be had again soon
				}
			}
			cancel()
		}
		// There is no push, or not any more.
		t.set(growing(w.core.clock.Now().Sub(changed), askFirst, w.core.retryAfter))
		select {
		case <-ctx.Done():
			t.stop()
			return
		case <-t.C:
		}
		var e backend.Entry
		err := w.core.try(ctx, tryFor, func(ctx context.Context) (err error) {
			e, err = w.core.get(ctx, w.storeKey)
			return err
		})
		switch {
		case isClosed(err):
			w.end(err)
			return
		case err == nil && w.take(e):
			changed = w.core.clock.Now()
		}
	}
}

// take tells the subscriptions what they want, and reports whether e is later than all that was
// seen.
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
	w.tell(n)
	return later
}

// end tells the subscribers that the store was closed.
func (w *watch) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.news.number++
	w.news.final = fmt.Errorf("%w: %w", ErrUnavailable, err)
	w.tell(w.news)
}

// tell wakes the subscribers that want n. The caller holds w.mu.
func (w *watch) tell(n news) {
	for l := range w.subscriptions {
		if l.wants(n) {
			select {
			case l.C <- struct{}{}:
			default:
			}
		}
	}
}
