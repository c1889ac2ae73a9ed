package natskv

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ailease/lease/backend"
)

// ReadNewest returns the last entries of the streams whose name begins with prefix, as
// [backend.Journal] says. A prefix that is empty or ends with its first slash costs what it finds.
// For another one, the names of all streams of the namespace are asked for. If it selects more than
// 32 of them, all entries of the namespace are read until there are enough.
func (s *Store) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) (entries []backend.JournalEntry, err error) {
	const op = "read newest"
	if err := backend.CheckPage(0, limit); err != nil {
		return nil, s.failed(op, prefix, err)
	}
	err = s.journal.read(ctx, op, prefix, func(ctx context.Context, l layout) error {
		page, err := s.journal.newest(ctx, l, prefix, before, limit)
		if err == nil {
			entries = page
		}
		return err
	})
	return entries, err
}

// fewStreams is how many streams a read of the newest entries reads one by one.
const fewStreams = 32

func (j *journal) newest(ctx context.Context, l layout, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	filter := prefixFilter(prefix)
	fence, err := j.fence(ctx, l, filter)
	if err != nil {
		return nil, err
	}
	end := fence
	if fence == 0 {
		last, _, err := j.ask(ctx, request{Last: j.prefix + filter})
		if err != nil || len(last) == 0 {
			return nil, readFailedIf(err)
		}
		end = last[0].entry.Position + 1
	}
	if before != 0 {
		end = min(end, before)
	}
	whole := prefix == "" || strings.IndexByte(prefix, '/') == len(prefix)-1
	if whole {
		b := backwards{j: j, filter: filter, fence: fence, end: end}
		return b.read(ctx, limit)
	}
	counts, err := j.counts(ctx, filter, fence)
	if err != nil {
		return nil, err
	}
	streams := map[string]bool{}
	for name := range counts {
		if stream, _, ok := streamOf(name); ok && strings.HasPrefix(stream, prefix) {
			streams[stream] = true
		}
	}
	if len(streams) > fewStreams {
		b := backwards{j: j, filter: filter, prefix: prefix, fence: fence, end: end}
		return b.read(ctx, limit)
	}
	var all []backend.JournalEntry
	for stream := range streams {
		filter := streamFilter(stream)
		fence, err := j.fence(ctx, l, filter)
		if err != nil {
			return nil, err
		}
		b := backwards{j: j, filter: filter, fence: fence, end: end}
		page, err := b.read(ctx, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	slices.SortFunc(all, func(a, b backend.JournalEntry) int { return cmp.Compare(b.Position, a.Position) })
	return all[:min(len(all), limit)], nil
}

func readFailedIf(err error) error {
	if err != nil {
		return readFailed(err)
	}
	return nil
}
