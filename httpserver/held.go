package httpserver

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ailease/lease"
)

// The memory of requests is bounded in two ways. Bodies and answers stay in memory while a client
// is slow: their bytes are counted. A call to the store takes more, for a moment: the calls are
// counted.
//
// The first freeBytes of each body, counted twice, and of each answer are free. They are about what
// the connection itself takes. So extensions, releases and short completions are served however
// much other requests hold, and no lease is lost for want of memory.
const freeBytes = 8 << 10

// bodyWeight is how often a body is counted: once as it was sent, and once more as the parts that
// are stored.
const bodyWeight = 2

// acquireAnswerBytes is the longest answer to an acquire: a checkpoint of 64 KiB, metadata, and the
// rest. It is asked for before the lease is acquired. If the answer were refused afterwards, nobody
// would know of the lease.
const acquireAnswerBytes = 72 << 10

// resultAnswerBytes must be free before the store is asked for a result. It is the longest answer
// unless the Manager's options say otherwise.
const resultAnswerBytes = 264 << 10

// callBytes is what a call to the store may take: a record with the longest result and checkpoint,
// as it was read, as it was decoded, and as it is encoded for the answer.
const callBytes = 512 << 10

// timelineCallBytes is what the reading of a timeline may take in the same way: a page of the
// journal, the entries, and the answer.
const timelineCallBytes = 4 * timelineAnswerBytes

// held counts what the requests of a handler hold.
type held struct {
	most  int64
	now   atomic.Int64
	turns [4]chan struct{} // each has one for each call to the store that is under way
}

// Holders have turns of their own: however many others ask, no lease is lost because its holder's
// extension comes too late. Timelines have theirs: with the journal alone away, leases go on.
const (
	turnOfAnybody = iota
	turnOfHolder
	turnOfEvent  // that is posted
	turnOfReader // of a timeline
)

func (h *held) init(most int64) {
	h.most = most
	for kind := range h.turns {
		bytes := int64(callBytes)
		if kind == turnOfReader {
			bytes = timelineCallBytes
		}
		h.turns[kind] = make(chan struct{}, max(1, most/bytes))
	}
}

// share is what one request holds.
type share struct {
	of   *held
	n    int64
	turn chan struct{} // to call the store; nil if it has none
}

// grow makes the share n bytes less the free ones, and reports whether there is room. A share that
// becomes smaller always has room.
func (s *share) grow(n int64) bool {
	n = max(0, n-freeBytes)
	if s.of.now.Add(n-s.n) > s.of.most && n > s.n {
		s.of.now.Add(s.n - n)
		return false
	}
	s.n = n
	return true
}

// begin waits for a turn to call the store. Calls never wait for a client, so each turn comes as
// soon as the store has answered the calls before it.
func (s *share) begin(ctx context.Context, kind int) error {
	turns := s.of.turns[kind]
	select {
	case turns <- struct{}{}:
		s.turn = turns
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %d calls to the store did not end in time for another: %w", lease.ErrUnavailable, cap(turns), ctx.Err())
	}
}

// end lets the next call to the store begin.
func (s *share) end() {
	if s.turn != nil {
		<-s.turn
		s.turn = nil
	}
}

// drop gives the share back.
func (s *share) drop() {
	s.end()
	s.grow(0)
}
