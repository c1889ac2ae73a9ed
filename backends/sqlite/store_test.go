package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/sqlite"
)

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "leases.db")
}

func open(t testing.TB, path string, opts ...sqlite.Option) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func set(t testing.TB, s *sqlite.Store, key string, expected uint64, value string) uint64 {
	t.Helper()
	revision, err := s.CompareAndSet(context.Background(), key, expected, []byte(value), 0)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func wantEntry(t testing.TB, s *sqlite.Store, key string, revision uint64, value string) {
	t.Helper()
	e, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	if e.Key != key || e.Revision != revision || string(e.Value) != value {
		t.Fatalf("got %q at %d, want %q at %d", e.Value, e.Revision, value, revision)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want one that is %v", err, want)
	}
}

// eventually waits for what another process or the runtime will do soon.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestRevisionsGrowAcrossDeletionAndReopening(t *testing.T) {
	ctx, path := context.Background(), newPath(t)
	var last uint64
	for round := range 3 {
		s := open(t, path)
		for range 3 {
			revision := set(t, s, "k", 0, "v")
			if revision <= last {
				t.Fatalf("round %d: revision %d after %d", round, revision, last)
			}
			last = revision
			if err := s.CompareAndDelete(ctx, "k", revision); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAcknowledgedWritesAreThereAfterReopening(t *testing.T) {
	path := newPath(t)
	s := open(t, path)
	revision := set(t, s, "k", 0, "v")
	s.Close()
	wantEntry(t, open(t, path), "k", revision, "v")
}

func TestExpectedRevisionsBeyondAnyInTheFileMatchNothing(t *testing.T) {
	ctx, s := context.Background(), open(t, newPath(t))
	set(t, s, "k", 0, "v")
	for _, expected := range []uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		_, err := s.CompareAndSet(ctx, "k", expected, nil, 0)
		wantError(t, err, backend.ErrConflict)
		wantError(t, s.CompareAndDelete(ctx, "k", expected), backend.ErrConflict)
		wantError(t, s.CompareAndDelete(ctx, "absent", expected), backend.ErrNotFound)
	}
}

func TestTwoStoresOnOneFileSeeEachOthersWrites(t *testing.T) {
	ctx, path := context.Background(), newPath(t)
	a, b := open(t, path), open(t, path)
	revision := set(t, a, "k", 0, "a")
	wantEntry(t, b, "k", revision, "a")
	second := set(t, b, "k", revision, "b")
	wantEntry(t, a, "k", second, "b")
	_, err := a.CompareAndSet(ctx, "k", revision, []byte("late"), 0)
	wantError(t, err, backend.ErrConflict)
	if err := a.CompareAndDelete(ctx, "k", second); err != nil {
		t.Fatal(err)
	}
	_, err = b.Get(ctx, "k")
	wantError(t, err, backend.ErrNotFound)
}

func TestErrorsNameTheOperationAndTheKeyButNotAllOfALongOne(t *testing.T) {
	ctx, s := context.Background(), open(t, newPath(t))
	long := strings.Repeat("é", 400)
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a conflict", func() error { _, err := s.CompareAndSet(ctx, "chat_1", 7, nil, 0); return err }(), `sqlite: compare-and-set "chat_1": revision conflict`},
		{"an absent key", func() error { _, err := s.Get(ctx, "chat_1"); return err }(), `sqlite: get "chat_1": key not found`},
		{"a deletion", s.CompareAndDelete(ctx, "chat_1", 7), `sqlite: compare-and-delete "chat_1": key not found`},
		{"a long key", func() error { _, err := s.Get(ctx, long); return err }(), `sqlite: get "` + long[:64] + `"… (800 bytes): key not found`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.err == nil || c.err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", c.err, c.want)
			}
		})
	}
}

func TestClosedStoreFailsEveryCall(t *testing.T) {
	ctx, s := context.Background(), open(t, newPath(t))
	set(t, s, "k", 0, "v")
	for range 2 { // closing twice is fine
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Get(ctx, "k")
	wantError(t, err, backend.ErrClosed)
	_, err = s.CompareAndSet(ctx, "k", 1, nil, 0)
	wantError(t, err, backend.ErrClosed)
	wantError(t, s.CompareAndDelete(ctx, "k", 1), backend.ErrClosed)
	_, err = s.Watch(ctx, "k")
	wantError(t, err, backend.ErrClosed)
	for _, err := range s.List(ctx, "") {
		wantError(t, err, backend.ErrClosed)
	}
}

func TestCallsThatRaceWithCloseSucceedOrSayClosed(t *testing.T) {
	ctx, path := context.Background(), newPath(t)
	s := open(t, path)
	acknowledged, begun := make(chan int), make(chan struct{}, 8)
	for caller := range 8 {
		go func() {
			n := 0
			defer func() { acknowledged <- n }()
			for {
				_, err := s.CompareAndSet(ctx, fmt.Sprintf("%d/%d", caller, n), 0, nil, 0)
				if err != nil {
					if !errors.Is(err, backend.ErrClosed) {
						t.Error(err)
					}
					return
				}
				if n++; n == 10 {
					begun <- struct{}{}
				}
				if _, err := s.Get(ctx, "absent"); !errors.Is(err, backend.ErrNotFound) && !errors.Is(err, backend.ErrClosed) {
					t.Error(err)
				}
			}
		}()
	}
	for range 8 {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	total, found := 0, 0
	for range 8 {
		total += <-acknowledged
	}
	for _, err := range open(t, path).List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != total {
		t.Errorf("%d writes were acknowledged, %d are there", total, found)
	}
}

func TestNothingIsLeftRunningAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := open(t, newPath(t))
	for _, key := range []string{"a", "a", "b"} {
		if _, err := s.Watch(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.CompareAndSet(ctx, "a", 0, nil, 0); err != nil {
		t.Fatal(err)
	}
	for range s.List(ctx, "") {
		break
	}
	s.Close()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func TestEndedContextsDoNothing(t *testing.T) {
	s := open(t, newPath(t))
	revision := set(t, s, "k", 0, "v")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Get(ctx, "k")
	wantError(t, err, context.Canceled)
	_, err = s.CompareAndSet(ctx, "k", revision, nil, 0)
	wantError(t, err, context.Canceled)
	wantError(t, err, backend.ErrUnavailable) // and never will be written
	wantError(t, s.CompareAndDelete(ctx, "k", revision), context.Canceled)
	_, err = s.Watch(ctx, "k")
	wantError(t, err, context.Canceled)
	for e, err := range s.List(ctx, "") {
		wantError(t, err, context.Canceled)
		if e.Key != "" {
			t.Errorf("an entry beside the error: %+v", e)
		}
	}
	wantEntry(t, s, "k", revision, "v")
}
