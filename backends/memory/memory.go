// Package memory is a [backend.Backend] in the memory of one process: for tests, and for programs
// whose leases need not outlive them.
//
// Importing it registers the URL "memory:" with package backends.
//
// It is as exact as the durable backends, and the fastest by far. It starts no goroutine, but for
// a watch of a prefix whose reader is behind, and a program that lets go of a store need not close
// it. Entries whose keep has ended are dropped as
// others are written, so that the store takes at most about twice the room of what it must keep.
// The journal has a bound besides, see [WithJournalSize].
package memory

import (
	"bytes"
	"context"
	"hash/maphash"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

const shardCount = 64

// Store is a store in memory. It is safe for concurrent use. Make it with [New].
type Store struct {
	seed   maphash.Seed
	birth  time.Time // keep is counted from here, by the monotonic clock
	shards [shardCount]shard

	prefixes prefixes
	journal  journal
}

var (
	_ backend.Backend       = (*Store)(nil)
	_ backend.Lister        = (*Store)(nil)
	_ backend.Watcher       = (*Store)(nil)
	_ backend.PrefixWatcher = (*Store)(nil)
	_ backend.Journal       = (*Store)(nil)
)

// shard holds the keys that hash to it. mu guards all of it.
type shard struct {
	mu       sync.RWMutex
	entries  map[string]entry
	names    map[string]map[string]struct{} // the keys of each namespace, see namespaceOf
	revision uint64                         // of the last write in this shard, so that no key's revision is ever used again
	writes   int                            // since the last sweep
	watchers map[string][]*watcher
	prefixes *prefixes // of the Store
	closed   bool      // then there are no entries and no watchers
}

type entry struct {
	value    []byte // never changed once it is here
	revision uint64
	keep     time.Duration // since Store.birth; 0: for ever
}

// Option changes a default of [New].
type Option func(*Store)

// WithJournalSize bounds the entries that [Store.Append] adds: 64 MiB unless set. If they take more
// than so many bytes, the oldest of all streams are dropped, also before their Keep has ended. An
// entry takes its stream, its id, its data and 256 bytes. With less than that nothing is kept.
func WithJournalSize(bytes int) Option { return func(s *Store) { s.journal.limit = bytes } }

const defaultJournalSize = 64 << 20

// New returns an empty store.
func New(opts ...Option) *Store {
	s := &Store{seed: maphash.MakeSeed(), birth: time.Now(), journal: newJournal(defaultJournalSize)}
	for _, opt := range opts {
		opt(s)
	}
	for i := range s.shards {
		s.shards[i].entries = make(map[string]entry)
		s.shards[i].names = make(map[string]map[string]struct{})
		s.shards[i].prefixes = &s.prefixes
	}
	return s
}

// Close drops all entries and ends all watches. Every later call fails with [backend.ErrClosed],
// whoever makes it: a store in memory has one handle, which all share. Close always returns nil,
// and may be called more than once.
func (s *Store) Close() error {
	for i := range s.shards {
		s.shards[i].close()
	}
	s.prefixes.close()
	s.journal.close()
	return nil
}

func (sh *shard) close() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed, sh.entries, sh.names = true, nil, nil
	for _, of := range sh.watchers {
		for _, w := range of {
			w.end()
		}
	}
	sh.watchers = nil
}

func (s *Store) shard(key string) *shard {
	return &s.shards[maphash.String(s.seed, key)%shardCount]
}

// Get implements [backend.Backend].
func (s *Store) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return backend.Entry{}, err
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Entry{}, err
	}
	sh := s.shard(key)
	sh.mu.RLock()
	e, ok := sh.entries[key]
	closed := sh.closed
	sh.mu.RUnlock()
	switch {
	case closed:
		return backend.Entry{}, backend.ErrClosed
	case !ok:
		return backend.Entry{}, backend.ErrNotFound
	}
	return e.public(key), nil
}

func (e entry) public(key string) backend.Entry {
	return backend.Entry{Key: key, Value: bytes.Clone(e.value), Revision: e.revision}
}

// CompareAndSet implements [backend.Backend].
func (s *Store) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := backend.CheckWrite(key, value, keep); err != nil {
		return 0, err
	}
	var now, until time.Duration
	if keep > 0 {
		now = time.Since(s.birth)
		until = max(now+keep, 0) // for ever, if it is so long that the sum overflows
	}
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case sh.closed:
		return 0, backend.ErrClosed
	case sh.entries[key].revision != expected:
		return 0, backend.ErrConflict
	}
	sh.sweep(now)
	sh.revision++
	e := entry{bytes.Clone(value), sh.revision, until}
	if expected == 0 {
		sh.name(key)
	}
	sh.entries[key] = e
	sh.notify(key, e)
	return e.revision, nil
}

// CompareAndDelete implements [backend.Backend].
func (s *Store) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := backend.CheckDelete(key, expected); err != nil {
		return err
	}
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch now := sh.entries[key].revision; {
	case sh.closed:
		return backend.ErrClosed
	case now == 0:
		return backend.ErrNotFound
	case now != expected:
		return backend.ErrConflict
	}
	sh.drop(key)
	return nil
}

// namespaceOf is what stands before the first slash of a key, or of a prefix; ok is false if there
// is none. Keys of one namespace are known by it, so that a listing costs what it finds, and not
// what the store holds.
func namespaceOf(key string) (namespace string, ok bool) {
	namespace, _, ok = strings.Cut(key, "/")
	return namespace, ok
}

// name notes a key that is about to have an entry.
func (sh *shard) name(key string) {
	namespace, ok := namespaceOf(key)
	if !ok {
		return
	}
	keys := sh.names[namespace]
	if keys == nil {
		keys = make(map[string]struct{})
		sh.names[namespace] = keys
	}
	keys[key] = struct{}{}
}

// drop removes the entry of key, and tells those who watch it.
func (sh *shard) drop(key string) {
	delete(sh.entries, key)
	if namespace, ok := namespaceOf(key); ok {
		keys := sh.names[namespace]
		if delete(keys, key); len(keys) == 0 {
			delete(sh.names, namespace)
		}
	}
	sh.notify(key, entry{})
}

// sweep drops what need not be kept any more, once as many writes have come as there are entries,
// which makes its cost a constant per write.
func (sh *shard) sweep(now time.Duration) {
	sh.writes++
	if now == 0 || sh.writes <= len(sh.entries) {
		return
	}
	sh.writes = 0
	for key, e := range sh.entries {
		if e.keep > 0 && e.keep <= now {
			sh.drop(key)
		}
	}
}

// List implements [backend.Lister]. It looks at one shard at a time, and holds no lock while it
// yields. With a prefix that names a namespace, up to a slash, it looks at that namespace alone.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		for i := range s.shards {
			if err := ctx.Err(); err != nil {
				yield(backend.Entry{}, err)
				return
			}
			found, err := s.shards[i].list(prefix)
			if err != nil {
				yield(backend.Entry{}, err)
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

func (sh *shard) list(prefix string) ([]backend.Entry, error) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if sh.closed {
		return nil, backend.ErrClosed
	}
	var found []backend.Entry
	if namespace, ok := namespaceOf(prefix); ok {
		for key := range sh.names[namespace] {
			if strings.HasPrefix(key, prefix) {
				found = append(found, sh.entries[key].public(key))
			}
		}
		return found, nil
	}
	for key, e := range sh.entries {
		if strings.HasPrefix(key, prefix) {
			found = append(found, e.public(key))
		}
	}
	return found, nil
}
