package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/ailease/lease/backend"
)

// The journal. Appends are writes like others: they share the transactions of the group. A
// request's entries are in one transaction, which has all of them or none.

const (
	// An entry gets its position as a write gets its revision.
	addSQL = `INSERT INTO journal (position, stream, namespace, id, data, keep_until)
VALUES ((SELECT revision FROM counter) + ?, ?, ?, ?, coalesce(?, x''), ?)
ON CONFLICT (stream, id) WHERE id IS NOT NULL DO NOTHING`
	addedSQL = `INSERT INTO streams (stream, namespace, entries, newest) VALUES (?, ?, ?, (SELECT revision FROM counter) + ?)
ON CONFLICT (stream) DO UPDATE SET entries = entries + excluded.entries, newest = excluded.newest`

	// A sweep drops entries whose keep has ended.
	forgetSQL = `DELETE FROM journal WHERE position IN
(SELECT position FROM journal WHERE keep_until <= ? ORDER BY keep_until LIMIT ?) RETURNING stream`
	forgottenSQL = `UPDATE streams SET entries = entries - ?,
newest = coalesce((SELECT max(position) FROM journal WHERE journal.stream = streams.stream), 0) WHERE stream = ?`
	emptiedSQL = `DELETE FROM streams WHERE stream = ? AND entries = 0`
)

// Append adds entries, as [backend.Journal] says: all of them in one transaction, or none. It waits
// as [Store.CompareAndSet] does, and its errors and its context's end mean the same.
func (s *Store) Append(ctx context.Context, entries []backend.JournalEntry) error {
	stream := ""
	if len(entries) > 0 {
		stream = entries[0].Stream
	}
	if ctx.Err() != nil {
		return failed("append", stream, withdrawn(ctx))
	}
	if err := backend.CheckAppend(entries); err != nil {
		return failed("append", stream, err)
	}
	return failed("append", stream, s.group.do(ctx, &request{entries: entries, appends: true}))
}

// kept returns entries that stay as they are when the caller changes his.
func kept(entries []backend.JournalEntry) []backend.JournalEntry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Data = bytes.Clone(entries[i].Data)
	}
	return entries
}

// tally is what a transaction does to one stream.
type tally struct {
	entries int
	newest  int64 // which change of the transaction it is
}

// add adds entries as changes n and following of the transaction, and returns how many it added.
func (w *writer) add(entries []backend.JournalEntry, n int64, now time.Time) (added int64, err error) {
	for i := range entries {
		e := &entries[i]
		id := sql.NullString{String: e.ID, Valid: e.ID != ""}
		res, err := w.addStmt.Exec(n+added, e.Stream, namespaceOf(e.Stream), id, e.Data, keepUntil(now, e.Keep))
		if err != nil {
			return 0, err
		}
		rows, err := res.RowsAffected()
		if err != nil {
			return 0, err
		}
		if rows > 0 {
			w.added[e.Stream] = tally{w.added[e.Stream].entries + 1, n + added}
			added++
		}
	}
	return added, nil
}

// note enters into the table of streams what the transaction has added.
func (w *writer) note() error {
	for stream, t := range w.added {
		if _, err := w.addedStmt.Exec(stream, namespaceOf(stream), t.entries, t.newest); err != nil {
			return err
		}
	}
	return nil
}

// forget drops up to limit entries whose keep has ended.
func (w *writer) forget(now time.Time, limit int64) (dropped int64, err error) {
	of, err := w.drop(now, limit)
	if err != nil {
		return 0, err
	}
	for stream, n := range of {
		if _, err := w.forgottenStmt.Exec(n, stream); err != nil {
			return 0, err
		}
		if _, err := w.emptiedStmt.Exec(stream); err != nil {
			return 0, err
		}
		dropped += n
	}
	return dropped, nil
}

// drop is forget without the table of streams. It tells how many entries of each were dropped.
func (w *writer) drop(now time.Time, limit int64) (of map[string]int64, err error) {
	rows, err := w.forgetStmt.Query(now.UnixMilli(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	of = make(map[string]int64)
	for rows.Next() {
		var stream string
		if err := rows.Scan(&stream); err != nil {
			return nil, err
		}
		of[stream]++
	}
	return of, rows.Err()
}

// namespaceOf is what stands before the first slash of a stream, and that slash.
func namespaceOf(stream string) string { return stream[:strings.IndexByte(stream, '/')+1] }
