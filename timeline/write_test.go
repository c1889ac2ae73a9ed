package timeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/timeline"
)

// scripted is a journal whose Appends are counted, and may fail.
type scripted struct {
	*memory.Store

	mu      sync.Mutex
	fail    func(n int, add func() error) error // of the nth Append, from 1 on; nil: none
	batches []int                               // how many entries each Append had
}

func newScripted(fail func(n int, add func() error) error) *scripted {
	return &scripted{Store: memory.New(), fail: fail}
}

func (s *scripted) Append(ctx context.Context, entries []backend.JournalEntry) error {
	s.mu.Lock()
	s.batches = append(s.batches, len(entries))
	n := len(s.batches)
	s.mu.Unlock()
	add := func() error { return s.Store.Append(ctx, entries) }
	if s.fail == nil {
		return add()
	}
	return s.fail(n, add)
}

func (s *scripted) appends() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// note is an entry that its number tells apart.
func note(runID string, n int) timeline.Entry {
	return timeline.Entry{Namespace: "ns", RunID: runID, Type: "note", Status: fmt.Sprint(n)}
}

// numbers are those of notes from one to before another.
func numbers(from, to int) (all []string) {
	for n := from; n < to; n++ {
		all = append(all, fmt.Sprint("note ", n))
	}
	return all
}

func mustFlush(t *testing.T, s *timeline.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestNotesStandInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		s := mustOpen(t, b, timeline.WithBuffer(10_000))
		const each = 700
		var wg sync.WaitGroup
		for _, name := range []string{"a", "b", "c"} {
			wg.Go(func() {
				for n := range each {
					if n%100 != 99 {
						s.Note(note(name, n))
					} else if err := s.Append(context.Background(), note(name, n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, name := range []string{"a", "b", "c"} {
			if got := types(mustRead(t, s, name)); !slices.Equal(got, numbers(0, each)) {
				t.Errorf("timeline %s has %d entries, out of order or too few", name, len(got))
			}
		}
		if n := s.Dropped(); n > 0 {
			t.Errorf("%d were dropped", n)
		}
	})
}

func TestNotesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScripted(nil)
		s := mustOpen(t, b)
		for n := range 10 {
			s.Note(note("r", n))
		}
		time.Sleep(time.Second)
		if got := b.appends(); !slices.Equal(got, []int{10}) {
			t.Errorf("ten notes were written in batches of %v", got)
		}
		begin := time.Now()
		s.Note(note("r", 10))
		mustAppend(t, s, note("r", 11))
		if got := b.appends(); !slices.Equal(got, []int{10, 2}) || time.Since(begin) > 0 {
			t.Errorf("after an append the batches are %v, and it took %v", got, time.Since(begin))
		}
		for n := range 2500 {
			s.Note(note("many", n))
		}
		synctest.Wait()
		for _, n := range b.appends() {
			if n > backend.MaxJournalBatch {
				t.Errorf("a batch has %d entries", n)
			}
		}
		if got := len(mustRead(t, s, "many")); got != 2000 || time.Since(begin) > 0 {
			t.Errorf("there are %d, after %v", got, time.Since(begin))
		}
	})
}

// With the journal away the newest notes are dropped, and those that wait are written once it is
// back. The logger is told of the beginning and of the end.
func TestAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		b := newScripted(func(_ int, add func() error) error {
			if away {
				return fmt.Errorf("no route: %w", backend.ErrUnavailable)
			}
			return add()
		})
		var log bytes.Buffer
		s := mustOpen(t, b, timeline.WithBuffer(5), timeline.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		for n := range 8 {
			s.Note(note("r", n))
		}
		time.Sleep(time.Minute)
		if n := s.Dropped(); n != 3 {
			t.Errorf("%d were dropped, want 3", n)
		}
		if n := len(b.appends()); n < 30 || n > 200 {
			t.Errorf("there were %d tries in a minute", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Append(ctx, note("r", 8)); !errors.Is(err, lease.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append meanwhile: %v", err)
		}
		if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush meanwhile: %v", err)
		}
		synctest.Wait()
		away = false
		mustFlush(t, s)
		s.Note(note("r", 9))
		if got, want := types(mustRead(t, s, "r")), append(numbers(0, 5), "note 9"); !slices.Equal(got, want) {
			t.Errorf("the timeline is %q, want %q", got, want)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], "away") || !strings.Contains(lines[0], "no route") || !strings.Contains(lines[1], "dropped=3") {
			t.Errorf("logged %q", lines)
		}
	})
}

// A host that is cut off waits for answers that do not come. What has an id is written once, and
// nothing is written twice.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := memory.New()
		host := leasetest.NewStore(shared)
		s, there := mustOpen(t, host), mustOpen(t, shared)
		host.Cut()
		marked := note("r", 1)
		marked.ID = "one"
		s.Note(note("r", 0))
		s.Note(marked)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Append(ctx, note("r", 2)); !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append of a host that is cut off: %v", err)
		}
		time.Sleep(time.Minute)
		host.Heal()
		mustFlush(t, s)
		if got, want := types(mustRead(t, there, "r")), numbers(1, 2); !slices.Equal(got, want) || s.Dropped() != 1 {
			t.Errorf("the timeline is %q, and %d were dropped", got, s.Dropped())
		}
	})
}

// Each case loses the answer to the first Append, which was applied or not.
func TestUnknownOutcome(t *testing.T) {
	for _, applied := range []bool{true, false} {
		for _, id := range []string{"", "one"} {
			t.Run(fmt.Sprintf("applied %t, id %q", applied, id), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lose := func(n int, add func() error) error {
						if n%2 == 0 || applied {
							if err := add(); err != nil {
								return err
							}
						}
						if n%2 == 1 {
							return leasetest.ErrNoAnswer
						}
						return nil
					}
					noted, appended := mustOpen(t, newScripted(lose)), mustOpen(t, newScripted(lose))
					e := note("r", 1)
					e.ID = id
					noted.Note(e)
					mustFlush(t, noted)
					err := appended.Append(t.Context(), e)
					want := 1
					switch {
					case id == "" && !errors.Is(err, lease.ErrUnknownOutcome):
						t.Errorf("append without an id: %v", err)
					case id != "" && err != nil:
						t.Errorf("append with an id: %v", err)
					case id == "" && !applied:
						want = 0
					}
					var drops uint64
					if id == "" {
						drops = 1
					}
					if got := len(mustRead(t, noted, "r")); got != want || noted.Dropped() != drops {
						t.Errorf("noted %d, want %d, dropped %d, want %d", got, want, noted.Dropped(), drops)
					}
					if got := len(mustRead(t, appended, "r")); got != want || appended.Dropped() != 0 {
						t.Errorf("appended %d, want %d, dropped %d", got, want, appended.Dropped())
					}
				})
			})
		}
	}
}

// A batch that the store refuses for one of its entries is written without that entry.
func TestOneThatTheStoreRefuses(t *testing.T) {
	b := memory.New()
	picky := &pickyStore{Store: b}
	s := mustOpen(t, picky)
	for n := range 20 {
		s.Note(note("r", n))
	}
	if err := s.Append(t.Context(), note("bad", 0)); !errors.Is(err, lease.ErrInvalid) || errors.Is(err, lease.ErrUnknownOutcome) {
		t.Errorf("append: %v", err)
	}
	s.Note(note("bad", 1))
	if got := types(mustRead(t, s, "r")); !slices.Equal(got, numbers(0, 20)) || s.Dropped() != 1 {
		t.Errorf("the timeline is %q, and %d were dropped", got, s.Dropped())
	}
}

// pickyStore takes no entries of the timeline "bad".
type pickyStore struct{ *memory.Store }

func (p *pickyStore) Append(ctx context.Context, entries []backend.JournalEntry) error {
	for _, e := range entries {
		if e.Stream == "ns/bad" {
			return fmt.Errorf("%w: too picky", backend.ErrInvalid)
		}
	}
	return p.Store.Append(ctx, entries)
}

func TestAppendWithAnEndedContext(t *testing.T) {
	b := newScripted(nil)
	s := mustOpen(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Append(ctx, note("r", 1)); !errors.Is(err, context.Canceled) || len(b.appends()) > 0 {
		t.Errorf("error %v, after %d calls of the store", err, len(b.appends()))
	}
	if err := s.Append(t.Context()); err != nil || len(b.appends()) > 0 {
		t.Errorf("of nothing: error %v, after %d calls of the store", err, len(b.appends()))
	}
}
