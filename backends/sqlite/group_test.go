package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
)

// The group's rules are shown with a transaction that does what the test says, in a bubble where
// waiting is exact. That the real one obeys them is shown in writer_test.go.

// script is a transaction whose begin and finish wait to be let on.
type script struct {
	*group
	begin, finish chan error // one message lets one step on; begin fails with the error
	batches       [][]string // keys of each transaction, in order
}

func newScript() *script {
	s := &script{begin: make(chan error), finish: make(chan error)}
	s.group = newGroup(func(ctx context.Context) error {
		select {
		case err := <-s.begin:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}, func(batch []*request) {
		var keys []string
		for _, r := range batch {
			keys = append(keys, r.key)
		}
		s.batches = append(s.batches, keys)
		err := <-s.finish
		for i, r := range batch {
			r.revision, r.err = uint64(i+1), err
		}
	})
	return s
}

// call is a request under way.
type call struct {
	request
	err    error
	done   bool
	cancel context.CancelFunc
}

func (s *script) start(key string) *call {
	ctx, cancel := context.WithCancel(context.Background())
	c := &call{request: request{key: key, value: []byte("v")}, cancel: cancel}
	go func() {
		c.err = s.do(ctx, &c.request)
		c.done = true
	}()
	synctest.Wait()
	return c
}

func (s *script) letBegin(err error) {
	s.begin <- err
	synctest.Wait()
}

func (s *script) letFinish(err error) {
	s.finish <- err
	synctest.Wait()
}

func (s *script) wantBatches(t *testing.T, want ...[]string) {
	t.Helper()
	if !slices.EqualFunc(s.batches, want, slices.Equal) {
		t.Errorf("transactions %v, want %v", s.batches, want)
	}
}

func TestGroup(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *script)
	}{
		{"who waits while a transaction is under way goes into the next together", func(t *testing.T, s *script) {
			a := s.start("a")
			s.letBegin(nil)
			b, c := s.start("b"), s.start("c")
			s.letFinish(nil)
			if !a.done || b.done || c.done {
				t.Error("not exactly the first was answered")
			}
			s.letBegin(nil)
			s.letFinish(nil)
			if !b.done || !c.done || b.revision != 1 || c.revision != 2 {
				t.Error("the others were not answered, each with its own verdict")
			}
			s.wantBatches(t, []string{"a"}, []string{"b", "c"})
		}},
		{"who comes while the lock is waited for joins", func(t *testing.T, s *script) {
			s.start("a")
			s.start("b")
			s.letBegin(nil)
			s.letFinish(nil)
			s.wantBatches(t, []string{"a", "b"})
		}},
		{"if the lock cannot be had, all who wait are told that nothing was written", func(t *testing.T, s *script) {
			a, b := s.start("a"), s.start("b")
			s.letBegin(errors.New("busy"))
			for _, c := range []*call{a, b} {
				if !c.done || !errors.Is(c.err, backend.ErrUnavailable) {
					t.Errorf("%s: %v", c.key, c.err)
				}
			}
			s.wantBatches(t)
		}},
		{"a failed transaction fails for all of its batch and for nobody else", func(t *testing.T, s *script) {
			a, b := s.start("a"), s.start("b")
			s.letBegin(nil)
			c := s.start("c")
			broken := errors.New("broken")
			s.letFinish(broken)
			s.letBegin(nil)
			s.letFinish(nil)
			if a.err != broken || b.err != broken || c.err != nil || !c.done {
				t.Errorf("a %v, b %v, c %v", a.err, b.err, c.err)
			}
		}},
		{"a request that waits is withdrawn with its context, and never written", func(t *testing.T, s *script) {
			s.start("a")
			s.letBegin(nil)
			b, c := s.start("b"), s.start("c")
			b.cancel()
			synctest.Wait()
			if !b.done || !errors.Is(b.err, context.Canceled) || !errors.Is(b.err, backend.ErrUnavailable) {
				t.Errorf("b: %v", b.err)
			}
			s.letFinish(nil)
			s.letBegin(nil)
			s.letFinish(nil)
			if !c.done || c.err != nil {
				t.Errorf("c: %v", c.err)
			}
			s.wantBatches(t, []string{"a"}, []string{"c"})
		}},
		{"a request in a transaction has an unknown outcome when its context ends", func(t *testing.T, s *script) {
			a, b := s.start("a"), s.start("b")
			s.letBegin(nil)
			b.cancel()
			synctest.Wait()
			if !b.done || b.err != context.Canceled || errors.Is(b.err, backend.ErrUnavailable) {
				t.Errorf("b: %v", b.err)
			}
			s.letFinish(nil)
			if !a.done || a.err != nil {
				t.Errorf("a: %v", a.err)
			}
			s.wantBatches(t, []string{"a", "b"})
		}},
		{"a leader whose context ends while it waits for the lock passes the lead on", func(t *testing.T, s *script) {
			a, b := s.start("a"), s.start("b")
			a.cancel()
			synctest.Wait()
			if !a.done || !errors.Is(a.err, context.Canceled) || !errors.Is(a.err, backend.ErrUnavailable) || b.done {
				t.Errorf("a: %v", a.err)
			}
			s.letBegin(nil)
			s.letFinish(nil)
			if !b.done || b.err != nil {
				t.Errorf("b: %v", b.err)
			}
			s.wantBatches(t, []string{"b"})
		}},
		{"a leader whose context ends in the middle still answers the others, and knows its own outcome", func(t *testing.T, s *script) {
			a, b := s.start("a"), s.start("b")
			s.letBegin(nil)
			a.cancel()
			synctest.Wait()
			s.letFinish(nil)
			if !a.done || a.err != nil || !b.done || b.err != nil {
				t.Errorf("a: %v, b: %v", a.err, b.err)
			}
		}},
		{"closing waits for those who came before and refuses those who come after", func(t *testing.T, s *script) {
			a := s.start("a")
			s.letBegin(nil)
			b := s.start("b")
			closed := false
			go func() { s.close(); closed = true }()
			synctest.Wait()
			c := s.start("c")
			if !c.done || !errors.Is(c.err, backend.ErrClosed) || closed {
				t.Errorf("c: %v, closed: %v", c.err, closed)
			}
			s.letFinish(nil)
			s.letBegin(nil)
			s.letFinish(nil)
			if !closed || !a.done || !b.done || b.err != nil {
				t.Errorf("closed: %v, b: %v", closed, b.err)
			}
		}},
		{"a transaction takes no more requests than its bound", func(t *testing.T, s *script) {
			s.start("first")
			for i := range maxBatch {
				s.start(fmt.Sprint(i))
			}
			s.letBegin(nil)
			s.letFinish(nil)
			s.letBegin(nil)
			s.letFinish(nil)
			if len(s.batches) != 2 || len(s.batches[0]) != maxBatch || len(s.batches[1]) != 1 {
				t.Errorf("%d transactions, the first of %d", len(s.batches), len(s.batches[0]))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t, newScript()) })
		})
	}
}

func TestGroupBoundsATransactionByBytes(t *testing.T) {
	g := newGroup(nil, nil)
	for range 6 {
		g.queue = append(g.queue, &request{value: make([]byte, backend.MaxValueBytes)})
	}
	batch := g.take(&request{value: make([]byte, backend.MaxValueBytes)}, true)
	if got, want := len(batch), maxBatchBytes/backend.MaxValueBytes; got != want {
		t.Errorf("%d requests of 1 MiB, want %d", got, want)
	}
	if got := len(g.queue); got != 3 {
		t.Errorf("%d still wait, want 3", got)
	}
}

func TestGroupBoundsATransactionByEntries(t *testing.T) {
	g := newGroup(nil, nil)
	batchOf := func(entries, bytes int) *request {
		return &request{appends: true, entries: slices.Repeat([]backend.JournalEntry{{Data: make([]byte, bytes)}}, entries)}
	}
	for _, tt := range []struct{ entries, bytes, want int }{
		{maxBatch * 2 / 5, 0, 2},
		{40, backend.MaxJournalDataBytes, 1}, // 2.5 MiB
		{20, backend.MaxJournalDataBytes, 3},
		{backend.MaxJournalBatch, backend.MaxJournalDataBytes, 1}, // the first is always taken
	} {
		g.queue = slices.Repeat([]*request{batchOf(tt.entries, tt.bytes)}, 4)
		if got := len(g.take(batchOf(tt.entries, tt.bytes), true)); got != tt.want || len(g.queue) != 5-got {
			t.Errorf("%d requests of %d entries of %d bytes, and %d still wait; want %d", got, tt.entries, tt.bytes, len(g.queue), tt.want)
		}
	}
}

func TestGroupAnswersTheOthersWhenTheLeaderPanics(t *testing.T) {
	g := newGroup(func(context.Context) error { return nil }, func([]*request) { panic("driver") })
	follower := &request{key: "follower", wake: make(chan struct{}, 1)}
	g.queue = append(g.queue, follower)
	func() {
		defer func() { recover() }()
		g.do(context.Background(), &request{key: "leader"})
	}()
	select {
	case <-follower.wake:
	default:
		t.Fatal("the follower was not answered")
	}
	if follower.err != errNoVerdict || g.led {
		t.Errorf("follower: %v, somebody leads: %v", follower.err, g.led)
	}
}

func TestALeaderWhoseContextEndsDoesNotWaitForAStalledDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		leader := s.start("leader")
		s.letBegin(nil)
		leader.cancel()
		time.Sleep(leadGrace)
		synctest.Wait()
		if !leader.done || leader.err != context.Canceled {
			t.Errorf("done %t, error %v, want the context's, which leaves the outcome open", leader.done, leader.err)
		}
		follower := s.start("follower")
		s.letFinish(nil)
		s.letBegin(nil)
		s.letFinish(nil)
		if !follower.done || follower.err != nil {
			t.Errorf("the next: done %t, error %v", follower.done, follower.err)
		}
		s.wantBatches(t, []string{"leader"}, []string{"follower"})
	})
}
