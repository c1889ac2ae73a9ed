package conformance_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// book is a journal of the plainest kind, for mutants that need to be inside. Those of its
// functions that are nil change nothing.
type book struct {
	s *memory.Store // which may be closed

	ids   sync.Mutex // for whoever changes the functions between calls
	mu    sync.Mutex
	lines []line // in the order of their positions
	last  uint64

	sorts   func(batch []backend.JournalEntry)                        // before they are added
	taken   func(e backend.JournalEntry, old *line) bool              // whether the line drops the entry
	drops   func(e backend.JournalEntry, old *line)                   // is told when it does
	pauses  func()                                                    // between the look for ids and the adding
	early   bool                                                      // positions are given before the pause
	numbers func(e backend.JournalEntry, at uint64) uint64            // its position
	takes   func(data []byte) []byte                                  // what is kept of them
	keeps   func(keep time.Duration) time.Duration                    // 0: for ever
	shows   func(e backend.JournalEntry, l line) backend.JournalEntry // what is read of a line
	begins  func(stream, prefix string) bool                          // whether it has the prefix
	is      func(stream, other string) bool                           // whether they are one
	forgets func(l line, all []line) bool                             // whether it goes before its time
	counts  func(stream string, readable int) int                     // what Streams shows
	orders  func(a, b backend.StreamInfo) int                         // of Streams
}

type line struct {
	backend.JournalEntry
	until time.Time // zero: for ever
}

// booked has f keep its journal in a book with a fault.
func booked(fault func(b *book)) func(*memory.Store, *fork) {
	return func(s *memory.Store, f *fork) {
		b := &book{s: s}
		fault(b)
		f.append, f.stream, f.newest, f.streams = b.Append, b.ReadStream, b.ReadNewest, b.Streams
	}
}

// may says whether a call can be made.
func (b *book) may(ctx context.Context, invalid error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, err := b.s.Get(bg, "k"); errors.Is(err, backend.ErrClosed) {
		return err
	}
	return invalid
}

func (b *book) Append(ctx context.Context, entries []backend.JournalEntry) error {
	if err := b.may(ctx, backend.CheckAppend(entries)); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := slices.Clone(entries)
	if b.sorts != nil {
		b.sorts(batch)
	}
	b.drop()
	var fresh []line // which have no position yet
	for _, e := range batch {
		if !b.isTaken(e, b.lines) && !b.isTaken(e, fresh) {
			l := line{JournalEntry: e}
			fresh = append(fresh, l)
		}
	}
	if b.early {
		b.place(fresh)
	}
	if b.pauses != nil {
		b.mu.Unlock()
		b.pauses()
		b.mu.Lock()
	}
	if !b.early {
		b.place(fresh)
	}
	b.lines = append(b.lines, fresh...)
	slices.SortStableFunc(b.lines, func(a, b line) int { return cmp.Compare(a.Position, b.Position) })
	return nil
}

func (b *book) isTaken(e backend.JournalEntry, lines []line) bool {
	for i := range lines {
		old := &lines[i]
		taken := e.ID != "" && e.ID == old.ID && e.Stream == old.Stream
		if b.taken != nil {
			taken = b.taken(e, old)
		}
		if taken {
			if b.drops != nil {
				b.drops(e, old)
			}
			return true
		}
	}
	return false
}

// place gives lines all that they have.
func (b *book) place(fresh []line) {
	for i := range fresh {
		l := &fresh[i]
		b.last++
		given := l.JournalEntry
		if l.Position = b.last; b.numbers != nil {
			l.Position = b.numbers(given, b.last)
		}
		if l.Data = bytes.Clone(given.Data); b.takes != nil {
			l.Data = b.takes(given.Data)
		}
		keep := given.Keep
		if b.keeps != nil {
			keep = b.keeps(keep)
		}
		if keep > 0 {
			l.until = time.Now().Add(keep)
		}
	}
}

func (l *line) isOver() bool { return !l.until.IsZero() && time.Now().After(l.until) }

// drop drops what is over.
func (b *book) drop() {
	var over []uint64
	for _, l := range b.lines {
		if l.isOver() || b.forgets != nil && b.forgets(l, b.lines) {
			over = append(over, l.Position)
		}
	}
	if len(over) > 0 {
		b.lines = slices.DeleteFunc(b.lines, func(l line) bool { return slices.Contains(over, l.Position) })
	}
}

// public is what is read of a line.
func (b *book) public(l line) backend.JournalEntry {
	e := l.JournalEntry
	e.Data, e.Keep = bytes.Clone(l.Data), 0
	if b.shows != nil {
		e = b.shows(e, l)
	}
	return e
}

func (b *book) ReadStream(ctx context.Context, stream string, after uint64, limit int) (page []backend.JournalEntry, err error) {
	if err := b.may(ctx, errors.Join(backend.CheckStream(stream), backend.CheckPage(0, limit))); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	for _, l := range b.lines {
		one := l.Stream == stream
		if b.is != nil {
			one = b.is(l.Stream, stream)
		}
		if one && l.Position > after && len(page) < limit {
			page = append(page, b.public(l))
		}
	}
	return page, nil
}

func (b *book) hasPrefix(stream, prefix string) bool {
	if b.begins != nil {
		return b.begins(stream, prefix)
	}
	return strings.HasPrefix(stream, prefix)
}

func (b *book) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) (page []backend.JournalEntry, err error) {
	if err := b.may(ctx, backend.CheckPage(0, limit)); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	for _, l := range slices.Backward(b.lines) {
		if b.hasPrefix(l.Stream, prefix) && (before == 0 || l.Position < before) && len(page) < limit {
			page = append(page, b.public(l))
		}
	}
	return page, nil
}

func (b *book) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	if err := b.may(ctx, backend.CheckPage(offset, limit)); err != nil {
		return nil, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	at := map[string]int{}
	for _, l := range slices.Backward(b.lines) {
		i, ok := at[l.Stream]
		switch {
		case ok:
			page[i].Count++
		case b.hasPrefix(l.Stream, prefix):
			at[l.Stream] = len(page)
			page = append(page, backend.StreamInfo{Stream: l.Stream, Count: 1, Last: b.public(l)})
		}
	}
	if b.orders != nil {
		slices.SortStableFunc(page, b.orders)
	}
	if b.counts != nil {
		for i, info := range page {
			page[i].Count = b.counts(info.Stream, info.Count)
		}
	}
	total = len(page)
	page = page[min(offset, total):]
	return page[:min(limit, len(page))], total, nil
}
