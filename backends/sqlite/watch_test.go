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

func watch(t testing.TB, ctx context.Context, s *sqlite.Store, key string) <-chan backend.Entry {
	t.Helper()
	ch, err := s.Watch(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// next receives within a generous time; ok is false if the channel is closed.
func next(t testing.TB, ch <-chan backend.Entry) (e backend.Entry, ok bool) {
	t.Helper()
	select {
	case e, ok = <-ch:
		return e, ok
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		panic("unreachable")
	}
}

func wantNext(t testing.TB, ch <-chan backend.Entry, revision uint64, value string) {
	t.Helper()
	e, ok := next(t, ch)
	if !ok || e.Revision != revision || string(e.Value) != value {
		t.Fatalf("got %q at %d, open: %v; want %q at %d", e.Value, e.Revision, ok, value, revision)
	}
}

// A state is there when the write that made it returns: no waiting.
func TestWatchSendsTheStatesOfItsOwnStoreAsTheyAreCommitted(t *testing.T) {
	ctx, s := t.Context(), open(t, newPath(t))
	absent := watch(t, ctx, s, "k")
	if e := <-absent; e.Key != "k" || e.Revision != 0 {
		t.Fatalf("got %+v, want absent", e)
	}
	r := set(t, s, "k", 0, "one")
	wantNext(t, absent, r, "one")
	present := watch(t, ctx, s, "k")
	wantNext(t, present, r, "one")

	set(t, s, "other", 0, "")
	r = set(t, s, "k", r, "two")
	r = set(t, s, "k", r, "three")
	for _, ch := range []<-chan backend.Entry{absent, present} {
		wantNext(t, ch, r, "three") // "two" was overtaken
	}
	if err := s.CompareAndDelete(ctx, "k", r); err != nil {
		t.Fatal(err)
	}
	for _, ch := range []<-chan backend.Entry{absent, present} {
		wantNext(t, ch, 0, "")
		if len(ch) > 0 {
			t.Error("more came than happened")
		}
	}
}

// The median counts, and the best of three, since the machine may be busy.
func TestWatchSendsTheStatesOfOtherStoresOnTheFileSoon(t *testing.T) {
	path := newPath(t)
	s, other := open(t, path), open(t, path)
	ch := watch(t, t.Context(), s, "k")
	wantNext(t, ch, 0, "")
	var last uint64
	for range 3 {
		var took []time.Duration
		for i := range 9 {
			value := fmt.Sprint(i)
			last = set(t, other, "k", last, value)
			begin := time.Now()
			wantNext(t, ch, last, value)
			took = append(took, time.Since(begin))
		}
		if err := other.CompareAndDelete(t.Context(), "k", last); err != nil {
			t.Fatal(err)
		}
		wantNext(t, ch, 0, "")
		last = 0
		slices.Sort(took)
		t.Logf("median %v, worst %v", took[4], took[8])
		if took[4] <= 100*time.Millisecond {
			return
		}
	}
	t.Error("changes are not told within 100 ms")
}

// The writes of the two alternate: those of the other are always hidden behind newer ones of our
// own.
func TestWatchFindsOthersChangesBetweenItsOwn(t *testing.T) {
	path := newPath(t)
	s, other := open(t, path), open(t, path)
	ch := watch(t, t.Context(), s, "theirs")
	wantNext(t, ch, 0, "")
	var theirs, ours uint64
	for i := range 3 {
		value := fmt.Sprint(i)
		theirs = set(t, other, "theirs", theirs, value)
		ours = set(t, s, "ours", ours, value)
		wantNext(t, ch, theirs, value)
	}
}

func TestWatchNeverGoesBackUnderWritesFromTwoStores(t *testing.T) {
	ctx, path := t.Context(), newPath(t)
	stores := []*sqlite.Store{open(t, path, sqlite.WithSynchronous(sqlite.Normal)), open(t, path, sqlite.WithSynchronous(sqlite.Normal))}
	ch := watch(t, ctx, stores[0], "k")
	const writes = 200
	last := make(chan uint64)
	for _, s := range stores {
		go func() {
			var newest uint64
			for n := 0; n < writes; {
				e, _ := s.Get(ctx, "k")
				revision, err := s.CompareAndSet(ctx, "k", e.Revision, nil, 0)
				if err == nil {
					n++
					newest = revision
				}
				if n%5 == 0 && err == nil {
					s.CompareAndDelete(ctx, "k", revision)
				}
			}
			last <- newest
		}()
	}
	end := make(chan uint64)
	go func() { end <- max(<-last, <-last) }()
	var seen, final uint64
	for final == 0 {
		select {
		case e := <-ch:
			if e.Revision != 0 && e.Revision <= seen {
				t.Fatalf("revision %d came after %d", e.Revision, seen)
			}
			seen = max(seen, e.Revision)
		case final = <-end:
		}
	}
	e, err := stores[0].Get(ctx, "k")
	if err != nil { // absent: leave a newest state to wait for
		e.Revision = set(t, stores[1], "k", 0, "end")
	}
	for seen != e.Revision {
		got, _ := next(t, ch)
		if got.Revision != 0 {
			seen = got.Revision
		}
	}
}

func TestWatchersGetValuesOfTheirOwn(t *testing.T) {
	s := open(t, newPath(t))
	a, b := watch(t, t.Context(), s, "k"), watch(t, t.Context(), s, "k")
	<-a
	<-b
	value := []byte("value")
	r, err := s.CompareAndSet(t.Context(), "k", 0, value, 0)
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'X'
	e := <-a
	e.Value[1] = 'X'
	wantNext(t, b, r, "value")
}

func TestAWatchEndsWithItsContextDrainedOrNot(t *testing.T) {
	s := open(t, newPath(t))
	set(t, s, "k", 0, "v")
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	undrained, drained := watch(t, ctx, s, "k"), watch(t, ctx, s, "other")
	wantNext(t, drained, 0, "")
	cancel()
	if _, ok := next(t, drained); ok {
		t.Error("a state came after the end")
	}
	wantNext(t, undrained, 1, "v")
	if _, ok := next(t, undrained); ok {
		t.Error("more than one state was left over")
	}
	eventually(t, "nothing is left running", func() bool { return runtime.NumGoroutine() <= before })
	set(t, s, "k", 1, "nobody watches")

	// And the Store can be watched again.
	ch := watch(t, t.Context(), s, "k")
	wantNext(t, ch, 2, "nobody watches")
}

func TestAWatchEndsWithItsStore(t *testing.T) {
	s := open(t, newPath(t))
	ch := watch(t, t.Context(), s, "k")
	wantNext(t, ch, 0, "")
	s.Close()
	if _, ok := next(t, ch); ok {
		t.Error("a state came after the end")
	}
}

func TestManyWatchesCostOneGoroutine(t *testing.T) {
	s := open(t, newPath(t))
	before := runtime.NumGoroutine()
	for i := range 1000 {
		watch(t, t.Context(), s, fmt.Sprint(i%100))
	}
	// One of ours, and perhaps one of the runtime's. Those that the driver starts for a statement
	// may take a while to end.
	eventually(t, "the watches have one goroutine", func() bool { return runtime.NumGoroutine() <= before+2 })
}
