package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"

	"github.com/ailease/lease/backend"
)

// Store keeps entries in one SQLite file. [Open] makes it.
//
// Errors of SQLite come wrapped, with what to do about them. They wrap backend.ErrUnavailable if it
// is certain that nothing was written, and else do not. They wrap backend.ErrClosed if the file was
// removed or replaced, or its -wal or -shm was: the Store has then closed itself.
type Store struct {
	file    *file
	anchor  *sql.DB // of one idle connection, which keeps the -wal and the -shm in place
	writeDB *sql.DB
	readDB  *sql.DB
	bun     *bun.DB // over readDB

	writer *writer
	group  *group
	pool   *pool
	hub    *hub

	close    sync.Once
	closeErr error
}

var (
	_ backend.Backend       = (*Store)(nil)
	_ backend.Lister        = (*Store)(nil)
	_ backend.Watcher       = (*Store)(nil)
	_ backend.PrefixWatcher = (*Store)(nil)
	_ backend.Journal       = (*Store)(nil)
)

// newStore opens the connections to a file that is ready.
func newStore(ctx context.Context, anchor *sql.DB, f *file, o settings) (*Store, error) {
	writeDB, err := sql.Open("sqlite", dsn(f.real, o, []string{o.synchronous.pragma(), walLimit}))
	if err != nil {
		return nil, err
	}
	readDB, err := sql.Open("sqlite", dsn(f.real, o, []string{"query_only(true)"}))
	if err != nil {
		return nil, err
	}
	writeDB.SetMaxOpenConns(1)
	readDB.SetMaxOpenConns(readers)

	s := &Store{file: f, anchor: anchor, writeDB: writeDB, readDB: readDB, bun: bun.NewDB(readDB, sqlitedialect.New())}
	s.pool = newPool(readDB, f)
	s.hub = newHub(s.pool)
	s.writer = &writer{db: writeDB, file: f, hub: s.hub, patience: o.busyTimeout}
	s.group = newGroup(s.writer.begin, s.writer.finish)

	err = s.writer.connect(context.WithoutCancel(ctx))
	if err == nil {
		_, err = s.pool.counter(ctx) // connects a reader
	}
	if err != nil {
		s.Close()
		return nil, explained(err)
	}
	return s, nil
}

// Close ends all watches, waits for the calls that are under way, and closes the file. A write that
// is under way is carried out, and its caller gets the outcome. Calls made later fail with
// backend.ErrClosed. It may be called more than once.
func (s *Store) Close() error {
	s.close.Do(func() {
		s.group.close()
		s.hub.close()
		s.pool.close()
		s.writer.conn.drop()
		s.closeErr = errors.Join(s.readDB.Close(), s.writeDB.Close())
		// The last connection to close writes what is in its -wal into the database, and removes
		// the -wal. It must not do that to files of others, so it stays open then.
		if s.file.check() == nil {
			s.closeErr = errors.Join(s.closeErr, s.anchor.Close())
		}
	})
	return s.closeErr
}

// Get reads key, as [backend.Backend] says. An entry whose keep has ended is still there until a
// later write sweeps it away.
func (s *Store) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := ctx.Err(); err != nil {
		return backend.Entry{}, failed("get", key, err)
	}
	if err := backend.CheckKey(key); err != nil {
		return backend.Entry{}, failed("get", key, err)
	}
	e, err := s.pool.get(ctx, key)
	return e, failed("get", key, err)
}

// CompareAndSet writes value under key if its revision is expected, as [backend.Backend] says.
//
// It returns when the write is safe on disk; see [WithSynchronous]. If ctx ends while the write
// waits for its turn, nothing is written, and the error wraps backend.ErrUnavailable besides the
// context's. If ctx ends later, the call soon returns the outcome. If the disk is slow to answer,
// it returns the context's error, which leaves the outcome open.
func (s *Store) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, failed("compare-and-set", key, withdrawn(ctx))
	}
	if err := backend.CheckWrite(key, value, keep); err != nil {
		return 0, failed("compare-and-set", key, err)
	}
	r := &request{key: key, expected: toColumn(expected), value: value, keep: keep}
	if err := s.group.do(ctx, r); err != nil {
		return 0, failed("compare-and-set", key, err)
	}
	return r.revision, nil
}

// CompareAndDelete removes key if its revision is expected, as [backend.Backend] says. It is a
// write like CompareAndSet.
func (s *Store) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	if err := ctx.Err(); err != nil {
		return failed("compare-and-delete", key, withdrawn(ctx))
	}
	if err := backend.CheckDelete(key, expected); err != nil {
		return failed("compare-and-delete", key, err)
	}
	r := &request{key: key, expected: toColumn(expected), remove: true}
	return failed("compare-and-delete", key, s.group.do(ctx, r))
}

// toColumn fits a revision into SQLite's signed integers. No entry has one so great, so it matches
// none.
func toColumn(revision uint64) int64 { return int64(min(revision, math.MaxInt64)) }
