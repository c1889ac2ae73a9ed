package conformance_test

import (
	"context"
	"strings"
	"sync"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// Faults of watches of prefixes that several mutants are made of.

// prefixWatcher is the method of backend.PrefixWatcher.
type prefixWatcher = func(ctx context.Context, prefix string) (<-chan backend.Entry, error)

// relayedPrefix has what a sound watch sends, of all keys up to now, replaced by what pick wants to
// be sent after the last of it.
func relayedPrefix(s *memory.Store, pick func(states []backend.Entry) []backend.Entry) prefixWatcher {
	return func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
		from, err := s.WatchPrefix(ctx, prefix)
		if err != nil {
			return nil, err
		}
		to := make(chan backend.Entry)
		go func() {
			defer close(to)
			var states []backend.Entry
			for e := range from {
				states = append(states, e)
				for _, e := range pick(states) {
					select {
					case to <- e:
					case <-ctx.Done():
						return
					}
				}
			}
		}()
		return to, nil
	}
}

// altered has each state altered.
func altered(s *memory.Store, alter func(e *backend.Entry)) prefixWatcher {
	return relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
		e := states[len(states)-1]
		alter(&e)
		return []backend.Entry{e}
	})
}

// selected has a watch of a prefix tell of the keys that it concerns.
func selected(s *memory.Store, concerns func(key, prefix string) bool) prefixWatcher {
	return func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
		if err := backend.CheckPrefix(prefix); err != nil {
			return nil, err
		}
		return relayedPrefix(s, func(states []backend.Entry) []backend.Entry {
			if last := states[len(states)-1]; concerns(last.Key, prefix) {
				return []backend.Entry{last}
			}
			return nil
		})(ctx, "")
	}
}

// before returns the states of the last one's key, without the last one.
func before(states []backend.Entry) (of []backend.Entry) {
	last := states[len(states)-1]
	for _, e := range states[:len(states)-1] {
		if e.Key == last.Key {
			of = append(of, e)
		}
	}
	return of
}

// told is how writers tell those who watch a prefix.
type told struct {
	room   int                            // of each channel
	drops  bool                           // what there is no room for, instead of waiting
	shares bool                           // one value among all channels
	only   func(s *memory.Store) []string // the keys that are told, as of the call; nil: all
}

// directPrefix has each write send itself to those who watch. It returns what tells them of another
// entry.
func directPrefix(s *memory.Store, f *fork, how told) (tell func(e backend.Entry)) {
	type watch struct {
		*channel
		keys map[string]bool // nil: all
	}
	var mu sync.Mutex
	var watches []watch
	life, end := context.WithCancel(bg)
	f.close = func() error {
		end()
		return s.Close()
	}
	tell = func(e backend.Entry) {
		mu.Lock()
		all := watches
		mu.Unlock()
		for _, w := range all {
			if strings.HasPrefix(e.Key, w.key) && (w.keys == nil || w.keys[e.Key]) {
				own := e
				if !how.shares {
					own.Value = append([]byte{}, e.Value...)
				}
				w.sendAs(own, how.drops)
			}
		}
	}
	tellOf := func(key string) {
		e, _ := s.Get(bg, key)
		e.Key = key
		tell(e)
	}
	f.watchPrefix = func(ctx context.Context, prefix string) (<-chan backend.Entry, error) {
		probe, cancel := context.WithCancel(ctx)
		defer cancel()
		if _, err := s.WatchPrefix(probe, prefix); err != nil {
			return nil, err
		}
		ctx, cancel = context.WithCancel(ctx)
		context.AfterFunc(life, cancel)
		w := watch{channel: &channel{ctx: ctx, key: prefix, states: make(chan backend.Entry, how.room)}}
		if how.only != nil {
			w.keys = map[string]bool{}
			for _, key := range how.only(s) {
				w.keys[key] = true
			}
		}
		context.AfterFunc(ctx, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			close(w.states)
		})
		mu.Lock()
		defer mu.Unlock()
		watches = append(watches[:len(watches):len(watches)], w)
		return w.states, nil
	}
	f.sets(func(w write) (uint64, error) {
		revision, err := w.write()
		if err == nil {
			tellOf(w.key)
		}
		return revision, err
	})
	f.remove = func(ctx context.Context, key string, expected uint64) error {
		err := s.CompareAndDelete(ctx, key, expected)
		if err == nil {
			tellOf(key)
		}
		return err
	}
	return tell
}

// sendAs sends e, with its own key, and drops it if it may and there is no room.
func (c *channel) sendAs(e backend.Entry, drops bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	if drops {
		select {
		case c.states <- e:
		default:
		}
		return
	}
	select {
	case c.states <- e:
	case <-c.ctx.Done():
	}
}
