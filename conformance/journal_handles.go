package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"pgregory.net/rapid"

	"github.com/ailease/lease/backend"
)

// The properties of a journal that is open twice, of one that has crashed, and of one that closes.

func journalElsewhere(s *subject, t *rapid.T) {
	handles := s.handles()
	streams := s.journalStreamNames()
	n := &notes{}
	for range rapid.IntRange(2, 6).Draw(t, "calls") {
		i := rapid.IntRange(0, 1).Draw(t, "handle")
		one, other := handles[i], handles[1-i]
		batch := drawNotes(t, streams)
		before := n.last()
		one.add(batch...)
		n.s = other
		n.learn(before, batch)
		n.checkNewest(s.id, 0, backend.MaxJournalBatch)
		n.checkStreams(s.id, 0, backend.MaxJournalBatch)
		n.add(batch[0]) // its id, if it has one, is taken here too
		n.s = one
		n.checkStream(batch[0].Stream, 0, backend.MaxJournalBatch)
	}
}

func journalRaceOfHandles(s *subject, t *rapid.T) {
	handles := s.handles()
	either := func(i int) *subject { return handles[i%2] }
	callers := rapid.IntRange(2, 5).Draw(t, "callers")
	s.raceOfIDs(callers, either)
	s.appendTogether(callers, rapid.IntRange(1, 3).Draw(t, "calls"), either)
	s.freshJournal(4, 2, handles[0], handles[1])
}

// journalCrash takes a store's time, and so is done a few times only.
func journalCrash(s *subject) {
	n := &notes{s: s}
	streams := s.journalStreamNames()
	for round := range 3 {
		for i := range 4 {
			id := fmt.Sprint(round, " ", i)
			n.add(note(streams[i], id, "1"), note(streams[i+1], "", "2"), note(streams[i], "", "3"))
		}
		s.step("the store crashes, and is opened again")
		done := s.waiting(aReopening, "the store has not been opened again")
		s.b = s.reopen(s.b)
		done()
		for _, stream := range streams {
			n.checkStream(stream, 0, backend.MaxJournalBatch)
		}
		n.checkNewest(s.id, 0, backend.MaxJournalBatch)
		n.checkStreams(s.id, 0, backend.MaxJournalBatch)
		n.add(note(streams[0], fmt.Sprint(round, " 0"), "again")) // its id is taken still
	}
}

// journalClosed closes the store while others append, and then tries every call. The store cannot
// be used again, so this is done once.
func journalClosed(s *subject) {
	const callers = 4
	stream, late := s.key("ns/a"), s.key("ns/late")
	s.add(note(stream, "", "before"))
	writers := make([]*closeAppender, callers)
	var begun sync.WaitGroup
	begun.Add(callers)
	all := make(chan struct{})
	go func() { begun.Wait(); close(all) }()
	var isClosed atomic.Bool
	s.together(callers+1, func(i int) {
		if i < callers {
			writers[i] = &closeAppender{stream: s.key(fmt.Sprint("ns/writer", i))}
			writers[i].run(s, &isClosed, sync.OnceFunc(begun.Done))
			return
		}
		s.await(all)
		s.close("while others append")
		isClosed.Store(true)
	})
	j := s.journal()
	s.saysClosed("Append", func(ctx context.Context) error {
		return j.Append(ctx, []backend.JournalEntry{note(late, "", "late")})
	})
	s.saysClosed("ReadStream", func(ctx context.Context) error { _, err := j.ReadStream(ctx, stream, 0, 1); return err })
	s.saysClosed("ReadNewest", func(ctx context.Context) error { _, err := j.ReadNewest(ctx, s.id, 0, 1); return err })
	s.saysClosed("Streams", func(ctx context.Context) error { _, _, err := j.Streams(ctx, s.id, 0, 1); return err })
	if s.second == nil {
		return
	}
	other := s.through(s.second, "second handle")
	if _, err := s.second.Get(s.ctx, stream); errors.Is(err, backend.ErrClosed) {
		return // it is the same handle, which all share
	}
	other.mustEqual("ReadStream "+show(stream), other.readStream(stream, 0, 2), []backend.JournalEntry{note(stream, "", "before")})
	if page := other.readStream(late, 0, 1); len(page) > 0 {
		s.broken("an Append after Close was refused, and added %s", showNotes(page))
	}
	for _, w := range writers {
		w.check(other)
	}
}

// closeAppender appends to one stream until the store is closed.
type closeAppender struct {
	stream  string
	known   int  // entries that were acknowledged
	unknown bool // whether there is another, whose outcome is unknown
}

func (w *closeAppender) run(s *subject, isClosed *atomic.Bool, begun func()) {
	for {
		late := isClosed.Load() // whether Close returned before the call began
		done := s.waiting(aCall, "Append to %s, while the store is closed, has not returned", show(w.stream))
		err := s.journal().Append(s.ctx, []backend.JournalEntry{note(w.stream, "", fmt.Sprint(w.known))})
		done()
		begun()
		if err != nil {
			s.step("Append to %s while the store is closed -> %v", show(w.stream), err)
		}
		switch {
		case late:
			s.mustBeClosed("Append", err)
			return
		case err == nil:
			w.known++
		case errors.Is(err, backend.ErrInvalid):
			s.broken("Append to %s failed: %v", show(w.stream), err)
		case errors.Is(err, backend.ErrClosed):
			return
		case errors.Is(err, backend.ErrUnavailable): // nothing was added: it is tried again
		default:
			w.unknown = true
			return
		}
	}
}

// check looks from elsewhere at what the writer has left.
func (w *closeAppender) check(s *subject) {
	all := s.readAll(w.stream, 0, backend.MaxJournalBatch)
	if len(all) == w.known+1 && w.unknown {
		all = all[:w.known]
	}
	var want []backend.JournalEntry
	for i := range w.known {
		want = append(want, note(w.stream, "", fmt.Sprint(i)))
	}
	s.mustEqual("ReadStream of a stream, to whose writer so much was acknowledged,", all, want)
}
