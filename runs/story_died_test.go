package runs

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/timeline"
)

// A worker dies when it has written the end of its run, and has not appended it. Whoever comes next
// does: another worker, before it clears the marker, somebody who starts the key anew, or somebody
// who reads the timeline.
func TestAWorkerDiesBetweenTheRecordAndTheJournal(t *testing.T) {
	next := func(t *testing.T, ctx context.Context, s runlink.Steps) {
		mk, err := loadMarker(ctx, s, key)
		if err != nil || mk.revision == 0 {
			t.Fatalf("the marker that the dead worker left: %+v, error %v", mk, err)
		}
		if _, err := look(ctx, s, mk, "claim_2", claimTTL); err != nil {
			t.Fatal(err)
		}
		if mk, _ := loadMarker(ctx, s, key); mk.revision != 0 {
			t.Error("the marker was not cleared")
		}
	}
	for name, comes := range map[string]func(t *testing.T, ctx context.Context, s runlink.Steps){
		"another worker": next,
		"a reader": func(t *testing.T, ctx context.Context, s runlink.Steps) {
			if _, _, err := (&Runner{steps: s}).Timeline(ctx, key, 0, 10); err != nil {
				t.Fatal(err)
			}
		},
		"a reader, and another worker": func(t *testing.T, ctx context.Context, s runlink.Steps) {
			if _, _, err := (&Runner{steps: s}).Timeline(ctx, key, 0, 10); err != nil {
				t.Fatal(err)
			}
			next(t, ctx, s)
		},
		"who starts it anew": func(t *testing.T, ctx context.Context, s runlink.Steps) {
			mustStart(t, s, key, runlink.Request{Nonce: "2", RetryFailed: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, runlink.Request{}, func(t *testing.T, ctx context.Context, b *bench) {
				store, _ := b.s.Store()
				tl, err := timeline.New(store)
				if err != nil {
					t.Fatal(err)
				}
				if err := b.work(ctx, func(context.Context) (json.RawMessage, error) { return nil, lease.Permanent(permanentError{}) }); err == nil {
					t.Fatal("the run did not fail")
				}
				comes(t, ctx, newStoried(b.s, tl))
				entries, _, err := tl.Read(ctx, "default", key, 0, 10)
				if err != nil || len(entries) != 2 || entries[0].Type != "run_started" || entries[1].Type != "run_finished" || entries[1].ErrorCode != "no" {
					t.Errorf("the timeline is %+v, error %v", entries, err)
				}
			})
		})
	}
}

// The id of a start or an end fits into the journal, and does not tell the ticket.
func TestIDsOfEntries(t *testing.T) {
	a, b := idOf("run_finished", "lease_1"), idOf("run_finished", "lease_2")
	if len(a) > backend.MaxEntryIDBytes || a == b || a != idOf("run_finished", "lease_1") || a == idOf("run_started", "lease_1") {
		t.Errorf("%q and %q", a, b)
	}
}

type permanentError struct{}

func (permanentError) Error() string     { return "no" }
func (permanentError) ErrorCode() string { return "no" }

// Whoever reads a long timeline page by page writes nothing to the journal, but for an end that is
// missing.
func TestPagesOfATimelineWriteNothing(t *testing.T) {
	inBubble(t, runlink.Request{}, func(t *testing.T, ctx context.Context, b *bench) {
		store, _ := b.s.Store()
		journal, _ := backend.As[backend.Journal](store)
		counted := &countedJournal{store, journal, 0}
		tl, err := timeline.New(counted)
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if err := tl.Append(ctx, timeline.Entry{Namespace: "default", RunID: key, Key: key, Type: "tool_call"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.work(ctx, func(context.Context) (json.RawMessage, error) { return nil, lease.Permanent(permanentError{}) }); err == nil {
			t.Fatal("the run did not fail")
		}
		r := &Runner{steps: newStoried(b.s, tl)}
		before := counted.appends
		for round, want := range []int{1, 0} {
			var types []string
			for offset, total := 0, 1; offset < total; offset += 4 {
				var page []timeline.Entry
				if page, total, err = r.Timeline(ctx, key, offset, 4); err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					types = append(types, e.Type)
				}
			}
			if n := len(types); n != 12 || types[n-1] != "run_finished" {
				t.Errorf("the pages have %v", types)
			}
			if got := counted.appends - before; got != want {
				t.Errorf("%d writes in round %d, want %d", got, round, want)
			}
			before = counted.appends
		}
	})
}

// countedJournal counts the writes of the journal.
type countedJournal struct {
	backend.Backend
	backend.Journal
	appends int
}

func (j *countedJournal) Append(ctx context.Context, entries []backend.JournalEntry) error {
	j.appends++
	return j.Journal.Append(ctx, entries)
}
