package natskv_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestJournalPages reads a journal whose streams lie far apart, close together, and among each
// other, from every direction, and compares with what was appended.
func TestJournalPages(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.SyncAlways = false // it is not about what is on disk
	s := open(t, natstest.Start(t, o).ClientURL(), natskv.WithTimeout(time.Minute))
	var all []backend.JournalEntry
	grow := func(n int, name func(i int) string) {
		batch := make([]backend.JournalEntry, n)
		for i := range batch {
			batch[i] = entry(name(i), "", fmt.Sprint(len(all)+i))
		}
		add(t, s, batch...)
		all = append(all, batch...)
	}
	one := func(name string) func(int) string { return func(int) string { return name } }
	grow(1, one("rare/a"))
	grow(3000, one("noise/n"))
	grow(1, one("rare/b"))
	grow(1500, one("dense/d"))
	grow(4000, func(i int) string { return fmt.Sprintf("noise/%d", i%700) })
	grow(2, one("rare"))
	grow(1500, func(i int) string { return []string{"dense/d", "mixed/a", "mixed/b", "noise/n"}[i%4] })
	grow(1500, one("noise/n"))
	grow(300, one("mixed/c"))
	grow(1500, one("noise/n"))

	read, err := s.ReadNewest(ctx, "rare/a", 0, 1)
	if err != nil || len(read) != 1 {
		t.Fatal(read, err)
	}
	first := read[0].Position // nothing was refused, so the positions follow each other
	for i := range all {
		all[i].Position = first + uint64(i)
		all[i].Keep = 0
	}
	end := first + uint64(len(all))
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	t.Log("seed", seed)

	for _, prefix := range []string{"", "rare/", "rare", "rare/b", "dense/", "mixed/", "mixed/b", "noise/1", "n", "none/", "dense/d"} {
		var of []backend.JournalEntry
		for _, e := range all {
			if strings.HasPrefix(e.Stream, prefix) {
				of = append(of, e)
			}
		}
		befores := []uint64{0, 1, first, first + 1, end - 1, end, end + 1, math.MaxUint64}
		limits := []int{1, 30, 1000}
		if raceEnabled { // the server takes ten times as long
			befores = befores[:2]
		}
		befores = append(befores, first+random.Uint64N(uint64(len(all))))
		if prefix == "n" || prefix == "noise/1" { // those read all entries of a namespace
			befores, limits = []uint64{0, first + 3000}, []int{30}
		}
		for _, before := range befores {
			for _, limit := range limits {
				got, err := s.ReadNewest(ctx, prefix, before, limit)
				if err != nil {
					t.Fatal(err)
				}
				n, _ := slices.BinarySearchFunc(of, before, func(e backend.JournalEntry, before uint64) int { return cmp.Compare(e.Position, before) })
				if before == 0 {
					n = len(of)
				}
				want := slices.Clone(of[max(0, n-limit):n])
				slices.Reverse(want)
				if !slices.EqualFunc(got, want, sameEntry) {
					t.Errorf("the newest %d of %q before %d: %d entries, want %d", limit, prefix, before, len(got), len(want))
				}
			}
		}
	}
	for _, stream := range []string{"rare/a", "dense/d", "noise/n", "noise/13", "mixed/c", "none"} {
		var of []backend.JournalEntry
		for _, e := range all {
			if e.Stream == stream {
				of = append(of, e)
			}
		}
		for _, limit := range []int{1, 999, 1000} {
			var got []backend.JournalEntry
			for after := uint64(0); ; {
				page, err := s.ReadStream(ctx, stream, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page...)
				if len(page) < limit || len(got) > 2500 && limit == 1 {
					break
				}
				after = page[len(page)-1].Position
			}
			if !slices.EqualFunc(got, of[:min(len(of), len(got))], sameEntry) || limit > 1 && len(got) != len(of) {
				t.Errorf("stream %q by %d: %d entries, want %d", stream, limit, len(got), len(of))
			}
		}
	}
	for _, prefix := range []string{"", "noise/", "noise/1", "mixed/", "rare", "none"} {
		wantStreams(t, s, all, prefix)
	}
}

func sameEntry(a, b backend.JournalEntry) bool {
	return a.Stream == b.Stream && a.ID == b.ID && string(a.Data) == string(b.Data) && a.Position == b.Position && a.Keep == b.Keep
}

// wantStreams compares all pages with the streams of what was appended.
func wantStreams(t *testing.T, s backend.Journal, all []backend.JournalEntry, prefix string) {
	t.Helper()
	byName := map[string]*backend.StreamInfo{}
	for _, e := range all {
		if !strings.HasPrefix(e.Stream, prefix) {
			continue
		}
		if byName[e.Stream] == nil {
			byName[e.Stream] = &backend.StreamInfo{Stream: e.Stream}
		}
		byName[e.Stream].Count++
		byName[e.Stream].Last = e
	}
	var want []backend.StreamInfo
	for _, info := range byName {
		want = append(want, *info)
	}
	slices.SortFunc(want, func(a, b backend.StreamInfo) int { return cmp.Compare(b.Last.Position, a.Last.Position) })
	for _, limit := range []int{3, 500, 1000} {
		for offset := 0; offset <= len(want)+limit; offset += max(limit, len(want)/5) {
			got, total, err := s.Streams(ctx, prefix, offset, limit)
			if err != nil {
				t.Fatal(err)
			}
			from := min(offset, len(want))
			page := want[from:min(from+limit, len(want))]
			same := func(a, b backend.StreamInfo) bool {
				return a.Stream == b.Stream && a.Count == b.Count && sameEntry(a.Last, b.Last)
			}
			if total != len(want) || !slices.EqualFunc(got, page, same) {
				t.Errorf("%d streams of %q from %d on: %d of %d, want %d of %d", limit, prefix, offset, len(got), total, len(page), len(want))
			}
		}
	}
}
