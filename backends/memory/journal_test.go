package memory_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

func add(t *testing.T, s *memory.Store, entries ...backend.JournalEntry) {
	t.Helper()
	if err := s.Append(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
}

// newest returns the data of all entries, the newest first.
func newest(t *testing.T, s *memory.Store) (all []string) {
	t.Helper()
	page, err := s.ReadNewest(t.Context(), "", 0, backend.MaxJournalBatch)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page {
		all = append(all, string(e.Data))
	}
	return all
}

func TestTheJournalDropsTheOldestBeyondItsSize(t *testing.T) {
	const size = 5 + 2 + 256 // of an entry: stream, data, and what each takes
	s := memory.New(memory.WithJournalSize(10 * size))
	for i := range 1000 {
		add(t, s, backend.JournalEntry{Stream: fmt.Sprint("ns/", 10+i%7), Data: fmt.Appendf(nil, "%02d", i%100), Keep: time.Hour})
		want := min(i+1, 10)
		if all := newest(t, s); len(all) != want || all[0] != fmt.Sprintf("%02d", i%100) || all[want-1] != fmt.Sprintf("%02d", (i+1-want)%100) {
			t.Fatalf("after %d entries the journal holds %q", i+1, all)
		}
	}
	page, total, err := s.Streams(t.Context(), "ns/", 0, 10)
	if err != nil || total != 7 || len(page) != 7 || page[0].Count+page[6].Count != 3 {
		t.Errorf("the streams are %v, %d, %v", page, total, err)
	}
	// One that takes all the room leaves none for others, and what is too large leaves nothing.
	add(t, s, backend.JournalEntry{Stream: "s", Data: []byte(strings.Repeat("x", 10*size-1-256)), Keep: time.Hour})
	if all := newest(t, s); len(all) != 1 {
		t.Errorf("beside the largest entry there are %d others", len(all)-1)
	}
	add(t, s, backend.JournalEntry{Stream: "s", Data: []byte(strings.Repeat("x", 10*size-256)), Keep: time.Hour})
	if _, total, _ := s.Streams(t.Context(), "", 0, 1); total != 0 {
		t.Errorf("there are %d streams", total)
	}
}

// TestTheJournalForgetsInAnyOrder: entries of many keeps go, each at its time, and what is left is
// whole.
func TestTheJournalForgetsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		const n = 60
		for i := range n {
			keep := time.Duration(1+i*37%n) * time.Minute // each once
			add(t, s, backend.JournalEntry{Stream: fmt.Sprint("ns/", i%3), ID: fmt.Sprint(i), Data: fmt.Append(nil, keep), Keep: keep})
		}
		for minute := range n {
			add(t, s, backend.JournalEntry{Stream: "other", Keep: time.Nanosecond}) // it sweeps
			var streams, counted int
			infos, _, err := s.Streams(t.Context(), "ns/", 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range infos {
				page, err := s.ReadStream(t.Context(), info.Stream, 0, n)
				if err != nil || len(page) != info.Count || page[len(page)-1].Position != info.Last.Position {
					t.Fatalf("after %d minutes stream %s has %d entries, told are %d, %v", minute, info.Stream, len(page), info.Count, err)
				}
				streams, counted = streams+1, counted+len(page)
			}
			page, err := s.ReadNewest(t.Context(), "ns/", 0, n)
			if err != nil || len(page) != n-minute || counted != n-minute {
				t.Fatalf("after %d minutes there are %d entries, %d in %d streams, want %d; %v", minute, len(page), counted, streams, n-minute, err)
			}
			time.Sleep(time.Minute)
		}
	})
}
