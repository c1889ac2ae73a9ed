package natskv

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// read fails the test unless name reads as number.
func (s *scripted) mustRead(name string, number uint64) state {
	s.t.Helper()
	found, err := s.store.read(s.t.Context(), name)
	if err != nil || found.sequence != number {
		s.t.Errorf("%s reads as of %d, %v, want %d", name, found.sequence, err, number)
	}
	return found
}

func TestRoundAsksALaggingReplicaAgain(t *testing.T) {
	s := newScripted(t)
	old := message{sequence: s.set("k", "old"), value: []byte("old")}
	number := s.set("k", "new")
	asked := 0
	s.snapshot = func(names []string) []*nats.Msg {
		if len(names) == 1 { // to look ahead
			return s.answer(names)
		}
		if asked++; asked < 3 {
			return []*nats.Msg{s.found("k", old), s.found(fenceName, message{sequence: old.sequence + 1}), status("204", "0")}
		}
		return s.answer(names)
	}
	s.mustRead("k", number)
	if asked != 3 || s.count("compare") != 0 {
		t.Errorf("asked %d times, compared %d times, want 3 and 0", asked, s.count("compare"))
	}
}

// TestRoundReadsBrokenAnswers: a server cuts a large answer, or an entry expires in the middle.
func TestRoundReadsBrokenAnswers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(s *scripted, names []string) []*nats.Msg
	}{
		{"cut", func(s *scripted, names []string) []*nats.Msg {
			return []*nats.Msg{s.found(names[0], s.entries[names[0]]), status("204", "2")}
		}},
		{"not found in the middle", func(s *scripted, names []string) []*nats.Msg {
			return []*nats.Msg{s.found(names[0], s.entries[names[0]]), status("404", "")}
		}},
		{"not found at the beginning", func(s *scripted, names []string) []*nats.Msg {
			return []*nats.Msg{status("404", "")}
		}},
		{"bad request", func(s *scripted, names []string) []*nats.Msg {
			return []*nats.Msg{status("408", "")}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScripted(t)
			a, b := s.set("a", "v"), s.set("b", "w")
			broken := false
			s.snapshot = func(names []string) []*nats.Msg {
				if broken {
					return s.answer(names)
				}
				broken = true
				return tt.first(s, names)
			}
			fence, err := s.store.fence(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			found := s.store.readAfter(t.Context(), fence, []string{"a", "b"})
			if found["a"].sequence != a || found["b"].sequence != b || len(found) != 2 {
				t.Errorf("found %+v, want a as of %d, b as of %d", found, a, b)
			}
		})
	}
}

// TestAbsenceIsCompared: a replica that lacks a key proves nothing.
func TestAbsenceIsCompared(t *testing.T) {
	s := newScripted(t)
	if found := s.mustRead("absent", 0); found.asOf <= 1000 {
		t.Errorf("an absent key is known as of %d", found.asOf)
	}
	number := s.set("k", "v")
	s.snapshot = func(names []string) []*nats.Msg { // catching up
		return []*nats.Msg{s.found(fenceName, message{sequence: s.last}), status("204", "0")}
	}
	if found := s.mustRead("k", number); string(found.value) != "v" {
		t.Errorf("the value is %q", found.value)
	}
}

// TestReadWithoutReplicas: nobody answers direct reads, or with an old fence for ever.
func TestReadWithoutReplicas(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	for name, answer := range map[string][]*nats.Msg{
		"silent":      nil,
		"lagging":     {status("404", "")},
		"unavailable": {status("503", "")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t)
			number := s.set("k", "v")
			s.snapshot = func([]string) []*nats.Msg { return answer }
			s.mustRead("k", number)
			s.mustRead("absent", 0)
		})
	}
}

// TestFenceWithoutAnswer: the next round does not wait for a fence that is not acknowledged.
func TestFenceWithoutAnswer(t *testing.T) {
	s := newScripted(t)
	number := s.set("k", "v")
	fences := 0
	s.write = func(m *nats.Msg) any {
		if s.kind(m) == "fence" {
			if fences++; fences == 1 {
				return nil
			}
		}
		return s.take(m)
	}
	s.mustRead("k", number) // compared
	s.mustRead("k", number)
	if fences != 2 || s.count("compare") != 1 {
		t.Errorf("%d fences and %d comparisons, want 2 and 1", fences, s.count("compare"))
	}
}

// TestFullBucketIsRead: a bucket that takes no fence is read as its leader has it.
func TestFullBucketIsRead(t *testing.T) {
	s := newScripted(t)
	number := s.set("k", "v")
	s.write = func(*nats.Msg) any { return refuses(codeStoreFailed, "maximum bytes exceeded") }
	s.mustRead("k", number)
	s.mustRead("absent", 0)
}

// TestReadersShare: those who come while a fence is under way share the next one.
func TestReadersShare(t *testing.T) {
	const readers = 64
	for _, tt := range []struct {
		name string
		of   func(i int) string
		kind string
		most int
	}{
		{"one key", func(int) string { return "k" }, "fence", 2},
		{"keys of their own", func(i int) string { return fmt.Sprint("k", i) }, "fence", 2},
		// The comparisons of the first reader and of two rounds.
		{"one absent key", func(int) string { return "absent" }, "compare", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScripted(t)
			s.set("k", "v")
			for i := range readers {
				s.set(fmt.Sprint("k", i), "v")
			}
			held, first := make(chan struct{}), make(chan struct{})
			begun := false
			s.write = func(m *nats.Msg) any {
				if s.kind(m) == tt.kind && !begun {
					begun = true
					close(first)
					s.mu.Unlock()
					<-held
					s.mu.Lock()
				}
				return s.take(m)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			joined := make(chan struct{}, readers)
			var all sync.WaitGroup
			read := func(i int) {
				all.Go(func() {
					if _, err := s.store.read(joining{ctx, joined}, tt.of(i)); err != nil {
						t.Error(err)
					}
				})
			}
			read(0)
			<-first
			for i := 1; i < readers; i++ {
				read(i)
			}
			for range readers {
				<-joined
			}
			close(held)
			all.Wait()
			if n := s.count(tt.kind); n > tt.most {
				t.Errorf("%d of kind %q for %d readers, want %d at most", n, tt.kind, readers, tt.most)
			}
		})
	}
}

// joining is a context that tells when a reader begins to wait for what it shares.
type joining struct {
	context.Context
	joined chan struct{}
}

func (j joining) Done() <-chan struct{} {
	j.joined <- struct{}{}
	return j.Context.Done()
}
