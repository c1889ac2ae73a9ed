package sqlite_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func keysOf(t testing.TB, s *sqlite.Store, prefix string) (keys []string) {
	t.Helper()
	for e, err := range s.List(context.Background(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

func TestListTakesPrefixesByteForByte(t *testing.T) {
	s := open(t, newPath(t))
	// In the order of their bytes, which is the order they come in.
	keys := []string{"\x00", "\x00\x00", "%", "A", "a", "a\x00", "a\x00b", "a%", "a'b", "a_", "ab", "ab/1", "ab/2", "abc", "e\u0301", "é", "\u07ff", "\uffff", "\U0010ffff", "\U0010ffff\U0010ffff"}
	slices.Sort(keys)
	for _, key := range keys {
		set(t, s, key, 0, key)
	}
	prefixes := append([]string{"", "none", "ab/", "a\x00b", "\xc3", "\xf4\x8f", "\xff", "a\xff", "\xff\xff", "\xf4\x8f\xbf\xbf\xff"}, keys...)
	for _, prefix := range prefixes {
		t.Run(fmt.Sprintf("%q", prefix), func(t *testing.T) {
			var want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) {
					want = append(want, key)
				}
			}
			if got := keysOf(t, s, prefix); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestListGoesOnOverPagesWhileItsCallerWrites(t *testing.T) {
	ctx := context.Background()
	s := open(t, newPath(t), sqlite.WithSynchronous(sqlite.Normal))
	const n = 2*sqlite.PageEntries + 1
	key := func(i int) string { return fmt.Sprintf("k%05d", i) }
	for i := range n {
		set(t, s, key(i), 0, "")
	}
	seen := make(map[string]int)
	for e, err := range s.List(ctx, "k") {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Key]++
		if _, err := s.CompareAndSet(ctx, e.Key, e.Revision, []byte("seen"), 0); err != nil {
			t.Fatal(err)
		}
		if len(seen)%100 == 0 {
			set(t, s, "j"+e.Key, 0, "") // before where it is
			set(t, s, e.Key+"+", 0, "") // after
		}
	}
	for i := range n {
		if seen[key(i)] != 1 {
			t.Errorf("%s came %d times", key(i), seen[key(i)])
		}
	}
	for key, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", key, times)
		}
	}
}

func TestListHoldsOnlyAFewLargeValuesAtATime(t *testing.T) {
	s := open(t, newPath(t), sqlite.WithSynchronous(sqlite.Normal))
	value := bytes.Repeat([]byte{0xff}, backend.MaxValueBytes)
	for i := range 3 {
		if _, err := s.CompareAndSet(context.Background(), fmt.Sprint(i), 0, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for e, err := range s.List(context.Background(), "") {
		if err != nil || !bytes.Equal(e.Value, value) {
			t.Fatalf("%s: %d bytes, %v", e.Key, len(e.Value), err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d entries", n)
	}
}

func TestEntriesPastTheirKeepStayUntilAWriteSweepsThem(t *testing.T) {
	ctx := context.Background()
	s := open(t, newPath(t), sqlite.WithSynchronous(sqlite.Normal))
	const n = sqlite.SweepLimit + 10
	for i := range n {
		if _, err := s.CompareAndSet(ctx, fmt.Sprintf("short%03d", i), 0, nil, time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CompareAndSet(ctx, "long", 0, nil, time.Hour); err != nil {
		t.Fatal(err)
	}
	last := set(t, s, "for ever", 0, "")
	time.Sleep(3 * time.Millisecond) // until all short ones are past their keep

	// Reads sweep nothing, and all operations agree on what is there.
	before := keysOf(t, s, "short")
	if len(before) == 0 {
		t.Skip("the machine was so slow that all were swept meanwhile")
	}
	for _, key := range before {
		e, err := s.Get(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.CompareAndSet(ctx, key, 0, nil, 0); err == nil {
			t.Fatalf("%s is read at revision %d, and yet it could be created", key, e.Revision)
		}
	}

	// A write sweeps, but only so much at a time.
	s.SweepWithNextWrite()
	last = set(t, s, "for ever", last, "")
	if got, want := len(keysOf(t, s, "short")), max(0, len(before)-sqlite.SweepLimit); got != want {
		t.Errorf("%d are left after the first sweep, want %d", got, want)
	}
	last = set(t, s, "for ever", last, "")
	if got := keysOf(t, s, ""); !slices.Equal(got, []string{"for ever", "long"}) {
		t.Errorf("after the second sweep there are %q", got)
	}
	if revision := set(t, s, before[0], 0, ""); revision <= last {
		t.Errorf("a swept key came back with revision %d, the newest was %d", revision, last)
	}
}

func TestEveryWriteSetsKeepAnew(t *testing.T) {
	ctx := context.Background()
	s := open(t, newPath(t))
	r, err := s.CompareAndSet(ctx, "k", 0, nil, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = s.CompareAndSet(ctx, "k", r, nil, 0); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Millisecond) // past the first keep
	s.SweepWithNextWrite()
	set(t, s, "other", 0, "")
	wantEntry(t, s, "k", r, "")
}
