package timeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// Limits of one page. What lies beyond them is a [lease.FieldError].
const (
	MaxRead   = 2000   // entries of one [Store.Read]
	MaxNewest = 500    // entries of one [Store.Newest], and timelines of one [Store.Runs]
	MaxOffset = 10_000 // of [Store.Newest], which reads what it leaves out
)

// Summary is what is known of a timeline.
type Summary struct {
	RunID string
	Count int
	Last  Entry
}

// Read returns up to limit entries of one timeline, oldest first, and how many there are. It leaves
// out the first offset of them. An unknown timeline has none. Read holds at most limit entries and
// a page of the journal in memory. But it reads what it leaves out and, where the journal cannot
// tell the total at once, the whole timeline.
//
// This read, like the others, sees what was noted here before, unless that waits for more than a
// second. Their errors are [lease.ErrInvalid], [lease.ErrUnavailable] and the context's.
func (s *Store) Read(ctx context.Context, namespace, runID string, offset, limit int) (entries []Entry, total int, err error) {
	err = checkTimeline(namespace, runID)
	if err == nil {
		err = checkPage(offset, 0, limit, MaxRead)
	}
	if err != nil {
		return nil, 0, failed("read", err)
	}
	s.catchUp(ctx)
	name, after, counted := stream(namespace, runID), uint64(0), false
	for {
		n := backend.MaxJournalBatch
		if want := offset + limit + 1 - total; want > 0 { // one more tells whether there are more
			n = min(n, want)
		}
		page, err := s.journal.ReadStream(ctx, name, after, n)
		if err != nil {
			return nil, 0, readFailed(ctx, "read", err)
		}
		for i := range page {
			if total++; total > offset && len(entries) < limit {
				entries = append(entries, decode(&page[i]))
			}
		}
		if len(page) < n {
			return entries, total, nil
		}
		after = page[len(page)-1].Position
		if total <= offset+limit || counted {
			continue
		}
		counted = true
		if n, ok, err := s.count(ctx, name); err != nil {
			return nil, 0, readFailed(ctx, "read", err)
		} else if ok {
			return entries, max(n, total), nil
		}
	}
}

// count is how many entries a timeline has, if the journal can tell.
func (s *Store) count(ctx context.Context, name string) (n int, ok bool, err error) {
	found, _, err := s.journal.Streams(ctx, name, 0, 1)
	if err != nil || len(found) == 0 || found[0].Stream != name {
		return 0, false, err // another stream's name begins with this one's
	}
	return found[0].Count, true, nil
}

// Newest returns up to limit entries of a namespace, newest first. It leaves out the first offset
// of them.
func (s *Store) Newest(ctx context.Context, namespace string, offset, limit int) (entries []Entry, err error) {
	err = checkNamespace(namespace)
	if err == nil {
		err = checkPage(offset, MaxOffset, limit, MaxNewest)
	}
	if err != nil {
		return nil, failed("newest", err)
	}
	s.catchUp(ctx)
	for before, left := uint64(0), offset+limit; left > 0; {
		n := min(left, backend.MaxJournalBatch)
		page, err := s.journal.ReadNewest(ctx, namespace+"/", before, n)
		if err != nil {
			return nil, readFailed(ctx, "newest", err)
		}
		for i := range page {
			if left--; left < limit {
				entries = append(entries, decode(&page[i]))
			}
		}
		if len(page) < n {
			break
		}
		before = page[len(page)-1].Position
	}
	return entries, nil
}

// Runs returns up to limit timelines of a namespace whose run id begins with prefix, the one with
// the newest entry first, without the first offset of them, and how many there are.
func (s *Store) Runs(ctx context.Context, namespace, prefix string, offset, limit int) (runs []Summary, total int, err error) {
	err = checkNamespace(namespace)
	if err == nil {
		err = checkPage(offset, 0, limit, MaxNewest)
	}
	if err != nil {
		return nil, 0, failed("runs", err)
	}
	s.catchUp(ctx)
	found, total, err := s.journal.Streams(ctx, stream(namespace, prefix), offset, limit)
	if err != nil {
		return nil, 0, readFailed(ctx, "runs", err)
	}
	for i := range found {
		last := decode(&found[i].Last)
		_, runID := split(found[i].Stream)
		runs = append(runs, Summary{runID, found[i].Count, last})
	}
	return runs, total, nil
}

// catchUp has reads see what was noted here before, unless the journal is slow or away.
func (s *Store) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.Flush(ctx)
}

// split is the opposite of stream.
func split(stream string) (namespace, runID string) {
	namespace, runID, _ = strings.Cut(stream, "/")
	return namespace, runID
}

func checkPage(offset, mostOffset, limit, mostLimit int) error {
	switch {
	case offset < 0:
		return &lease.FieldError{Field: "offset", Problem: fmt.Sprintf("%d, must not be negative", offset)}
	case mostOffset > 0 && offset > mostOffset:
		return &lease.FieldError{Field: "offset", Problem: fmt.Sprintf("%d, must be at most %d", offset, mostOffset)}
	case limit < 1 || limit > mostLimit:
		return &lease.FieldError{Field: "limit", Problem: fmt.Sprintf("%d, must be from 1 to %d", limit, mostLimit)}
	}
	return nil
}

func readFailed(ctx context.Context, op string, err error) error {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case errors.Is(err, backend.ErrInvalid):
		err = fmt.Errorf("%w: %w", lease.ErrInvalid, err)
	default:
		err = fmt.Errorf("%w: %w", lease.ErrUnavailable, err)
	}
	return failed(op, err)
}
