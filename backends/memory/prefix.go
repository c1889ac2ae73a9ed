package memory

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/prefixwatch"
)

// prefixes are the watches of prefixes, which belong to no shard.
type prefixes struct {
	all atomic.Pointer[[]*prefixWatch] // never changed once it is here

	mu     sync.Mutex // held by whoever replaces all; a shard's lock may be held, and none is taken
	closed bool
}

type prefixWatch struct {
	*prefixwatch.Feed
	forget func() bool // forgets the context
}

// WatchPrefix implements [backend.PrefixWatcher]. A write looks at every such watch of the store.
// The watch ends when the newest states of more than 1,024 keys wait, or 16 MiB of values.
func (s *Store) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := backend.CheckPrefix(prefix); err != nil {
		return nil, err
	}
	p := &s.prefixes
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, backend.ErrClosed
	}
	w := &prefixWatch{Feed: prefixwatch.New(prefix)}
	w.forget = context.AfterFunc(ctx, func() { p.end(w) })
	p.set(append(slices.Clone(p.list()), w))
	return w.States(), nil
}

func (p *prefixes) list() []*prefixWatch {
	if all := p.all.Load(); all != nil {
		return *all
	}
	return nil
}

func (p *prefixes) set(all []*prefixWatch) {
	if len(all) == 0 {
		p.all.Store(nil)
		return
	}
	p.all.Store(&all)
}

func (p *prefixes) end(w *prefixWatch) {
	w.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	w.forget()
	p.set(slices.DeleteFunc(slices.Clone(p.list()), func(other *prefixWatch) bool { return other == w }))
}

func (p *prefixes) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.list() {
		w.forget()
		w.Close()
	}
	p.set(nil)
}

// notify tells the watches that concern key that it is now e, absent if that is zero. The lock of
// the key's shard is held.
func (p *prefixes) notify(key string, e entry) {
	for _, w := range p.list() {
		if w.Concerns(key) && !w.Send(backend.Entry{Key: key, Value: e.value, Revision: e.revision}) {
			p.end(w)
		}
	}
}
