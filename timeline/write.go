package timeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// item is an entry on its way, or the mark of a Flush, which has no entry.
type item struct {
	entry   Entry
	version uint64 // see note
	call    *call  // nil of a note
	marks   bool
}

// call is one Append or Flush. The Store's mu guards it.
type call struct {
	done    chan struct{} // closed when all its items are settled
	left    int           // how many are not
	err     error         // once done is closed
	sent    bool          // with entries that are with the journal just now
	unknown bool          // entries may be in the journal, or may still come there
	gone    bool          // nobody waits any more: what was not sent never will be
}

func newCall(items int) *call { return &call{done: make(chan struct{}), left: items} }

// enough items are written without gathering more.
const enough = backend.MaxJournalBatch / 2

// gatherFor is how long notes wait for others, unless somebody waits for them: a write costs the
// store about the same with one entry as with a hundred.
const gatherFor = 100 * time.Millisecond

// wait hands items over to the writer and waits for them.
func (s *Store) wait(ctx context.Context, c *call, items []item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed && !items[0].marks {
		s.mu.Unlock()
		return errClosed
	}
	if items[0].marks && !s.running && len(s.queue) == 0 {
		s.mu.Unlock()
		return nil
	}
	s.queue, s.urgent = append(s.queue, items...), true
	s.start()
	s.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.left == 0 {
		return c.err
	}
	// While the store is away, others come and go: what nobody waits for must not pile up.
	s.queue = slices.DeleteFunc(s.queue, func(i item) bool { return i.call == c })
	switch {
	case c.sent, c.unknown:
		c.gone = true
		return fmt.Errorf("%w: %w", lease.ErrUnknownOutcome, ctx.Err())
	case s.away != nil:
		c.gone = true
		return fmt.Errorf("%w: %w: %w", lease.ErrUnavailable, ctx.Err(), s.away)
	}
	c.gone = true
	return ctx.Err()
}

var errClosed = fmt.Errorf("%w: %w", lease.ErrUnavailable, backend.ErrClosed)

// settle says what became of n items of c. The first error stands.
func (c *call) settle(n int, err error) {
	if c.err == nil {
		c.err = err
	}
	if c.left -= n; c.left == 0 {
		close(c.done)
	}
}

// arrange moves the last item of the queue to where it belongs. Events are told by those who have
// caused them, each after its write, and the next may be faster. The caller holds mu.
func (s *Store) arrange() {
	q := s.queue
	last := &q[len(q)-1]
	to := len(q) - 1
	for i := to - 1; i >= 0 && q[i].version > 0 && !q[i].entry.Time.Before(last.entry.Time); i-- {
		if q[i].follows(last) {
			to = i
		}
	}
	if to < len(q)-1 {
		moved := *last
		copy(q[to+1:], q[to:])
		q[to] = moved
	}
}

// follows tells whether i happened after other, which did not happen later.
func (i *item) follows(other *item) bool {
	a, b := &i.entry, &other.entry
	return a.Time.After(b.Time) || i.version > other.version && a.Key == b.Key && a.Namespace == b.Namespace
}

// start has the writer run at once. The caller holds mu.
func (s *Store) start() {
	if s.running {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.running, s.timer, s.ended = true, nil, make(chan struct{})
	go s.write()
}

// gathered starts the writer unless it was started before.
func (s *Store) gathered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer = nil; len(s.queue) > 0 {
		s.start()
	}
}

// write is the writer. It ends when what is left had better gather first.
func (s *Store) write() {
	b := &s.batch
	for first := true; s.take(b, first); first = false {
		b.encode(s.keep)
		s.put(b, 0, len(b.items))
		b.clear()
	}
}

// batch is what the writer has in hand. Its memory is used again.
type batch struct {
	items   []item
	data    []byte
	ends    []int                  // of items: where its data ends
	entries []backend.JournalEntry // of items, in the same places
	sending []backend.JournalEntry
	open    []bool // of items: not settled yet
}

// mostIdle bounds the data that a batch keeps room for.
const mostIdle = 1 << 20

// clear lets go of all that b refers to.
func (b *batch) clear() {
	clear(b.items)
	clear(b.entries)
	clear(b.sending[:cap(b.sending)])
	if cap(b.data) > mostIdle {
		b.data = nil
	}
}

// hasCalls tells whether entries of Append are among the items. The write was for them then, and
// notes have shared it.
func (b *batch) hasCalls(from, to int) bool {
	return slices.ContainsFunc(b.items[from:to], func(i item) bool { return i.call != nil && !i.marks })
}

// take moves the next items from the queue to b, if they are worth a write.
func (s *Store) take(b *batch, first bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.queue)
	if !first && n < enough && !s.urgent {
		if s.running = false; n > 0 {
			s.timer = time.AfterFunc(gatherFor, s.gathered)
		}
		close(s.ended)
		return false
	}
	if n <= backend.MaxJournalBatch {
		b.items, s.queue, s.urgent = s.queue, b.items[:0], false
		return true
	}
	b.items = append(b.items[:0], s.queue[:backend.MaxJournalBatch]...)
	left := copy(s.queue, s.queue[backend.MaxJournalBatch:])
	clear(s.queue[left:])
	s.queue = s.queue[:left]
	return true
}

func (b *batch) encode(keep time.Duration) {
	b.entries, b.open, b.data, b.ends = b.entries[:0], b.open[:0], b.data[:0], b.ends[:0]
	for i := range b.items {
		if !b.items[i].marks {
			b.data = b.items[i].entry.appendJSON(b.data)
		}
		b.ends = append(b.ends, len(b.data))
	}
	begin := 0
	for i := range b.items {
		e := &b.items[i].entry
		b.open = append(b.open, true)
		b.entries = append(b.entries, backend.JournalEntry{ID: e.ID, Data: b.data[begin:b.ends[i]:b.ends[i]], Keep: keep})
		if !b.items[i].marks {
			b.entries[i].Stream = stream(e.Namespace, e.RunID)
		}
		begin = b.ends[i]
	}
}

// sendFor bounds one try. What comes of it later is unknown.
const sendFor = 5 * time.Second

// put writes the items from one to another, until all of them are settled.
func (s *Store) put(b *batch, from, to int) {
	pause := 20 * time.Millisecond
	for s.ready(b, from, to) {
		if s.ctx.Err() != nil {
			s.settle(b, from, to, errClosed, always)
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, sendFor)
		began := time.Now()
		err := s.journal.Append(ctx, b.sending)
		cancel()
		switch {
		case err == nil:
			if !b.hasCalls(from, to) {
				s.rate.spent(time.Since(began), len(b.sending))
			}
			s.settle(b, from, to, nil, always)
			s.over()
			return
		case errors.Is(err, backend.ErrInvalid) && len(b.sending) > 1: // one of them, perhaps
			middle := (from + to) / 2
			s.put(b, from, middle)
			s.put(b, middle, to)
			return
		case errors.Is(err, backend.ErrInvalid):
			s.settle(b, from, to, fmt.Errorf("%w: %w", lease.ErrInvalid, err), always)
			return
		case errors.Is(err, backend.ErrClosed):
			s.began(err)
			s.settle(b, from, to, fmt.Errorf("%w: %w", lease.ErrUnavailable, err), always)
			return
		case errors.Is(err, backend.ErrUnavailable):
			s.failedSend(b, from, to, err, false)
		default:
			s.failedSend(b, from, to, err, true)
			s.settle(b, from, to, fmt.Errorf("%w: %w", lease.ErrUnknownOutcome, err), hasNoID)
		}
		s.began(err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
		}
		pause = min(2*pause, time.Second)
	}
}

func always(*item) bool { return true }

// hasNoID tells whether the journal would add the item a second time.
func hasNoID(i *item) bool { return !i.marks && i.entry.ID == "" }

// ready collects what is to be sent. If there is nothing, the items are settled.
func (s *Store) ready(b *batch, from, to int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.sending = b.sending[:0]
	for i := from; i < to; i++ {
		one := &b.items[i]
		switch {
		case !b.open[i] || one.marks:
		case one.call != nil && one.call.gone:
			b.open[i] = false
			one.call.settle(1, nil)
		default:
			b.sending = append(b.sending, b.entries[i])
			if one.call != nil {
				one.call.sent = true
			}
		}
	}
	if len(b.sending) == 0 {
		s.settleLocked(b, from, to, nil, always)
	}
	return len(b.sending) > 0
}

// failedSend notes that a try has failed.
func (s *Store) failedSend(b *batch, from, to int, err error, unknown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
	for i := from; i < to; i++ {
		if c := b.items[i].call; c != nil && b.open[i] && !b.items[i].marks {
			c.sent = false
			c.unknown = c.unknown || unknown
		}
	}
}

// settle says that nothing more happens to the items that are of a kind.
func (s *Store) settle(b *batch, from, to int, err error, of func(*item) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(b, from, to, err, of)
}

func (s *Store) settleLocked(b *batch, from, to int, err error, of func(*item) bool) {
	for i := from; i < to; i++ {
		one := &b.items[i]
		if !b.open[i] || !of(one) {
			continue
		}
		b.open[i] = false
		switch {
		case one.marks:
			one.call.settle(1, nil)
		case one.call != nil && one.call.unknown && err != nil && !errors.Is(err, lease.ErrUnknownOutcome):
			one.call.settle(1, fmt.Errorf("%w: %w", lease.ErrUnknownOutcome, err))
		case one.call != nil:
			one.call.unknown = one.call.unknown || err == nil // the others are not known to be added
			one.call.settle(1, err)
		default:
			s.waiting, s.bytes = s.waiting-1, s.bytes-one.entry.weight()
			if err != nil {
				s.drop(1)
			}
		}
	}
}
