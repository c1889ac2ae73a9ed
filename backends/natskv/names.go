package natskv

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// pageOverlap is how many names of a page are asked for again with the next: more than are apt to
// vanish in between.
const pageOverlap = 1000

// names returns the names that selector selects, also those of deleted entries. The server that
// answers has the fence with number least. The server sends names sorted, a hundred thousand at a
// time.
func (s *Store) names(ctx context.Context, selector string, least uint64) ([]string, error) {
	subjects, err := allPages(func(offset int) ([]string, int, error) { return s.page(ctx, selector, offset, least) }, pageOverlap)
	if err != nil {
		return nil, s.hinted(readFailed(err))
	}
	for i, subject := range subjects {
		subjects[i] = subject[len(s.prefix):]
	}
	return subjects, nil
}

// allPages reads a sorted list page by page while it changes. If names vanish from the front, those
// that follow move up, and some would fall between two pages. So pages overlap. One that does not
// begin within what is known is asked for again from further ahead. A name that is there all the
// while is returned.
func allPages(page func(offset int) (names []string, total int, err error), overlap int) ([]string, error) {
	var all []string
	back := overlap
	for offset := 0; ; {
		names, total, err := page(offset)
		if err != nil {
			return nil, err
		}
		slices.Sort(names)
		if offset > 0 && (len(names) == 0 || names[0] > all[len(all)-1]) {
			offset = max(0, offset-back)
			back *= 2
			continue
		}
		back = overlap
		known := 0
		if len(all) > 0 {
			last := all[len(all)-1]
			known, _ = slices.BinarySearch(names, last)
			if known < len(names) && names[known] == last {
				known++
			}
		}
		all = append(all, names[known:]...)
		if offset+len(names) >= total {
			return all, nil
		}
		offset += max(1, len(names)-overlap)
	}
}

// page returns a page of names, with the bucket's prefix.
func (s *Store) page(ctx context.Context, selector string, offset int, least uint64) (subjects []string, total int, err error) {
	found, total, err := s.subjectsOf(ctx, streamName(s.bucket), s.prefix+selector, offset, least)
	return slices.Collect(maps.Keys(found)), total, err
}

// subjectsOf returns a page of the subjects that filter selects, and how many messages each has. It
// asks the stream's leader, and refuses the answer of one that has not come as far as least. The
// client library can only ask for all pages at once.
func (s *Store) subjectsOf(ctx context.Context, stream, filter string, offset int, least uint64) (subjects map[string]uint64, total int, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	request, err := json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset})
	if err != nil {
		return nil, 0, err
	}
	answer, err := s.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.INFO."+stream, request)
	if err != nil {
		return nil, 0, err
	}
	var info struct {
		Error *jetstream.APIError `json:"error"`
		Total int                 `json:"total"`
		State struct {
			LastSeq  uint64            `json:"last_seq"`
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return nil, 0, fmt.Errorf("the server's answer: %w", err)
	}
	if info.Error != nil {
		return nil, 0, info.Error
	}
	if info.State.LastSeq < least {
		return nil, 0, errNoLeader
	}
	return info.State.Subjects, info.Total, nil
}
