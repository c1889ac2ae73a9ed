package sqlite

import (
	"context"
	"iter"

	"github.com/uptrace/bun"

	"github.com/ailease/lease/backend"
)

// Bounds of one page of a listing: how much is held in memory, and for how long a reader is
// borrowed.
const (
	pageEntries = 256
	pageBytes   = 1 << 20
)

// entry is a row of table entries.
type entry struct {
	bun.BaseModel `bun:"table:entries"`

	Key      string
	Value    []byte
	Revision uint64
}

// List yields the entries whose key begins with prefix, in the order of their keys, as
// [backend.Lister] says. It reads page after page, each from where the last ended. No transaction
// stays open while the caller works, and no key comes twice. An entry whose keep has ended is
// yielded until a later write sweeps it away.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[backend.Entry, error] {
	return func(yield func(backend.Entry, error) bool) {
		after, first := prefix, true
		for {
			page, more, err := s.page(ctx, prefix, after, first)
			for _, e := range page {
				if err = ctx.Err(); err != nil {
					break
				}
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(backend.Entry{}, failed("list", prefix, err))
				return
			}
			if !more {
				return
			}
			after, first = page[len(page)-1].Key, false
		}
	}
}

// page reads the entries with the prefix that follow key after, and on the first page also that key
// itself.
func (s *Store) page(ctx context.Context, prefix, after string, first bool) (page []backend.Entry, more bool, err error) {
	r, err := s.pool.take(ctx)
	if err != nil {
		return nil, false, err
	}
	defer func() { s.pool.give(r, err) }()

	// Keys go in as bytes. Bun writes strings into the text of the query, without their NULs and
	// with U+FFFD for what is not valid UTF-8; a cast from bytes keeps them as they are.
	q := s.bun.NewSelect().Conn(r.conn.Conn).Model((*entry)(nil)).OrderExpr("key").Limit(pageEntries)
	if first {
		q.Where("key >= CAST(? AS TEXT)", []byte(after))
	} else {
		q.Where("key > CAST(? AS TEXT)", []byte(after))
	}
	if end := prefixEnd(prefix); end != nil {
		q.Where("key < CAST(? AS TEXT)", end)
	}
	rows, err := q.Rows(context.WithoutCancel(ctx))
	if err != nil {
		return nil, false, readFailed(err)
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		var e backend.Entry
		if err := rows.Scan(&e.Key, &e.Value, &e.Revision); err != nil {
			return nil, false, err
		}
		if e.Value == nil {
			e.Value = []byte{}
		}
		page = append(page, e)
		if size += len(e.Key) + len(e.Value); size >= pageBytes {
			return page, true, nil
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, readFailed(err)
	}
	return page, len(page) == pageEntries, nil
}

// prefixEnd is the first string of bytes that sorts after all that begin with prefix; nil if there
// is none.
func prefixEnd(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
