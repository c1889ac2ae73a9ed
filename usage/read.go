package usage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// MaxDays is how many days [Counters.Days] returns at most.
const MaxDays = 366

// Days returns what was counted in a namespace on each day of UTC from that of from to that of to.
// A day without requests is there too. What these Counters have counted is in the sums at once.
// What others have counted is in them once it is written.
//
// A range that is empty, or of more than [MaxDays], is [lease.ErrInvalid]. If the store fails, the
// error is [lease.ErrUnavailable], or [lease.ErrUnreadable] for an entry that is damaged or of a
// newer version.
func (c *Counters) Days(ctx context.Context, namespace string, from, to time.Time) ([]Day, error) {
	first, last := dateOf(from), dateOf(to)
	switch n := last - first + 1; {
	case n < 1:
		return nil, fmt.Errorf("usage: %w", &lease.FieldError{Field: "to", Problem: "before from"})
	case n > MaxDays:
		return nil, fmt.Errorf("usage: %w", &lease.FieldError{Field: "to", Problem: fmt.Sprintf("%d days with from, limit %d", n, MaxDays)})
	}
	mine := c.unwritten(namespace, first, last) // before the store: a batch may land between the two
	entries, err := c.loadDays(ctx, namespace, first, last)
	if err != nil {
		if !errors.Is(err, lease.ErrUnreadable) {
			err = fmt.Errorf("%w: %w", lease.ErrUnavailable, err)
		}
		return nil, fmt.Errorf("usage: %w", err)
	}
	days := make([]Day, 0, last-first+1)
	for d := first; d <= last; d++ {
		e := entries[d]
		sums := e.Sums
		for _, b := range mine[d] {
			if e.judge(c.writer, &b) == notAdded {
				sums.add(b.sums)
			}
		}
		days = append(days, Day{d.String(), sums})
	}
	return days, nil
}

// Month returns what was counted in a namespace in the month of t, in UTC. Otherwise it is as
// [Counters.Days].
func (c *Counters) Month(ctx context.Context, namespace string, t time.Time) (Sums, error) {
	year, month, _ := t.UTC().Date()
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	days, err := c.Days(ctx, namespace, first, first.AddDate(0, 1, -1))
	var all Sums
	for _, d := range days {
		all.add(d.Sums)
	}
	return all, err
}

// unwritten returns copies of the batches that may not be in the store.
func (c *Counters) unwritten(namespace string, first, last date) map[date][]batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := make(map[date][]batch)
	for d := first; d <= last; d++ {
		for _, batches := range []map[place]*batch{c.pending, c.gathered} {
			if b := batches[place{namespace, d}]; b != nil {
				mine[d] = append(mine[d], *b)
			}
		}
	}
	return mine
}

// loadDays reads the entries of days.
func (c *Counters) loadDays(ctx context.Context, namespace string, first, last date) (map[date]entry, error) {
	entries := make(map[date]entry)
	lister, ok := backend.As[backend.Lister](c.backend)
	if !ok {
		for d := first; d <= last; d++ {
			e, _, err := c.load(ctx, entryKey(namespace, d))
			if err != nil {
				return nil, err
			}
			entries[d] = e.seenBy(c.writer)
		}
		return entries, nil
	}
	prefix := entryKey(namespace, first)
	for !strings.HasPrefix(entryKey(namespace, last), prefix) {
		prefix = prefix[:len(prefix)-1]
	}
	for stored, err := range lister.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		t, err := time.Parse(time.DateOnly, strings.TrimPrefix(stored.Key, namespace+usageMark))
		if d := dateOf(t); err == nil && first <= d && d <= last {
			e, err := decodeEntry(stored.Value)
			if err != nil {
				return nil, err
			}
			entries[d] = e.seenBy(c.writer)
		}
	}
	return entries, nil
}
