package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of a journal whose callers lose patience.

func journalEndedContext(s *subject, t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	want := context.Canceled
	if rapid.Bool().Draw(t, "deadline") {
		ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
		want = context.DeadlineExceeded
	}
	cancel()
	n := &notes{s: s}
	stream := s.key("a")
	n.add(note(stream, "1", "before"))
	s.says("Append", s.tryAppend(ctx, note(stream, "2", "late")), want)
	s.says("Append to a new stream", s.tryAppend(ctx, note(s.key("b"), "", "late")), want)
	_, err := s.tryReadStream(ctx, stream, 0, 1)
	s.says("ReadStream", err, want)
	_, err = s.tryReadNewest(ctx, s.id, 0, 1)
	s.says("ReadNewest", err, want)
	_, _, err = s.tryStreams(ctx, s.id, 0, 1)
	s.says("Streams", err, want)
	n.checkNewest(s.id, 0, 10)
	n.checkStreams(s.id, 0, 10)
}

// cutAppend is an Append whose context ends.
type cutAppend struct {
	stream  string
	entries []backend.JournalEntry
	err     error
}

// journalCutShort ends the context of appends somewhere in their midst.
func journalCutShort(s *subject, t *rapid.T) {
	const callers = 4
	size := rapid.SampledFrom([]int{8, 300, 20_000}).Draw(t, "bytes")
	percent := rapid.IntRange(0, 200).Draw(t, "percent of a call")
	deadline := rapid.Bool().Draw(t, "deadline")
	all := make([]*cutAppend, callers)
	for i := range all {
		c := &cutAppend{stream: s.key(fmt.Sprint("cut/", i))}
		for k := range 3 {
			id := ""
			if k == 1 {
				id = "id"
			}
			c.entries = append(c.entries, note(c.stream, id, string(bytes.Repeat([]byte{byte('a' + k)}, size))))
		}
		all[i] = c
	}
	stands := s.key("stands")
	pause := time.Duration(percent) * s.longestOf(
		func() { s.add(slices.Repeat([]backend.JournalEntry{note(stands, "", "before")}, 3)...) },
		func() { s.readStream(stands, 0, 3) },
	) / 100
	ctx, ends := s.endsAfter(pause, deadline)
	calls := []func(){ends, func() {
		_, err := s.tryReadStream(ctx, stands, 0, 3)
		s.mayBeCut("ReadStream", err, ctx)
	}, func() {
		_, _, err := s.tryStreams(ctx, s.id, 0, 3)
		s.mayBeCut("Streams", err, ctx)
	}, func() {
		s.add(note(s.key("bystander"), "", "1")) // by one whose context does not end
	}}
	for _, c := range all {
		calls = append(calls, func() {
			given := slices.Clone(c.entries)
			for i := range given {
				given[i].Data = bytes.Clone(given[i].Data)
			}
			c.err = s.tryAppend(ctx, given...)
			for i := range given { // they are the caller's again
				clear(given[i].Data)
				given[i] = backend.JournalEntry{}
			}
			s.mayBeCut("Append", c.err, ctx)
		})
	}
	s.together(len(calls), func(i int) { calls[i]() })
	for _, c := range all {
		c.judge(s)
		s.later = append(s.later, lateLook{s, c.judge})
	}
	if page := s.readStream(s.key("bystander"), 0, 2); len(page) != 1 {
		s.broken("the stream of one whose context did not end holds %s", showNotes(page))
	}
}

// judge fails the case unless the stream holds what the answer allows.
func (c *cutAppend) judge(s *subject) {
	page := s.readStream(c.stream, 0, 10)
	switch {
	case c.err == nil:
		s.mustEqual(fmt.Sprintf("ReadStream %s after an Append that succeeded", show(c.stream)), page, c.entries)
	case errors.Is(c.err, backend.ErrUnavailable):
		if len(page) > 0 {
			s.broken("Append to %s said %q, which means that nothing is added, but the stream holds %s", show(c.stream), c.err, showNotes(page))
		}
	default: // some of them, in their order
		rest := c.entries
		for _, e := range page {
			i := slices.IndexFunc(rest, func(w backend.JournalEntry) bool { return w.ID == e.ID && bytes.Equal(w.Data, e.Data) })
			if i < 0 {
				s.broken("Append to %s that was cut short left %s", show(c.stream), showNotes(page))
			}
			rest = rest[i+1:]
		}
	}
}
