package conformance

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/ailease/lease/backend"
)

// Unwrap returns what [backend.As] is to look at behind f. It lists, watches keys and prefixes, and
// has a journal if the store does, and all of that has bad days:
//
//   - Refused: the call fails with backend.ErrUnavailable.
//   - LostRequest, Late: the call fails with ErrInjected. A late Append is delivered within
//     MaxDelay.
//   - LostAnswer: the listing fails with ErrInjected after its first entry; the watch closes its
//     channel after its first state. A call of the journal fails with ErrInjected; what it was to
//     append is there.
//   - Delay, Duplicate: the call begins up to MaxDelay later. No Append is delivered twice: entries
//     without an id would stand there twice, which no journal may do.
//   - A crash: a running listing and a call of the journal fail with ErrInjected. A running watch
//     closes its channel.
//
// What else the store can do is found beneath, and has no faults.
func (f *Faulty) Unwrap() backend.Backend {
	store, _ := f.standing()
	under := store
	if _, ok := backend.As[backend.Journal](store); ok {
		under = struct {
			layer
			faultyJournal
		}{layer{f, under}, faultyJournal{f}}
	}
	if _, ok := backend.As[backend.PrefixWatcher](store); ok {
		under = struct {
			layer
			faultyPrefixWatcher
		}{layer{f, under}, faultyPrefixWatcher{f}}
	}
	if _, ok := backend.As[backend.Watcher](store); ok {
		under = struct {
			layer
			faultyWatcher
		}{layer{f, under}, faultyWatcher{f}}
	}
	if _, ok := backend.As[backend.Lister](store); ok {
		under = struct {
			layer
			faultyLister
		}{layer{f, under}, faultyLister{f}}
	}
	return under
}

// layer is between a Faulty and its store, and adds one capability.
type layer struct {
	backend.Backend // the Faulty
	under           backend.Backend
}

func (l layer) Unwrap() backend.Backend { return l.under }

// standing is the store, and a context that ends with its next crash.
func (f *Faulty) standing() (backend.Backend, context.Context) {
	f.gate.RLock()
	defer f.gate.RUnlock()
	return f.store, f.life
}

// meet draws what a call of a capability meets, and is the fault if that keeps the call from the
// store.
func (f *Faulty) meet(ctx context.Context, call string) (kind, error) {
	k, wait := f.draw(f.reads, call+": ")
	switch k {
	case refused:
		return k, fmt.Errorf("%w: injected", backend.ErrUnavailable)
	case lostRequest, lateKind:
		return k, unknown(k)
	case delay, duplicate:
		return k, sleep(ctx, wait)
	}
	return k, nil
}

type faultyLister struct{ f *Faulty }

// List implements [backend.Lister].
func (l faultyLister) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		k, err := l.f.meet(ctx, "list")
		store, life := l.f.standing()
		lister, ok := backend.As[backend.Lister](store)
		switch {
		case err != nil:
			yield(backend.Entry{}, err)
			return
		case !ok:
			yield(backend.Entry{}, fmt.Errorf("%w: the store does not list since it crashed", errors.ErrUnsupported))
			return
		}
		fault := func(entries int) error {
			switch {
			case life.Err() != nil:
				return unknown("crash")
			case k == lostAnswer && entries > 0:
				return unknown(k)
			}
			return nil
		}
		entries := 0
		for e, err := range lister.List(ctx, prefix) {
			if injected := fault(entries); injected != nil {
				e, err = backend.Entry{}, injected
			}
			if !yield(e, err) || err != nil {
				return
			}
			entries++
		}
		if k == lostAnswer {
			entries++ // that there are no more is lost too
		}
		if err := fault(entries); err != nil {
			yield(backend.Entry{}, err)
		}
	}
}

type faultyWatcher struct{ f *Faulty }

// Watch implements [backend.Watcher].
func (w faultyWatcher) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	return w.f.watch(ctx, "watch", func(ctx context.Context, store backend.Backend) (<-chan backend.Entry, error) {
		watcher, ok := backend.As[backend.Watcher](store)
		if !ok {
			return nil, fmt.Errorf("%w: the store does not watch since it crashed", errors.ErrUnsupported)
		}
		return watcher.Watch(ctx, key)
	})
}

type faultyPrefixWatcher struct{ f *Faulty }

// WatchPrefix implements [backend.PrefixWatcher].
func (w faultyPrefixWatcher) WatchPrefix(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
	return w.f.watch(ctx, "watch prefix", func(ctx context.Context, store backend.Backend) (<-chan backend.Entry, error) {
		watcher, ok := backend.As[backend.PrefixWatcher](store)
		if !ok {
			return nil, fmt.Errorf("%w: the store does not watch prefixes since it crashed", errors.ErrUnsupported)
		}
		return watcher.WatchPrefix(ctx, prefix)
	})
}

// watch relays what begin begins, with the faults of call.
func (f *Faulty) watch(ctx context.Context, call string, begin func(context.Context, backend.Backend) (<-chan backend.Entry, error)) (<-chan backend.Entry, error) {
	k, err := f.meet(ctx, call)
	if err != nil {
		return nil, err
	}
	store, life := f.standing()
	ctx, cancel := context.WithCancel(ctx)
	from, err := begin(ctx, store)
	if err != nil {
		cancel()
		return nil, err
	}
	unlink := context.AfterFunc(life, cancel)
	to := make(chan backend.Entry)
	go func() {
		defer close(to)
		defer cancel()
		defer unlink()
		for e := range from {
			select {
			case to <- e:
			case <-ctx.Done():
				return
			}
			if k == lostAnswer {
				return
			}
		}
	}()
	return to, nil
}
