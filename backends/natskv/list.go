package natskv

import (
	"context"
	"iter"
	"strings"
	"sync"

	"github.com/ailease/lease/backend"
)

// listAhead is how many entries are read at once, and held until they are yielded.
const listAhead = 64

// List yields the entries whose key begins with prefix, as [backend.Lister] says. It asks the
// leader for the names of all keys, a hundred thousand with each request, and then for each entry:
// a consumer would be quicker, but one loses sight of a key that is written again and again. What
// is in the bucket under names that no key has is passed over. All names are held in memory while
// it runs.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		fail := func(err error) { yield(backend.Entry{}, s.failed("list", prefix, err)) }
		if err := s.ready(ctx); err != nil {
			fail(err)
			return
		}
		keys, err := s.keys(ctx, prefix)
		if err != nil {
			fail(err)
			return
		}
		for len(keys) > 0 {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			n := min(len(keys), listAhead)
			found, err := s.getAll(ctx, keys[:n])
			if err != nil {
				fail(err)
				return
			}
			keys = keys[n:]
			for _, e := range found {
				if e.Revision != 0 && !yield(e, nil) {
					return
				}
			}
		}
	}
}

// keys returns those that begin with prefix, of deleted entries too.
func (s *Store) keys(ctx context.Context, prefix string) ([]string, error) {
	names, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, name := range names {
		if key, ok := unescape(name); ok && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// getAll reads keys side by side. An absent one has revision 0.
func (s *Store) getAll(ctx context.Context, keys []string) ([]backend.Entry, error) {
	entries := make([]backend.Entry, len(keys))
	errs := make([]error, len(keys))
	var wg sync.WaitGroup
	for i, key := range keys {
		wg.Go(func() {
			m, err := s.last(ctx, escape(key))
			if errs[i] = err; err == nil && m.live() {
				entries[i] = m.entry(key)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}
