package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/ailease/lease/backend"
)

// readers is how many connections read; with two cores, more were slower.
const readers = 2

const (
	getSQL = `SELECT value, revision FROM entries WHERE key = ?`

	// One statement, so one snapshot: the entry, and how far the counter was when it looked so.
	lookSQL = `SELECT counter.revision, coalesce(entries.revision, 0), entries.value
FROM counter LEFT JOIN entries ON entries.key = ?`

	counterSQL = `SELECT revision FROM counter`

	// One statement, so one snapshot: what stands in a range of keys, and the counter, which comes
	// also if nothing does.
	underSQL = `SELECT counter.revision, entries.key, coalesce(entries.revision, 0),
CASE WHEN entries.revision > ? THEN entries.value END
FROM counter LEFT JOIN entries ON entries.key >= ? AND entries.key < ?`
)

// reader is a connection that only reads. Every statement on it begins a new snapshot, which sees
// all that any process has committed before. That makes reads linearizable.
type reader struct {
	conn conn

	getStmt, lookStmt, counterStmt, underStmt            *sql.Stmt
	streamStmt                                           *sql.Stmt
	newestStmt, newestOfNamespaceStmt, newestOfRangeStmt *sql.Stmt
	streamsOfNamespaceStmt, streamsOfRangeStmt           *sql.Stmt
}

// pool hands out readers. It is not the pool of database/sql: waiting for a reader must end with
// the context, while reading, which takes microseconds, need not. The driver starts a goroutine for
// each statement that can be interrupted.
type pool struct {
	db     *sql.DB
	file   *file
	free   chan *reader
	closed chan struct{}
}

func newPool(db *sql.DB, f *file) *pool {
	p := &pool{db: db, file: f, free: make(chan *reader, readers), closed: make(chan struct{})}
	for range readers {
		p.free <- &reader{}
	}
	return p
}

// take borrows a reader, which must be given back.
func (p *pool) take(ctx context.Context) (*reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-p.closed:
		return nil, backend.ErrClosed
	default:
	}
	if err := p.file.recheck(); err != nil {
		return nil, readFailed(err)
	}
	select {
	case r := <-p.free:
		return p.connect(ctx, r)
	default:
	}
	select {
	case r := <-p.free:
		return p.connect(ctx, r)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, backend.ErrClosed
	}
}

func (p *pool) connect(ctx context.Context, r *reader) (*reader, error) {
	if r.conn.Conn != nil {
		return r, nil
	}
	err := r.connect(context.WithoutCancel(ctx), p.db)
	if err == nil {
		err = p.file.check()
	}
	if err != nil {
		p.give(r, err)
		return nil, readFailed(err)
	}
	return r, nil
}

// give returns a reader. One that had trouble starts afresh.
func (p *pool) give(r *reader, err error) {
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		r.conn.drop()
	}
	p.free <- r
}

// close waits for reads under way. It must be called once.
func (p *pool) close() {
	close(p.closed)
	for range readers {
		r := <-p.free
		r.conn.drop()
	}
}

func (r *reader) connect(ctx context.Context, db *sql.DB) error {
	return r.conn.connect(ctx, db, []statement{
		{&r.getStmt, getSQL},
		{&r.lookStmt, lookSQL},
		{&r.counterStmt, counterSQL},
		{&r.underStmt, underSQL},
		{&r.streamStmt, streamSQL},
		{&r.newestStmt, newestSQL},
		{&r.newestOfNamespaceStmt, newestOfNamespaceSQL},
		{&r.newestOfRangeStmt, newestOfRangeSQL},
		{&r.streamsOfNamespaceStmt, streamsOfNamespaceSQL},
		{&r.streamsOfRangeStmt, streamsOfRangeSQL},
	})
}

// get reads key. sql.ErrNoRows if it is absent.
func (p *pool) get(ctx context.Context, key string) (e backend.Entry, err error) {
	r, err := p.take(ctx)
	if err != nil {
		return e, err
	}
	e.Key = key
	err = r.getStmt.QueryRow(key).Scan(&e.Value, &e.Revision)
	p.give(r, err)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return backend.Entry{}, backend.ErrNotFound
	case err != nil:
		return backend.Entry{}, readFailed(err)
	}
	if e.Value == nil {
		e.Value = []byte{}
	}
	return e, nil
}

// look reads key, absent or not, and the counter of that moment.
func (p *pool) look(ctx context.Context, key string) (e backend.Entry, counter uint64, err error) {
	r, err := p.take(ctx)
	if err != nil {
		return e, 0, err
	}
	e.Key = key
	err = r.lookStmt.QueryRow(key).Scan(&counter, &e.Revision, &e.Value)
	p.give(r, err)
	if err != nil {
		return e, 0, readFailed(err)
	}
	if e.Value == nil && e.Revision != 0 {
		e.Value = []byte{}
	}
	return e, counter, nil
}

func (p *pool) counter(ctx context.Context) (counter uint64, err error) {
	r, err := p.take(ctx)
	if err != nil {
		return 0, err
	}
	err = r.counterStmt.QueryRow().Scan(&counter)
	p.give(r, err)
	return counter, err
}
