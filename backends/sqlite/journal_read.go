package sqlite

import (
	"context"
	"database/sql"

	"github.com/ailease/lease/backend"
)

// Each of these is one statement, so one snapshot, and finds its page by an index.
const (
	streamSQL = `SELECT position, stream, id, data FROM journal
WHERE stream = ? AND position > ? ORDER BY position LIMIT ?`

	// All entries, those of one namespace, and those whose stream is in a range. The last reads the
	// positions of all that are in the range, but not the entries.
	newestSQL            = `SELECT position, stream, id, data FROM journal WHERE position < ? ORDER BY position DESC LIMIT ?`
	newestOfNamespaceSQL = `SELECT position, stream, id, data FROM journal
WHERE namespace = CAST(? AS TEXT) AND position < ? ORDER BY position DESC LIMIT ?`
	newestOfRangeSQL = `SELECT position, stream, id, data FROM journal WHERE position IN
(SELECT position FROM journal INDEXED BY journal_stream
WHERE stream >= CAST(? AS TEXT) AND stream < CAST(? AS TEXT) AND position < ? ORDER BY position DESC LIMIT ?)
ORDER BY position DESC`

	// The total comes also if the page is empty.
	streamsOfNamespaceSQL = `WITH page AS MATERIALIZED
(SELECT stream, entries, newest FROM streams WHERE namespace = CAST(? AS TEXT) ORDER BY newest DESC LIMIT ? OFFSET ?)
SELECT (SELECT count(*) FROM streams WHERE namespace = CAST(? AS TEXT)), page.entries, position, journal.stream, id, data
FROM (SELECT 1) LEFT JOIN page LEFT JOIN journal ON position = page.newest ORDER BY page.newest DESC`
	streamsOfRangeSQL = `WITH page AS MATERIALIZED
(SELECT stream, entries, newest FROM streams WHERE stream >= CAST(? AS TEXT) AND stream < CAST(? AS TEXT)
ORDER BY newest DESC LIMIT ? OFFSET ?)
SELECT (SELECT count(*) FROM streams WHERE stream >= CAST(? AS TEXT) AND stream < CAST(? AS TEXT)), page.entries, position, journal.stream, id, data
FROM (SELECT 1) LEFT JOIN page LEFT JOIN journal ON position = page.newest ORDER BY page.newest DESC`
)

// isNamespace tells whether the streams that begin with the prefix are those of one namespace.
func isNamespace(prefix string) bool { return prefix != "" && namespaceOf(prefix) == prefix }

// rangeOf returns what the streams with a prefix are not less than, and less than.
func rangeOf(prefix string) (from, to []byte) {
	if to = prefixEnd(prefix); to == nil {
		to = []byte{0xff} // no valid UTF-8 begins with it
	}
	return []byte(prefix), to
}

// ReadStream reads a page of one stream, as [backend.Journal] says. Entries whose keep has ended
// are there until a later write sweeps them away, for all reads alike.
func (s *Store) ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]backend.JournalEntry, error) {
	err := backend.CheckStream(stream)
	if err == nil {
		err = backend.CheckPage(0, limit)
	}
	return s.entries(ctx, "read stream", stream, err, func(r *reader) (*sql.Rows, error) {
		return r.streamStmt.Query(stream, toColumn(after), limit)
	})
}

// ReadNewest reads the newest entries, as [backend.Journal] says. A prefix that ends with the first
// slash of the names, and so names a namespace, costs what is returned. With another prefix it
// costs as much as there are entries of such streams.
func (s *Store) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]backend.JournalEntry, error) {
	end := toColumn(before)
	if before == 0 {
		end = 1<<63 - 1
	}
	return s.entries(ctx, "read newest", prefix, backend.CheckPage(0, limit), func(r *reader) (*sql.Rows, error) {
		switch {
		case prefix == "":
			return r.newestStmt.Query(end, limit)
		case isNamespace(prefix):
			return r.newestOfNamespaceStmt.Query([]byte(prefix), end, limit)
		}
		from, to := rangeOf(prefix)
		return r.newestOfRangeStmt.Query(from, to, end, limit)
	})
}

// entries reads a page, unless the arguments are invalid.
func (s *Store) entries(ctx context.Context, op, name string, invalid error, query func(r *reader) (*sql.Rows, error)) (page []backend.JournalEntry, err error) {
	err = s.query(ctx, invalid, query, func(rows *sql.Rows) error {
		var e backend.JournalEntry
		var id sql.NullString
		if err := rows.Scan(&e.Position, &e.Stream, &id, &e.Data); err != nil {
			return err
		}
		e.ID = id.String
		page = append(page, whole(e))
		return nil
	})
	return page, failed(op, name, err)
}

func whole(e backend.JournalEntry) backend.JournalEntry {
	if e.Data == nil {
		e.Data = []byte{}
	}
	return e
}

// query reads rows on a borrowed reader.
func (s *Store) query(ctx context.Context, invalid error, query func(r *reader) (*sql.Rows, error), scan func(rows *sql.Rows) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if invalid != nil {
		return invalid
	}
	r, err := s.pool.take(ctx)
	if err != nil {
		return err
	}
	defer func() { s.pool.give(r, err) }()
	rows, err := query(r)
	if err != nil {
		return readFailed(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return readFailed(err)
	}
	return nil
}

// Streams lists streams, as [backend.Journal] says. A prefix that names a namespace, up to a slash,
// costs what is left out and returned, and the counting of the namespace's streams. With another
// prefix it sorts all such streams.
func (s *Store) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	err = s.query(ctx, backend.CheckPage(offset, limit), func(r *reader) (*sql.Rows, error) {
		if isNamespace(prefix) {
			return r.streamsOfNamespaceStmt.Query([]byte(prefix), limit, offset, []byte(prefix))
		}
		from, to := rangeOf(prefix)
		return r.streamsOfRangeStmt.Query(from, to, limit, offset, from, to)
	}, func(rows *sql.Rows) error {
		var count, position sql.NullInt64
		var stream, id sql.NullString
		var data []byte
		if err := rows.Scan(&total, &count, &position, &stream, &id, &data); err != nil || !count.Valid {
			return err
		}
		last := backend.JournalEntry{Stream: stream.String, ID: id.String, Data: data, Position: uint64(position.Int64)}
		page = append(page, backend.StreamInfo{Stream: last.Stream, Count: int(count.Int64), Last: whole(last)})
		return nil
	})
	if err != nil {
		return nil, 0, failed("streams", prefix, err)
	}
	return page, total, nil
}
