// Package prefixwatch is the half of backend.PrefixWatcher that is the same in all stores: the
// states that wait for whoever reads a watch.
package prefixwatch

import (
	"bytes"
	"strings"
	"sync"

	"github.com/ailease/lease/backend"
)

// What may wait besides what is in the channel. If it is more, the watch ends.
const (
	mostKeys  = 1024
	mostBytes = 16 << 20 // of values
)

// atOnce is the capacity of the channel: as many of the largest values as mostBytes.
const atOnce = mostBytes / backend.MaxValueBytes

// Feed is the channel of one watch. It is safe for concurrent use.
//
// States go into the channel. Once that is full they wait beside it, of each key only the newest,
// and a goroutine moves them into the channel until none is left.
type Feed struct {
	prefix string
	states chan backend.Entry
	done   chan struct{} // closed by Close

	mu      sync.Mutex
	waiting map[string]backend.Entry
	order   []string // the keys of waiting
	size    int      // the bytes of values in waiting
	moving  bool     // the goroutine runs: it alone sends to states, and closes it
	closed  bool     // done is
}

// New returns the feed of a watch of prefix.
func New(prefix string) *Feed {
	return &Feed{
		prefix: prefix, states: make(chan backend.Entry, atOnce), done: make(chan struct{}),
		waiting: make(map[string]backend.Entry),
	}
}

// States is what the watch's caller reads.
func (f *Feed) States() <-chan backend.Entry { return f.states }

// Concerns reports whether the watch tells of key.
func (f *Feed) Concerns(key string) bool { return strings.HasPrefix(key, f.prefix) }

// Send tells of a state, with a value of its own, and waits for nobody. Two states of one key must
// not be sent at once. If too much waits, Send ends the watch. It returns false if the watch has
// ended.
func (f *Feed) Send(e backend.Entry) (open bool) {
	e.Value = bytes.Clone(e.Value)
	if e.Value == nil && e.Revision != 0 {
		e.Value = []byte{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if !f.moving {
		select {
		case f.states <- e:
			return true
		default:
			f.moving = true
			go f.move()
		}
	}
	old, ok := f.waiting[e.Key]
	if !ok {
		f.order = append(f.order, e.Key)
	}
	f.waiting[e.Key] = e
	f.size += len(e.Value) - len(old.Value)
	if len(f.waiting) > mostKeys || f.size > mostBytes {
		f.close()
	}
	return !f.closed
}

// move sends what waits, until nothing does.
func (f *Feed) move() {
	for {
		e, ok := f.next()
		if !ok {
			return
		}
		select {
		case f.states <- e:
		case <-f.done:
		}
	}
}

// next returns what has waited longest. ok is false if nothing waits any more.
func (f *Feed) next() (e backend.Entry, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.order) == 0 {
		f.moving = false
		if f.closed {
			close(f.states)
		}
		return e, false
	}
	e = f.waiting[f.order[0]]
	f.order = f.order[1:]
	delete(f.waiting, e.Key)
	f.size -= len(e.Value)
	return e, true
}

// Close ends the watch: the channel is closed soon. It does nothing if the watch has ended.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.close()
}

func (f *Feed) close() {
	if f.closed {
		return
	}
	f.closed = true
	close(f.done)
	f.waiting, f.order = nil, nil
	if !f.moving {
		close(f.states)
	}
}
