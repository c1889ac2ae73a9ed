package sqlite_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func watchPrefix(t testing.TB, ctx context.Context, s *sqlite.Store, prefix string) <-chan backend.Entry {
	t.Helper()
	ch, err := s.WatchPrefix(ctx, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func remove(t testing.TB, s *sqlite.Store, key string, revision uint64) {
	t.Helper()
	if err := s.CompareAndDelete(t.Context(), key, revision); err != nil {
		t.Fatal(err)
	}
}

// wantKey receives the next state, and compares.
func wantKey(t testing.TB, ch <-chan backend.Entry, key string, revision uint64) {
	t.Helper()
	if e, ok := next(t, ch); !ok || e.Key != key || e.Revision != revision {
		t.Fatalf("got %q at %d, open: %t; want %q at %d", e.Key, e.Revision, ok, key, revision)
	}
}

// Own changes are there when the write returns: no waiting.
func TestPrefixWatchSendsItsOwnStoresChangesAsTheyAreCommitted(t *testing.T) {
	s := open(t, newPath(t))
	stands := set(t, s, "ns/stands", 0, "v")
	ch := watchPrefix(t, t.Context(), s, "ns/")
	set(t, s, "ns0", 0, "beside")
	a := set(t, s, "ns/a", 0, "v")
	remove(t, s, "ns/a", a)
	remove(t, s, "ns/stands", stands)
	if len(ch) != 3 {
		t.Fatalf("%d states wait", len(ch))
	}
	wantKey(t, ch, "ns/a", a)
	wantKey(t, ch, "ns/a", 0)
	wantKey(t, ch, "ns/stands", 0)
}

// Others' changes are told within 200 ms. On a busy machine everything takes longer, so they are
// compared with what else is measured: a watch of the key is told by the same clock, and to look
// takes no longer than a listing, and so much again in rests. The median counts, and the best of
// three.
func TestPrefixWatchSendsOthersChangesSoon(t *testing.T) {
	path := newPath(t)
	s, other := open(t, path), open(t, path)
	for i := range 1000 { // they are read each time
		set(t, other, fmt.Sprint("ns/stands", i), 0, "v")
	}
	byKey := watch(t, t.Context(), s, "ns/k")
	wantNext(t, byKey, 0, "")
	byPrefix := watchPrefix(t, t.Context(), s, "ns/")
	list := func() time.Duration {
		begun := time.Now()
		for _, err := range s.List(t.Context(), "ns/") {
			if err != nil {
				t.Fatal(err)
			}
		}
		return time.Since(begun)
	}
	var last uint64
	for range 3 {
		var key, prefix, listing []time.Duration
		for range 9 {
			begun := time.Now()
			last = set(t, other, "ns/k", last, "v")
			wantNext(t, byKey, last, "v")
			key = append(key, time.Since(begun))
			wantKey(t, byPrefix, "ns/k", last)
			prefix = append(prefix, time.Since(begun))
			listing = append(listing, list())
		}
		for _, all := range [][]time.Duration{key, prefix, listing} {
			slices.Sort(all)
		}
		k, p, l := key[4], prefix[4], listing[4]
		t.Logf("told by a watch of the key after %v, by one of the prefix after %v; a listing takes %v", k, p, l)
		if p <= 2*k+6*l {
			return
		}
	}
	t.Error("changes are not told as soon as they should be")
}

// A real process writes, too.
func TestPrefixWatchSendsWhatAnotherProcessWrites(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	ch := watchPrefix(t, t.Context(), s, "count")
	c := start(t, "increment", path)
	c.begin.Close()
	c.wantSuccess(t)
	e, err := s.Get(t.Context(), "counter")
	if err != nil {
		t.Fatal(err)
	}
	for {
		if got, ok := next(t, ch); !ok || got.Revision == e.Revision && string(got.Value) == string(e.Value) {
			if !ok {
				t.Error("the watch has ended")
			}
			return
		}
	}
}

// The writes of the two alternate, also on one key: no state is lost between them, none comes after
// a later one, and the last comes.
func TestPrefixWatchNeverGoesBackUnderWritesFromTwoStores(t *testing.T) {
	path := newPath(t)
	stores := []*sqlite.Store{open(t, path, sqlite.WithSynchronous(sqlite.Normal)), open(t, path, sqlite.WithSynchronous(sqlite.Normal))}
	ch := watchPrefix(t, t.Context(), stores[0], "ns/")
	const writes, keys = 300, 3
	done := make(chan error, 2)
	for w, s := range stores {
		go func() {
			for n := 0; n < writes; {
				key := fmt.Sprint("ns/", (n+w)%keys)
				e, _ := s.Get(t.Context(), key)
				revision, err := s.CompareAndSet(t.Context(), key, e.Revision, nil, 0)
				if err != nil {
					continue // the other was sooner
				}
				if n++; n%5 == 0 {
					s.CompareAndDelete(t.Context(), key, revision)
				}
			}
			done <- nil
		}()
	}
	last, newest := map[string]uint64{}, map[string]uint64{}
	take := func(e backend.Entry) {
		t.Helper()
		if e.Revision != 0 && (e.Revision < newest[e.Key] || e.Revision == newest[e.Key] && last[e.Key] == 0) {
			t.Fatalf("%s: revision %d came after %d", e.Key, e.Revision, newest[e.Key])
		}
		last[e.Key] = e.Revision
		newest[e.Key] = max(newest[e.Key], e.Revision)
	}
	for running := 2; running > 0; {
		select {
		case e := <-ch:
			take(e)
		case <-done:
			running--
		}
	}
	for i := range keys {
		key := fmt.Sprint("ns/", i)
		e, _ := stores[1].Get(t.Context(), key)
		for last[key] != e.Revision {
			got, _ := next(t, ch)
			take(got)
		}
	}
}

// TestManyWatchesOfPrefixesCostOneGoroutine, and leave none.
func TestManyWatchesOfPrefixesCostOneGoroutine(t *testing.T) {
	s := open(t, newPath(t))
	set(t, s, "warm", 0, "v")
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	var all []<-chan backend.Entry
	for i := range 100 {
		all = append(all, watchPrefix(t, ctx, s, fmt.Sprint(i%10)))
	}
	eventually(t, "the watches have one goroutine", func() bool { return runtime.NumGoroutine() <= before+2 })
	cancel()
	for _, ch := range all {
		if _, ok := next(t, ch); ok {
			t.Error("a state came after the end")
		}
	}
	eventually(t, "nothing is left running", func() bool { return runtime.NumGoroutine() <= before })
	ch := watchPrefix(t, t.Context(), s, "k")
	wantKey(t, ch, "k", set(t, s, "k", 0, "v"))
	s.Close()
	if _, ok := next(t, ch); ok {
		t.Error("a state came after the store was closed")
	}
}
