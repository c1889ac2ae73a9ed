package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
)

// Here the transaction of the group is the real one. The test plays the group: it decides which
// requests are in a batch.

func openInside(t testing.TB, opts ...Option) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "leases.db")
	s, err := Open(context.Background(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

// together runs the requests as one transaction.
func (s *Store) together(t *testing.T, batch ...*request) {
	t.Helper()
	if err := s.writer.begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, r := range batch {
		r.err = errNoVerdict
	}
	s.writer.finish(batch)
}

func put(key string, expected int64, value string) *request {
	return &request{key: key, expected: expected, value: []byte(value)}
}

func remove(key string, expected int64) *request {
	return &request{key: key, expected: expected, remove: true}
}

// behind runs SQL on the file behind the Store's back.
func behind(t *testing.T, path, query string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
	return db
}

func wantVerdict(t *testing.T, r *request, err error, revision uint64) {
	t.Helper()
	if !errors.Is(r.err, err) || r.revision != revision {
		t.Errorf("%s expecting %d: got revision %d, %v; want %d, %v", r.key, r.expected, r.revision, r.err, revision, err)
	}
}

func TestABatchGivesEachRequestItsOwnVerdict(t *testing.T) {
	s, _ := openInside(t)
	ctx := context.Background()

	a, b, late := put("a", 0, "first"), put("b", 0, ""), put("a", 0, "second")
	s.together(t, a, late, b)
	wantVerdict(t, a, nil, 1)
	wantVerdict(t, late, backend.ErrConflict, 0)
	wantVerdict(t, b, nil, 2)

	// In one transaction a key can be changed several times. The later see what the earlier did.
	update, stale, gone, again, absent, conflict := put("a", 1, "x"), put("a", 1, "y"), remove("b", 2), put("b", 0, "new"), remove("none", 1), remove("a", 1)
	s.together(t, update, stale, gone, again, absent, conflict)
	wantVerdict(t, update, nil, 3)
	wantVerdict(t, stale, backend.ErrConflict, 0)
	wantVerdict(t, gone, nil, 4)
	wantVerdict(t, again, nil, 5)
	wantVerdict(t, absent, backend.ErrNotFound, 0)
	wantVerdict(t, conflict, backend.ErrConflict, 0)

	for key, want := range map[string]string{"a": "x", "b": "new"} {
		if e, err := s.Get(ctx, key); err != nil || string(e.Value) != want {
			t.Errorf("%s: %q, %v", key, e.Value, err)
		}
	}
}

func TestABadStatementDoesNotSpoilItsBatchMates(t *testing.T) {
	s, path := openInside(t)
	behind(t, path, "CREATE TRIGGER no BEFORE INSERT ON entries WHEN NEW.key = 'bad' BEGIN SELECT RAISE(ABORT, 'not this one'); END")
	before, bad, after := put("before", 0, ""), put("bad", 0, ""), put("after", 0, "")
	s.together(t, before, bad, after)
	wantVerdict(t, before, nil, 1)
	wantVerdict(t, bad, backend.ErrUnavailable, 0)
	wantVerdict(t, after, nil, 2)
}

func TestAStatementThatRollsBackFailsTheWholeBatch(t *testing.T) {
	s, path := openInside(t)
	behind(t, path, "CREATE TRIGGER no BEFORE INSERT ON entries WHEN NEW.key = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'none of them'); END")
	before, bad, after := put("before", 0, ""), put("bad", 0, ""), put("after", 0, "")
	s.together(t, before, bad, after)
	for _, r := range []*request{before, bad, after} {
		wantVerdict(t, r, backend.ErrUnavailable, 0)
	}
	for e, err := range s.List(context.Background(), "") {
		t.Errorf("written: %q, %v", e.Key, err)
	}
	again := put("before", 0, "")
	s.together(t, again)
	wantVerdict(t, again, nil, 1)
}

func TestAFullDiskFailsTheWholeBatchAndSaysSo(t *testing.T) {
	s, _ := openInside(t)
	if _, err := s.writer.conn.ExecContext(context.Background(), "PRAGMA max_page_count = 20"); err != nil {
		t.Fatal(err)
	}
	small, big := put("small", 0, "fits"), put("big", 0, strings.Repeat("x", backend.MaxValueBytes))
	s.together(t, small, big)
	for _, r := range []*request{small, big} {
		wantVerdict(t, r, backend.ErrUnavailable, 0)
		if r.err == nil || !strings.Contains(r.err.Error(), "the disk is full") {
			t.Errorf("got %v", r.err)
		}
	}
	again := put("small", 0, "fits")
	s.together(t, again)
	wantVerdict(t, again, nil, 1)
}

func TestAFileThatBecameReadOnlySaysSo(t *testing.T) {
	s, _ := openInside(t)
	if _, err := s.writer.conn.ExecContext(context.Background(), "PRAGMA query_only = true"); err != nil {
		t.Fatal(err)
	}
	_, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "the file cannot be written") {
		t.Errorf("got %v", err)
	}
}

func TestALockHeldByAnotherMeansUnavailableOnlyAfterTheBusyTimeout(t *testing.T) {
	s, path := openInside(t, WithBusyTimeout(10*time.Millisecond))
	other := behind(t, path, "BEGIN IMMEDIATE")
	_, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "another process holds the file's lock") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(context.Background(), "k"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("a reader does not wait for a writer, but got %v", err)
	}
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0); err != nil {
		t.Error(err)
	}
}

func TestAWriteToAFileThatIsMovedBeforeItsCommitHasAnUnknownOutcome(t *testing.T) {
	s, path := openInside(t)
	if err := s.writer.begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	r := put("k", 0, "v")
	s.writer.finish([]*request{r})
	if r.err == nil || r.revision != 0 || !strings.Contains(r.err.Error(), "the outcome is unknown") {
		t.Errorf("got revision %d, %v", r.revision, r.err)
	}
	for _, sure := range []error{backend.ErrConflict, backend.ErrUnavailable, backend.ErrClosed} {
		if errors.Is(r.err, sure) {
			t.Errorf("%v says that nothing was written", r.err)
		}
	}
	if _, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("the next write: %v", err)
	}
}

// As with a process that writes without pause to a slow disk.
func TestALockThatIsFreeOnlyForMomentsIsHadInTime(t *testing.T) {
	s, path := openInside(t, WithBusyTimeout(5*time.Second))
	other := behind(t, path, "SELECT 1")
	spin := func(d time.Duration) { // timers are not that exact
		for begin := time.Now(); time.Since(begin) < d; {
			runtime.Gosched()
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			if _, err := other.Exec("BEGIN IMMEDIATE"); err == nil {
				time.Sleep(4 * time.Millisecond)
				spin(rand.N(time.Millisecond)) // or this and the Store would wake up at the same time, always
				other.Exec("COMMIT")
			}
			spin(50 * time.Microsecond)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for i := range 5 {
		if _, err := s.CompareAndSet(context.Background(), fmt.Sprint(i), 0, nil, 0); err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
		again, err := Open(context.Background(), path, WithBusyTimeout(5*time.Second))
		if err != nil {
			t.Fatalf("opening %d: %v", i, err)
		}
		again.Close()
	}
}

func TestACallerWhoseContextEndsWhileItWaitsForTheLockReturnsAtOnceAndWritesNothing(t *testing.T) {
	s, path := openInside(t, WithBusyTimeout(time.Minute))
	other := behind(t, path, "BEGIN IMMEDIATE")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := s.CompareAndSet(ctx, "k", 0, []byte("late"), 0)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CompareAndSet(context.Background(), "other", 0, nil, 0); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(context.Background(), "k"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("it was written after all: %v", err)
	}
}

// data_version of another connection changes with every commit that wrote.
func TestALostCompareAndSetWritesNothing(t *testing.T) {
	s, path := openInside(t)
	if _, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0); err != nil {
		t.Fatal(err)
	}
	db := behind(t, path, "SELECT 1")
	version := func() (v int) {
		t.Helper()
		if err := db.QueryRow("PRAGMA data_version").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	s.together(t, put("k", 0, ""), put("k", 99, ""), remove("k", 99), remove("none", 1))
	if version() != before {
		t.Error("losers wrote to the file")
	}
	if _, err := s.CompareAndSet(context.Background(), "k", 1, nil, 0); err != nil {
		t.Fatal(err)
	}
	if version() == before {
		t.Error("this test cannot see a write")
	}
}

func TestAConnectionThatIsDroppedLeavesNeitherLockNorWrites(t *testing.T) {
	s, _ := openInside(t, WithBusyTimeout(0))
	for range 3 {
		if err := s.writer.begin(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n, err := s.writer.apply(put("k", 0, ""), 1, time.Now()); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		s.writer.conn.drop()
	}
	if _, err := s.Get(context.Background(), "k"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if revision, err := s.CompareAndSet(context.Background(), "k", 0, nil, 0); err != nil || revision != 1 {
		t.Errorf("got %d, %v", revision, err)
	}
}

func TestOnlyTheSureCommitFailuresPromiseThatNothingWasWritten(t *testing.T) {
	if err := commitFailed(errors.New("something else")); errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "the outcome is unknown") {
		t.Errorf("got %v", err)
	}
	// A real SQLITE_BUSY, since its error cannot be made by hand.
	s, path := openInside(t, WithBusyTimeout(0))
	behind(t, path, "BEGIN IMMEDIATE")
	busy := s.writer.begin(context.Background())
	if err := commitFailed(busy); !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "nothing was written") {
		t.Errorf("got %v", err)
	}
}

func TestKeepIsRoundedUpSoThatNothingIsDroppedEarly(t *testing.T) {
	now := time.UnixMilli(1000)
	for _, c := range []struct {
		name string
		now  time.Time
		keep time.Duration
		want any
	}{
		{"for ever", now, 0, nil},
		{"a nanosecond", now, 1, int64(1001)},
		{"whole milliseconds", now, 5 * time.Millisecond, int64(1005)},
		{"a little more", now, 5*time.Millisecond + 1, int64(1006)},
		{"between two milliseconds", now.Add(999_999), 1, int64(1001)},
		{"just past the next", now.Add(999_999), 2, int64(1002)},
		{"as long as there is", now, 1<<63 - 1, int64(1000 + (1<<63-1)/1_000_000 + 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := keepUntil(c.now, c.keep); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
