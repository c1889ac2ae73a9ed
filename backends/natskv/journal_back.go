package natskv

import (
	"context"
	"slices"
	"strings"

	"github.com/ailease/lease/backend"
)

// backwards reads the messages of a filter from the end backwards. The server can only be asked
// forwards, so it reads windows of numbers that end where the one before began. It skips a stretch
// without messages by bisection. A window with few makes the next one wider, and one with many more
// than are needed is left for a narrower one. So what it costs depends on what it finds, wherever
// that is.
type backwards struct {
	j      *journal
	filter string
	prefix string // of the streams, if filter selects others too
	fence  uint64
	end    uint64 // nothing from here on is looked for any more
}

const (
	leastSpan = 16 // of a window
	widen     = 16 // how many times as wide the next window is at most
	widest    = 5  // how often a stretch is made wider before the whole journal is looked at
)

// read returns the last entries, the newest first.
func (b *backwards) read(ctx context.Context, limit int) ([]backend.JournalEntry, error) {
	var page []backend.JournalEntry
	span := max(leastSpan, uint64(limit))
	for {
		if found, err := b.skip(ctx); err != nil || !found {
			return page, err
		}
		needed := limit - len(page)
		from := b.end - min(span, b.end-1)
		inside, tooMany, err := b.window(ctx, from, needed)
		if err != nil {
			return nil, err
		}
		if tooMany {
			span = max(1, span/4)
			continue
		}
		b.end = from
		slices.Reverse(inside)
		page = append(page, inside[:min(len(inside), needed)]...)
		if needed -= len(inside); needed <= 0 {
			return page, nil
		}
		wider := uint64(widen)
		if len(inside) > 0 {
			wider = min(wider, uint64(needed/len(inside)+1))
		}
		span = min(span*wider, 1<<56)
	}
}

// skip moves the end to just after the last message before it. It reports whether there is one.
func (b *backwards) skip(ctx context.Context) (bool, error) {
	if b.end <= 1 {
		return false, nil
	}
	// Nothing lies between empty and the end. The message with number last is before it.
	empty, last := b.end, uint64(0)
	for span, n := uint64(1), 0; last == 0; n++ {
		from := b.end - min(span, b.end-1)
		if n == widest {
			from = 1
		}
		number, err := b.first(ctx, from)
		if err != nil {
			return false, err
		}
		switch {
		case number < b.end:
			last = number
		case from == 1:
			return false, nil
		default:
			empty = from
		}
		span *= widen
	}
	for last+1 < empty {
		middle := last + 1 + (empty-last-1)/2
		number, err := b.first(ctx, middle)
		if err != nil {
			return false, err
		}
		if number < b.end {
			last = number
		} else {
			empty = middle
		}
	}
	b.end = last + 1
	return true, nil
}

// first returns the number of the first message from a number on. If there is none before the end,
// it returns the end or a number above.
func (b *backwards) first(ctx context.Context, from uint64) (uint64, error) {
	number := b.end
	const oneWithoutCount = 0
	err := b.j.forward(ctx, b.filter, from, b.fence, oneWithoutCount, func(one stored) bool {
		number = one.entry.Position
		return false
	})
	return number, err
}

// window returns the entries from a number up to the end, or tells that there are many more than
// are needed.
func (b *backwards) window(ctx context.Context, from uint64, needed int) (inside []backend.JournalEntry, tooMany bool, err error) {
	seen, most := 0, 2*needed+2*leastSpan
	batch := min(needed+1, int(min(b.end-from, mostBatch)))
	err = b.j.forward(ctx, b.filter, from, b.fence, batch, func(one stored) bool {
		if one.entry.Position >= b.end {
			return false
		}
		seen++
		if one.entry.Stream != "" && strings.HasPrefix(one.entry.Stream, b.prefix) {
			inside = append(inside, one.entry)
		}
		if b.prefix == "" {
			tooMany = seen > most
			return !tooMany && one.entry.Position+1 < b.end
		}
		// How many are of other streams is not known, so all are looked at.
		if len(inside) > most {
			inside = append(inside[:0], inside[len(inside)-needed:]...)
		}
		return one.entry.Position+1 < b.end
	})
	return inside, tooMany, err
}
