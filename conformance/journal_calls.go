package conformance

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ailease/lease/backend"
)

// The calls that properties of a journal make. Those that need not fail look at what every answer
// must keep to.

func (s *subject) journal() backend.Journal {
	j, _ := backend.As[backend.Journal](s.b)
	return j
}

// note is an entry to append, of one hour.
func note(stream, id, data string) backend.JournalEntry {
	return backend.JournalEntry{Stream: stream, ID: id, Data: []byte(data), Keep: time.Hour}
}

func (s *subject) tryAppend(ctx context.Context, entries ...backend.JournalEntry) error {
	what := "Append " + showNotes(entries)
	done := s.waiting(aCall, "%s has not returned", what)
	err := s.journal().Append(ctx, entries)
	done()
	s.step("%s -> %v", what, err)
	return err
}

func (s *subject) add(entries ...backend.JournalEntry) {
	if err := s.tryAppend(s.ctx, entries...); err != nil {
		s.broken("Append of %d entries failed: %v", len(entries), err)
	}
}

func (s *subject) tryReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	what := fmt.Sprintf("ReadStream %s after %d limit %d", show(stream), after, limit)
	done := s.waiting(aCall, "%s has not returned", what)
	page, err := s.journal().ReadStream(ctx, stream, after, limit)
	done()
	s.step("%s -> %s, %v", what, showNotes(page), err)
	return page, err
}

func (s *subject) readStream(stream string, after uint64, limit int) []backend.JournalEntry {
	page, err := s.tryReadStream(s.ctx, stream, after, limit)
	if err != nil {
		s.broken("ReadStream %s failed: %v", show(stream), err)
	}
	s.mustBePage("ReadStream", page, limit)
	for i, e := range page {
		switch {
		case e.Stream != stream:
			s.broken("ReadStream %s returned an entry of stream %s", show(stream), show(e.Stream))
		case e.Position <= after:
			s.broken("ReadStream %s after %d returned position %d", show(stream), after, e.Position)
		case i > 0 && e.Position <= page[i-1].Position:
			s.broken("ReadStream %s returned position %d after %d", show(stream), e.Position, page[i-1].Position)
		}
	}
	return page
}

// readAll reads a stream page after page.
func (s *subject) readAll(stream string, after uint64, limit int) (all []backend.JournalEntry) {
	for {
		page := s.readStream(stream, after, limit)
		if all = append(all, page...); len(page) < limit {
			return all
		}
		after = page[limit-1].Position
	}
}

func (s *subject) tryReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	what := fmt.Sprintf("ReadNewest %s before %d limit %d", show(prefix), before, limit)
	done := s.waiting(aCall, "%s has not returned", what)
	page, err := s.journal().ReadNewest(ctx, prefix, before, limit)
	done()
	s.step("%s -> %s, %v", what, showNotes(page), err)
	return page, err
}

func (s *subject) readNewest(prefix string, before uint64, limit int) []backend.JournalEntry {
	page, err := s.tryReadNewest(s.ctx, prefix, before, limit)
	if err != nil {
		s.broken("ReadNewest %s failed: %v", show(prefix), err)
	}
	s.mustBePage("ReadNewest", page, limit)
	end := before
	if before == 0 {
		end = math.MaxUint64
	}
	for i, e := range page {
		switch {
		case !strings.HasPrefix(e.Stream, prefix):
			s.broken("ReadNewest %s returned an entry of stream %s", show(prefix), show(e.Stream))
		case e.Position >= end:
			s.broken("ReadNewest %s before %d returned position %d", show(prefix), before, e.Position)
		case i > 0 && e.Position >= page[i-1].Position:
			s.broken("ReadNewest %s returned position %d after %d", show(prefix), e.Position, page[i-1].Position)
		}
	}
	return page
}

// mustBePage fails the case unless a page has what every page has.
func (s *subject) mustBePage(call string, page []backend.JournalEntry, limit int) {
	if len(page) > limit {
		s.broken("%s with limit %d returned %d entries", call, limit, len(page))
	}
	for _, e := range page {
		if e.Position == 0 || e.Keep != 0 {
			s.broken("%s returned an entry of %s with position %d and keep %v", call, show(e.Stream), e.Position, e.Keep)
		}
	}
}

func (s *subject) tryStreams(ctx context.Context, prefix string, offset, limit int) ([]backend.StreamInfo, int, error) {
	what := fmt.Sprintf("Streams %s offset %d limit %d", show(prefix), offset, limit)
	done := s.waiting(aCall, "%s has not returned", what)
	page, total, err := s.journal().Streams(ctx, prefix, offset, limit)
	done()
	s.step("%s -> %s, total %d, %v", what, showStreams(page), total, err)
	return page, total, err
}

func (s *subject) streams(prefix string, offset, limit int) ([]backend.StreamInfo, int) {
	page, total, err := s.tryStreams(s.ctx, prefix, offset, limit)
	if err != nil {
		s.broken("Streams %s failed: %v", show(prefix), err)
	}
	if len(page) > limit || total < 0 || len(page) > 0 && total < offset+len(page) {
		s.broken("Streams %s with offset %d and limit %d returned %d streams and the total %d", show(prefix), offset, limit, len(page), total)
	}
	for i, info := range page {
		s.mustBePage("Streams", []backend.JournalEntry{info.Last}, 1)
		switch {
		case !strings.HasPrefix(info.Stream, prefix):
			s.broken("Streams %s returned the stream %s", show(prefix), show(info.Stream))
		case info.Last.Stream != info.Stream:
			s.broken("Streams returned, as the newest entry of stream %s, one of stream %s", show(info.Stream), show(info.Last.Stream))
		case info.Count < 1:
			s.broken("Streams returned the stream %s with %d entries", show(info.Stream), info.Count)
		case i > 0 && info.Last.Position >= page[i-1].Last.Position:
			s.broken("Streams returned the stream %s, whose newest entry has position %d, after one with %d", show(info.Stream), info.Last.Position, page[i-1].Last.Position)
		}
	}
	return page, total
}

func showNotes(all []backend.JournalEntry) string {
	const most = 5
	var b strings.Builder
	b.WriteString("[")
	for i, e := range all {
		if i == most {
			fmt.Fprintf(&b, " ... %d entries", len(all))
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(showNote(e))
	}
	b.WriteString("]")
	return b.String()
}

func showNote(e backend.JournalEntry) string {
	text := show(e.Stream) + " " + showValue(e.Data)
	if e.ID != "" {
		text += " id " + show(e.ID)
	}
	if e.Position > 0 {
		text += fmt.Sprintf(" at %d", e.Position)
	}
	if e.Keep > 0 && e.Keep != time.Hour {
		text += fmt.Sprintf(" keep %v", e.Keep)
	}
	return text
}

func showStreams(page []backend.StreamInfo) string {
	const most = 5
	var all []string
	for i, info := range page {
		if i == most {
			all = append(all, fmt.Sprintf("... %d streams", len(page)))
			break
		}
		all = append(all, fmt.Sprintf("%s of %d, last %s", show(info.Stream), info.Count, showNote(info.Last)))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
