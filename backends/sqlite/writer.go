package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ailease/lease/backend"
)

// Transactions that write anyway drop the entries whose keep has ended, those of keys and those of
// the journal: at most sweepLimit of each in one transaction, and of the journal as many more as
// the transaction has changes. When fewer were due, they look again not before sweepPause. A store
// that nobody writes to drops nothing.
//
// Until it is swept an entry is there, for every operation alike. Transactions alone decide whether
// a key is absent, and not the clock of whoever looks.
const (
	sweepLimit = 100
	sweepPause = time.Second
)

// writer is the one connection that writes. Only the leader of the group uses it.
type writer struct {
	db       *sql.DB // of one connection
	file     *file
	hub      *hub
	patience time.Duration // with another process that holds the lock
	conn     conn

	beginStmt, commitStmt, rollbackStmt *sql.Stmt
	insertStmt, updateStmt, removeStmt  *sql.Stmt
	existsStmt, sweepStmt, countStmt    *sql.Stmt

	// Of the journal.
	addStmt, addedStmt                     *sql.Stmt
	forgetStmt, forgottenStmt, emptiedStmt *sql.Stmt
	added                                  map[string]tally // by the transaction under way, by stream

	nextSweep time.Time
	full      bool // the disk was, and the -wal has not been emptied since
}

// The hot path, prepared once. The revision of a change is the counter plus its place in the
// transaction. The counter itself is moved once, at the end, and not at all if nothing changed.
const (
	// An empty slice may reach SQLite as NULL, hence the coalesce.
	insertSQL = `INSERT INTO entries (value, revision, keep_until, key)
VALUES (coalesce(?, x''), (SELECT revision FROM counter) + ?, ?, ?) ON CONFLICT (key) DO NOTHING`
	updateSQL = `UPDATE entries SET value = coalesce(?, x''), revision = (SELECT revision FROM counter) + ?, keep_until = ?
WHERE key = ? AND revision = ?`
	removeSQL = `DELETE FROM entries WHERE key = ? AND revision = ?`
	existsSQL = `SELECT EXISTS (SELECT 1 FROM entries WHERE key = ?)`
	sweepSQL  = `DELETE FROM entries WHERE key IN
(SELECT key FROM entries WHERE keep_until <= ? ORDER BY keep_until LIMIT ?)`
	countSQL = `UPDATE counter SET revision = revision + ? RETURNING revision`
)

func (w *writer) connect(ctx context.Context) error {
	if w.conn.Conn != nil {
		return nil
	}
	if err := w.file.check(); err != nil {
		return err
	}
	err := w.conn.connect(ctx, w.db, []statement{
		{&w.beginStmt, "BEGIN IMMEDIATE"},
		{&w.commitStmt, "COMMIT"},
		{&w.rollbackStmt, "ROLLBACK"},
		{&w.insertStmt, insertSQL},
		{&w.updateStmt, updateSQL},
		{&w.removeStmt, removeSQL},
		{&w.existsStmt, existsSQL},
		{&w.sweepStmt, sweepSQL},
		{&w.countStmt, countSQL},
		{&w.addStmt, addSQL},
		{&w.addedStmt, addedSQL},
		{&w.forgetStmt, forgetSQL},
		{&w.forgottenStmt, forgottenSQL},
		{&w.emptiedStmt, emptiedSQL},
	})
	if err != nil {
		return err
	}
	if _, err = w.conn.ExecContext(ctx, waitNot); err != nil {
		w.conn.drop()
	}
	return err
}

// begin opens a transaction that holds the write lock of the file. Only the wait for the lock ends
// with ctx.
func (w *writer) begin(ctx context.Context) error {
	if err := w.connect(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	w.emptyLog()
	err := patiently(ctx, w.patience, func() error {
		_, err := w.beginStmt.ExecContext(ctx)
		if err != nil && code(err) != sqlite3.SQLITE_BUSY {
			w.rollback() // it may have begun after all, just when ctx ended
		}
		return err
	})
	if err != nil {
		return err
	}
	// What the transaction reads is from before this moment: if the file is in place now, a
	// conflict is one with what everybody sees.
	if err := w.file.check(); err != nil {
		w.rollback()
		return err
	}
	return nil
}

// rollback undoes the transaction for certain: one that cannot be rolled back ends with its
// connection.
func (w *writer) rollback() {
	if _, err := w.rollbackStmt.Exec(); err != nil {
		w.conn.drop()
	}
}

// finish carries out batch in the transaction that begin opened. Nobody is answered before COMMIT
// has returned, neither winner nor loser: a loser may have lost to a batch-mate whose write is not
// yet safe.
func (w *writer) finish(batch []*request) {
	now := time.Now() // after the wait for the lock: keep is counted from here
	var changes int64
	w.added = make(map[string]tally)
	for _, r := range batch {
		n, err := w.apply(r, changes+1, now)
		if err != nil {
			w.rollback()
			w.fail(batch, err, unavailable)
			return
		}
		if changes += n; n > 0 {
			r.offset = changes
		}
	}
	if changes == 0 {
		w.rollback() // no write, no sync
		return
	}
	last, err := w.count(changes, now)
	if err != nil {
		w.rollback()
		w.fail(batch, err, unavailable)
		return
	}
	if _, err := w.commitStmt.Exec(); err != nil {
		w.rollback()
		w.fail(batch, err, commitFailed)
		return
	}
	if err := w.file.check(); err != nil {
		w.fail(batch, err, committedElsewhere)
		return
	}
	base := last.revision - uint64(last.changes)
	for _, r := range batch {
		if r.offset > 0 {
			r.revision = base + uint64(r.offset)
		}
	}
	w.hub.committed(base, last.revision, batch)
}

// apply carries out one request as change n of the transaction and those that follow, sets its
// verdict, and returns how many changes that were. An error ends the whole transaction.
func (w *writer) apply(r *request, n int64, now time.Time) (changes int64, err error) {
	var res sql.Result
	switch {
	case r.appends:
		changes, err = w.add(r.entries, n, now)
		r.err = err
		return changes, err
	case r.remove:
		res, err = w.removeStmt.Exec(r.key, r.expected)
	case r.expected == 0:
		res, err = w.insertStmt.Exec(r.value, n, keepUntil(now, r.keep), r.key)
	default:
		res, err = w.updateStmt.Exec(r.value, n, keepUntil(now, r.keep), r.key, r.expected)
	}
	if err != nil {
		if !spoilsOnlyItself(err) || !w.inTransaction() {
			return 0, err
		}
		r.err = unavailable(err)
		return 0, nil
	}
	rows, err := res.RowsAffected()
	if err != nil {
		return 0, err
	}
	if rows > 0 {
		r.err = nil
		return 1, nil
	}
	r.err = backend.ErrConflict
	if r.remove {
		var exists bool
		if err := w.existsStmt.QueryRow(r.key).Scan(&exists); err != nil {
			return 0, err
		}
		if !exists {
			r.err = backend.ErrNotFound
		}
	}
	return 0, nil
}

// inTransaction finds out whether SQLite has kept the transaction after a statement failed. A
// trigger that somebody added can roll it back, and the batch-mates would go on without one.
func (w *writer) inTransaction() bool {
	_, err := w.beginStmt.Exec()
	return code(err) == sqlite3.SQLITE_ERROR // "cannot start a transaction within a transaction"
}

type counted struct {
	revision uint64 // the counter after the transaction
	changes  int64  // by how much it grew
}

// count enters what was added to streams, sweeps if it is time, and moves the counter. A sweep
// counts as one change, because it makes a new state.
func (w *writer) count(changes int64, now time.Time) (counted, error) {
	if err := w.note(); err != nil {
		return counted{}, err
	}
	if !now.Before(w.nextSweep) {
		swept, err := w.sweep(now)
		if err != nil {
			return counted{}, fmt.Errorf("sweep: %w", err)
		}
		// As many more as were just added, so that the journal's sweep keeps up with large batches.
		most := sweepLimit + changes
		forgotten, err := w.forget(now, most)
		if err != nil {
			return counted{}, fmt.Errorf("sweep the journal: %w", err)
		}
		if swept+forgotten > 0 {
			changes++
		}
		if swept < sweepLimit && forgotten < most {
			w.nextSweep = now.Add(sweepPause)
		}
	}
	var revision int64
	if err := w.countStmt.QueryRow(changes).Scan(&revision); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = errors.New("the row of table counter is missing: the file was changed by something else")
		}
		return counted{}, err
	}
	return counted{uint64(revision), changes}, nil
}

// sweep drops up to sweepLimit entries of keys whose keep has ended.
func (w *writer) sweep(now time.Time) (dropped int64, err error) {
	res, err := w.sweepStmt.Exec(now.UnixMilli(), sweepLimit)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// keepUntil rounds up to whole milliseconds. The sweep compares with the time rounded down. So
// nothing is dropped early.
func keepUntil(now time.Time, keep time.Duration) any {
	if keep == 0 {
		return nil
	}
	return now.Add(keep).Add(time.Millisecond - 1).UnixMilli() // in two steps, since the sum of the durations could overflow
}

// fail gives the whole batch one verdict: err, as explain wraps it.
func (w *writer) fail(batch []*request, err error, explain func(error) error) {
	switch code(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR: // the latter if the -shm cannot grow
		w.full = true
	}
	err = explain(err)
	for _, r := range batch {
		r.offset, r.revision, r.err = 0, 0, err
	}
}
