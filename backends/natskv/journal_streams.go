package natskv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
)

// Streams returns the streams whose name begins with prefix, as [backend.Journal] says. It asks the
// leader for all subjects of the namespace, or of the journal if prefix has no slash. The page is
// looked for among the newest 1 000 entries. If it is not there, Streams reads the last entry of
// every stream. The names of all streams are held in memory while it runs.
func (s *Store) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	const op = "streams"
	if err := backend.CheckPage(offset, limit); err != nil {
		return nil, 0, s.failed(op, prefix, err)
	}
	err = s.journal.read(ctx, op, prefix, func(ctx context.Context, l layout) error {
		q := streamQuery{j: s.journal, prefix: prefix, filter: prefixFilter(prefix)}
		all, err := q.run(ctx, l, offset, limit)
		if err == nil {
			page, total = all, len(q.streams)
		}
		return err
	})
	return page, total, err
}

// streamQuery is one call of Streams.
type streamQuery struct {
	j      *journal
	prefix string
	filter string
	fence  uint64

	names   []string // the ends of all subjects
	streams map[string]*streamFound
}

type streamFound struct {
	stream string
	count  int
	last   stored
}

// fewSubjects is how many subjects have their last messages read at once.
const fewSubjects = mostNames

func (q *streamQuery) run(ctx context.Context, l layout, offset, limit int) (page []backend.StreamInfo, err error) {
	if q.fence, err = q.j.fence(ctx, l, apart); err != nil {
		return nil, err
	}
	if err := q.count(ctx); err != nil {
		return nil, err
	}
	end := min(offset+limit, len(q.streams))
	if offset >= end {
		return nil, nil
	}
	var sorted []*streamFound
	if len(q.names) > fewSubjects {
		if sorted, err = q.newest(ctx, l, end); err != nil {
			return nil, err
		}
	}
	if len(sorted) < end {
		if sorted, err = q.all(ctx); err != nil {
			return nil, err
		}
		end = min(end, len(sorted)) // some may have expired meanwhile
		if offset >= end {
			return nil, nil
		}
		if err := q.fill(ctx, sorted[offset:end]); err != nil {
			return nil, err
		}
	}
	for _, s := range sorted[offset:end] {
		if s.last.entry.Position != 0 {
			page = append(page, backend.StreamInfo{Stream: s.stream, Count: s.count, Last: s.last.entry})
		}
	}
	return page, nil
}

// count asks for all subjects, and counts the entries of each stream.
func (q *streamQuery) count(ctx context.Context) error {
	counts, err := q.j.counts(ctx, q.filter, q.fence)
	q.streams = map[string]*streamFound{}
	for name, count := range counts {
		stream, _, ok := streamOf(name)
		if !ok || !strings.HasPrefix(stream, q.prefix) {
			continue
		}
		q.names = append(q.names, name)
		s := q.streams[stream]
		if s == nil {
			s = &streamFound{stream: stream}
			q.streams[stream] = s
		}
		s.count += count
	}
	return err
}

// counts returns how many messages there are of each name that filter selects.
func (j *journal) counts(ctx context.Context, filter string, fence uint64) (map[string]int, error) {
	counts := map[string]int{}
	_, err := allPages(func(offset int) ([]string, int, error) {
		subjects, total, err := j.s.subjectsOf(ctx, j.stream, j.prefix+filter, offset, fence)
		page := make([]string, 0, len(subjects))
		for subject, count := range subjects {
			name := subject[len(j.prefix):]
			counts[name] = int(count)
			page = append(page, name)
		}
		return page, total, err
	}, pageOverlap)
	if err != nil {
		return nil, j.s.hinted(readFailed(err))
	}
	return counts, nil
}

// newest returns the streams that have the newest entries, if there are enough of them.
func (q *streamQuery) newest(ctx context.Context, l layout, enough int) (sorted []*streamFound, err error) {
	entries, err := q.j.newest(ctx, l, q.prefix, 0, backend.MaxJournalBatch)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if s := q.streams[e.Stream]; s != nil && s.last.entry.Position == 0 && len(sorted) < enough {
			s.last.entry = e
			sorted = append(sorted, s)
		}
	}
	return sorted, nil
}

// all returns all streams with the numbers of their last entries, the newest first. It does not
// hold what is in the entries: that may be gigabytes.
func (q *streamQuery) all(ctx context.Context) (sorted []*streamFound, err error) {
	for _, s := range q.streams {
		s.last = stored{}
	}
	err = q.j.lasts(ctx, q.fence, q.names, func(one stored) {
		if s := q.streams[one.entry.Stream]; s != nil && one.entry.Position > s.last.entry.Position {
			one.entry.Data = nil
			s.last = one
		}
	})
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(q.streams, func(_ string, s *streamFound) bool { return s.last.entry.Position == 0 })
	sorted = slices.Collect(maps.Values(q.streams))
	newestFirst(sorted)
	return sorted, nil
}

func newestFirst(streams []*streamFound) {
	slices.SortFunc(streams, func(a, b *streamFound) int { return cmp.Compare(b.last.entry.Position, a.last.entry.Position) })
}

// fill reads what is in the last entries of a page.
func (q *streamQuery) fill(ctx context.Context, page []*streamFound) error {
	byName := map[string]*streamFound{}
	for _, s := range page {
		byName[s.last.name] = s
		s.last.entry.Position = 0
	}
	err := q.j.lasts(ctx, q.fence, slices.Collect(maps.Keys(byName)), func(one stored) {
		if s := byName[one.name]; s != nil {
			s.last = one
		}
	})
	for _, s := range page {
		if s.last.entry.Position == 0 { // expired meanwhile
			delete(q.streams, s.stream)
		}
	}
	newestFirst(page) // entries may have been added meanwhile
	return err
}

// mostNameBytes bounds the names in one request. A server takes 1 MiB unless configured.
const mostNameBytes = 256 << 10

// lasts visits the last message under each name, as far as there is one. The server that answers
// has the fence with this number.
func (j *journal) lasts(ctx context.Context, fence uint64, names []string, visit func(stored)) error {
	for len(names) > 0 {
		n, size := 0, 0
		for n < min(len(names), mostNames) && size < mostNameBytes {
			size += len(names[n])
			n++
		}
		if err := j.lastsOfSome(ctx, fence, names[:n], visit); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

func (j *journal) lastsOfSome(ctx context.Context, fence uint64, names []string, visit func(stored)) error {
	subjects := make([]string, 0, len(names)+1)
	for _, name := range names {
		subjects = append(subjects, j.prefix+name)
	}
	if fence != 0 {
		subjects = append(subjects, j.prefix+fenceOf(apart))
	}
	for p := (pauses{}); ; {
		found, more, err := j.ask(ctx, request{LastOf: subjects, MaxBytes: mostBytes})
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return readFailed(err)
		case err == nil && more != 0 && len(names) > 1: // the server cut its answer
			half := len(names) / 2
			if err := j.lastsOfSome(ctx, fence, names[:half], visit); err != nil {
				return err
			}
			return j.lastsOfSome(ctx, fence, names[half:], visit)
		case err == nil:
			if fence == 0 || shows(found, fence) {
				for _, one := range found {
					visit(one)
				}
				return nil
			}
			err = errNoLeader
		}
		if p.wait(ctx) != nil {
			return fmt.Errorf("%w: %w", j.s.hinted(readFailed(ctx.Err())), err)
		}
	}
}
