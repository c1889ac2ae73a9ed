package leasetest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/leasetest"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(*testing.T) backend.Backend { return leasetest.NewStore(memory.New()).Unwrap() })
}

// These hide what they embed but for the methods that they name.
type (
	plain      struct{ backend.Backend }
	listing    struct{ plain }
	watching   struct{ plain }
	prefixed   struct{ plain }
	journaling struct {
		plain
		backend.Journal
	}
	wrapping struct{ plain }
)

func (listing) List(context.Context, string) iter.Seq2[backend.Entry, error]       { return nil }
func (watching) Watch(context.Context, string) (<-chan backend.Entry, error)       { return nil, nil }
func (prefixed) WatchPrefix(context.Context, string) (<-chan backend.Entry, error) { return nil, nil }
func (w wrapping) Unwrap() backend.Backend                                         { return w.plain.Backend }

func TestAStoreUnwrapsToTheCapabilitiesOfWhatItWraps(t *testing.T) {
	for _, tt := range []struct {
		name                               string
		b                                  backend.Backend
		lists, watches, prefixes, journals bool
	}{
		{"none", plain{memory.New()}, false, false, false, false},
		{"a lister", listing{plain{memory.New()}}, true, false, false, false},
		{"a watcher", watching{plain{memory.New()}}, false, true, false, false},
		{"a watcher of prefixes", prefixed{plain{memory.New()}}, false, false, true, false},
		{"a journal", journaling{plain{memory.New()}, memory.New()}, false, false, false, true},
		{"all", memory.New(), true, true, true, true},
		{"all, in a wrapper", wrapping{plain{memory.New()}}, true, true, true, true},
		{"all, in a Store", leasetest.NewStore(memory.New()), true, true, true, true},
		{"none, in a Store", leasetest.NewStore(plain{memory.New()}), false, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := leasetest.NewStore(tt.b)
			_, lists := backend.As[backend.Lister](s)
			_, watches := backend.As[backend.Watcher](s)
			_, prefixes := backend.As[backend.PrefixWatcher](s)
			_, journals := backend.As[backend.Journal](s)
			if lists != tt.lists || watches != tt.watches || prefixes != tt.prefixes || journals != tt.journals {
				t.Errorf("it lists: %t, it watches: %t, prefixes: %t, it has a journal: %t; want %t, %t, %t and %t", lists, watches, prefixes, journals, tt.lists, tt.watches, tt.prefixes, tt.journals)
			}
			s.Cut()
			layers := 0
			for b, unwraps := s.Unwrap(), true; unwraps; layers++ {
				ctx, cancel := context.WithCancel(t.Context())
				called := s.Called(layers + 1)
				go func() { <-called; cancel() }()
				if _, err := b.Get(ctx, "k"); !errors.Is(err, context.Canceled) {
					t.Fatalf("what As finds is past the cut: %v", err)
				}
				var wrapper interface{ Unwrap() backend.Backend }
				if wrapper, unwraps = b.(interface{ Unwrap() backend.Backend }); unwraps {
					b = wrapper.Unwrap()
				}
			}
			if layers == 0 {
				t.Error("it unwraps to nothing")
			}
		})
	}
}

func TestAWatchIsSilentDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		states, err := s.Watch(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if e := <-states; string(e.Value) != "old" {
			t.Errorf("the first state is %q", e.Value)
		}
		untaken, err := s.Watch(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // its first state has come
		s.Heal()        // which does nothing
		s.Cut()
		if _, err := s.inner.CompareAndSet(t.Context(), "k", s.revision, []byte("new"), 0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case e, ok := <-states:
			t.Errorf("the watch tells %q, %t during the cut", e.Value, ok)
		case e, ok := <-untaken:
			t.Errorf("the watch tells %q, %t during the cut, from before it", e.Value, ok)
		default:
		}
		s.Heal()
		if e, ok := <-states; ok {
			t.Errorf("the watch tells %q after the store has healed, want its end", e.Value)
		}
		states, err = s.Watch(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if e := <-states; string(e.Value) != "new" {
			t.Errorf("the next watch begins with %q", e.Value)
		}
	})
}

// TestAPrefixWatchIsSilentDuringACut and ends when the store heals: the caller lists and watches
// again.
func TestAPrefixWatchIsSilentDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t)
		states, err := s.WatchPrefix(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		write := func(value string) {
			t.Helper()
			if s.revision, err = s.inner.CompareAndSet(t.Context(), "k", s.revision, []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
		write("before")
		if e := <-states; string(e.Value) != "before" {
			t.Errorf("the first state is %q", e.Value)
		}
		s.Cut()
		write("meanwhile")
		synctest.Wait()
		select {
		case e, ok := <-states:
			t.Errorf("the watch tells %q, %t during the cut", e.Value, ok)
		default:
		}
		s.Heal()
		if e, ok := <-states; ok {
			t.Errorf("the watch tells %q after the store has healed, want its end", e.Value)
		}
		if states, err = s.WatchPrefix(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		write("after")
		if e := <-states; string(e.Value) != "after" {
			t.Errorf("the next watch begins with %q", e.Value)
		}
	})
}

// watched is a store that keeps the context of its watch, and may end the watch by itself.
type watched struct {
	*memory.Store
	ctx context.Context
	end context.CancelFunc
}

func (w *watched) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	w.ctx = ctx
	inner, end := context.WithCancel(ctx)
	w.end = end
	return w.Store.Watch(inner, key)
}

// In each case the bubble fails the test if a goroutine is left.
func TestAWatchEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(s *leasetest.Store, w *watched, cancel func())
	}{
		{"with its context", func(_ *leasetest.Store, _ *watched, cancel func()) { cancel() }},
		{"with its context during a cut", func(s *leasetest.Store, _ *watched, cancel func()) { s.Cut(); cancel() }},
		{"when the store heals", func(s *leasetest.Store, _ *watched, _ func()) { s.Cut(); s.Heal() }},
		{"when the wrapped watch does", func(_ *leasetest.Store, w *watched, _ func()) { w.end() }},
	} {
		for _, taken := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the first state taken: %t", tt.name, taken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &watched{Store: memory.New()}
					s := leasetest.NewStore(w)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					pushing, _ := backend.As[backend.Watcher](s)
					states, err := pushing.Watch(ctx, "k")
					if err != nil {
						t.Fatal(err)
					}
					if taken {
						<-states
					}
					synctest.Wait()
					tt.end(s, w, cancel)
					for range states {
					}
					if w.ctx.Err() == nil {
						t.Error("the channel is closed, and the wrapped watch goes on")
					}
				})
			})
		}
	}
}

// TestAJournalDuringACut: no call gets an answer, or reaches the backend, and none of them count.
func TestAJournalDuringACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrapped := memory.New()
		s := leasetest.NewStore(wrapped)
		j, ok := backend.As[backend.Journal](s)
		if !ok {
			t.Fatal("it has no journal")
		}
		entry := []backend.JournalEntry{{Stream: "ns/a", Keep: 1 << 60}}
		s.LoseAnswer(1)
		if err := j.Append(t.Context(), entry); err != nil {
			t.Errorf("an Append lost the answer that a write is to lose: %v", err)
		}
		s.LoseAnswer(0)
		reads := map[string]func() error{
			"ReadStream": func() error { _, err := j.ReadStream(t.Context(), "ns/a", 0, 10); return err },
			"ReadNewest": func() error { _, err := j.ReadNewest(t.Context(), "ns/", 0, 10); return err },
			"Streams":    func() error { _, _, err := j.Streams(t.Context(), "ns/", 0, 10); return err },
		}
		for name, read := range reads {
			if err := read(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		s.Cut()
		reads["Append"] = func() error { return j.Append(t.Context(), entry) }
		answers := make(chan error, len(reads))
		for _, call := range reads {
			go func() { answers <- call() }()
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Errorf("%d calls got an answer during a cut", len(answers))
		}
		s.Heal()
		for range reads {
			if err := <-answers; !errors.Is(err, leasetest.ErrNoAnswer) {
				t.Errorf("a call that hung through a cut returned %v", err)
			}
		}
		if page, err := wrapped.ReadStream(t.Context(), "ns/a", 0, 10); err != nil || len(page) != 1 {
			t.Errorf("the wrapped store has %d entries, want that from before the cut; %v", len(page), err)
		}
		if n := s.Calls(); n != 0 {
			t.Errorf("%d calls were counted", n)
		}
	})
}
