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
// leader for the names of the keys and then for the entries, 64 at a time. A prefix that contains
// a slash after its first byte names a namespace: then only that namespace is looked at, and a
// listing costs what it finds. Messages under names that no key has are passed over. All names are
// held in memory while the listing runs.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		fail := func(err error) { yield(backend.Entry{}, s.failed("list", prefix, err)) }
		if err := s.ready(ctx); err != nil {
			fail(err)
			return
		}
		l, err := s.newListing(ctx)
		if err != nil {
			fail(err)
			return
		}
		keys, err := l.keys(ctx, prefix)
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
			found, err := l.entries(ctx, keys[:n])
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

// listing is one run of List. Everything it reads is at least as new as its fence.
type listing struct {
	s      *Store
	fence  uint64 // 0 for one replica, and for a bucket that is full
	direct bool   // entries may be read from any server that has the fence
}

func (s *Store) newListing(ctx context.Context) (*listing, error) {
	l, err := s.layouts.get(ctx, s.background)
	if err != nil {
		return nil, err
	}
	if !l.replicated {
		return &listing{s: s, direct: l.direct}, nil
	}
	fencing, cancel := s.bounded(ctx)
	defer cancel()
	number, err := s.fence(fencing)
	switch {
	case full(err):
		return &listing{s: s}, nil
	case err != nil:
		return nil, err
	}
	return &listing{s: s, fence: number, direct: l.shared(s.nc.ConnectedServerVersion())}, nil
}

// keys returns the keys that begin with prefix, also deleted ones.
func (l *listing) keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for _, selector := range selectors(prefix) {
		names, err := l.s.names(ctx, selector, l.fence)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if key, ok := unescape(name); ok && strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// entries reads keys. An absent one has revision 0.
func (l *listing) entries(ctx context.Context, keys []string) ([]backend.Entry, error) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = escape(key)
	}
	var found map[string]message
	if l.direct {
		ctx, cancel := l.s.bounded(ctx)
		defer cancel()
		found = l.s.readAfter(ctx, l.fence, names)
	}
	entries := make([]backend.Entry, len(keys))
	errs := make([]error, len(keys))
	var rest sync.WaitGroup
	for i, key := range keys {
		if m, ok := found[names[i]]; ok {
			if m.live() {
				l.s.granted.add(m.sequence)
				entries[i] = m.entry(key)
			}
			continue
		}
		rest.Go(func() {
			one, err := l.s.read(ctx, names[i])
			if errs[i] = err; err == nil && one.live() {
				entries[i] = one.entry(key)
			}
		})
	}
	rest.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return entries, nil
}
