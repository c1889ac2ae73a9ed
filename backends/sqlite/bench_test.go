package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backends/sqlite"
)

// The benchmarks run the Store and its raw twin in turns, a slice of the work each, so that both
// see the same disk in the same mood, and report how many times the twin's throughput the Store has
// as x-naive.

const recordBytes = 300

// alternate runs b.N operations by callers on each of the two, in slices.
func alternate(b *testing.B, callers int, ours, naive func(caller int) error) {
	b.Helper()
	slice := max(200, 20*callers)
	var spent [2]time.Duration
	run := func(op func(int) error, n int) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for c := range callers {
			share := n / callers
			if c < n%callers {
				share++
			}
			wg.Go(func() {
				for range share {
					if err := op(c); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	b.ResetTimer()
	for left, turn := b.N, 0; left > 0; turn++ {
		n := min(left, slice)
		left -= n
		for i := range 2 {
			which := (i + turn) % 2
			if which == 0 {
				spent[0] += run(ours, n)
				continue
			}
			b.StopTimer()
			spent[1] += run(naive, n)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.N)/spent[0].Seconds(), "ops/s")
	b.ReportMetric(float64(b.N)/spent[1].Seconds(), "naive-ops/s")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "x-naive")
}

// naive is what one would write first: a transaction for each operation on one connection, with
// prepared statements, on the same schema, as durable.
type naive struct {
	db                    *sql.DB
	count, insert, update *sql.Stmt
	get                   *sql.Stmt
}

func openNaive(b *testing.B, connections int) *naive {
	b.Helper()
	path := filepath.Join(b.TempDir(), "naive.db")
	s, err := sqlite.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	s.Close()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	n := &naive{db: db}
	for _, p := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&n.count, "UPDATE counter SET revision = revision + 1 RETURNING revision"},
		{&n.insert, "INSERT INTO entries (key, value, revision, keep_until) VALUES (?, ?, ?, ?)"},
		{&n.update, "UPDATE entries SET value = ?, revision = ?, keep_until = ? WHERE key = ? AND revision = ?"},
		{&n.get, "SELECT value, revision FROM entries WHERE key = ?"},
	} {
		if *p.stmt, err = db.Prepare(p.query); err != nil {
			b.Fatal(err)
		}
	}
	return n
}

func (n *naive) compareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (revision uint64, err error) {
	tx, err := n.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if err := tx.Stmt(n.count).QueryRow().Scan(&revision); err != nil {
		return 0, err
	}
	until := time.Now().Add(keep).UnixMilli()
	var res sql.Result
	if expected == 0 {
		res, err = tx.Stmt(n.insert).Exec(key, value, revision, until)
	} else {
		res, err = tx.Stmt(n.update).Exec(value, revision, until, key, expected)
	}
	if err != nil {
		return 0, err
	}
	if rows, err := res.RowsAffected(); err != nil || rows != 1 {
		return 0, fmt.Errorf("%d rows, %w", rows, err)
	}
	return revision, tx.Commit()
}

func openBench(b *testing.B) *sqlite.Store {
	b.Helper()
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "leases.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// counters makes an operation of a compare-and-set: each caller goes on from the revision that it
// has written last.
func counters(callers int, set func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error)) func(int) error {
	last := make([]uint64, callers)
	value := make([]byte, recordBytes)
	return func(c int) (err error) {
		last[c], err = set(context.Background(), fmt.Sprintf("default/worker_%d", c), last[c], value, time.Hour)
		return err
	}
}

func BenchmarkCompareAndSet(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			s, n := openBench(b), openNaive(b, 1)
			alternate(b, callers, counters(callers, s.CompareAndSet), counters(callers, n.compareAndSet))
		})
	}
}

// A context that can end costs the driver a goroutine for each statement that could be interrupted.
func BenchmarkCompareAndSetWithCancel(b *testing.B) {
	s, n := openBench(b), openNaive(b, 1)
	withCancel := func(set func(context.Context, string, uint64, []byte, time.Duration) (uint64, error)) func(context.Context, string, uint64, []byte, time.Duration) (uint64, error) {
		ctx := b.Context()
		return func(_ context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			return set(ctx, key, expected, value, keep)
		}
	}
	alternate(b, 1, counters(1, withCancel(s.CompareAndSet)), counters(1, withCancel(n.compareAndSet)))
}

func BenchmarkLostCompareAndSet(b *testing.B) {
	s := openBench(b)
	if _, err := s.CompareAndSet(b.Context(), "k", 0, make([]byte, recordBytes), 0); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.CompareAndSet(context.Background(), "k", 0, nil, 0)
	}
}

func BenchmarkGet(b *testing.B) {
	const keys = 1000
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			s, n := openBench(b), openNaive(b, 2)
			key := func(i int) string { return fmt.Sprintf("default/worker_%d", i%keys) }
			value := make([]byte, recordBytes)
			for i := range keys {
				if _, err := s.CompareAndSet(b.Context(), key(i), 0, value, 0); err != nil {
					b.Fatal(err)
				}
				if _, err := n.insert.Exec(key(i), value, i+1, nil); err != nil {
					b.Fatal(err)
				}
			}
			alternate(b, callers, func(c int) error {
				_, err := s.Get(context.Background(), key(c))
				return err
			}, func(c int) error {
				var value []byte
				var revision uint64
				return n.get.QueryRow(key(c)).Scan(&value, &revision)
			})
		})
	}
}
