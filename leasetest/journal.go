package leasetest

import (
	"cmp"
	"context"

	"github.com/ailease/lease/backend"
)

// journal is a Store's [backend.Journal].
type journal struct {
	s       *Store
	wrapped backend.Journal
}

// through makes a call by the connection that there is.
func (j journal) through(ctx context.Context, call func() error) error {
	conn, err := j.s.pass(ctx, false)
	if err != nil {
		return err
	}
	err = call()
	return cmp.Or(conn.hang(ctx), err)
}

func (j journal) Append(ctx context.Context, entries []backend.JournalEntry) error {
	return j.through(ctx, func() error { return j.wrapped.Append(ctx, entries) })
}

func (j journal) ReadStream(ctx context.Context, stream string, after uint64, limit int) (page []backend.JournalEntry, err error) {
	err = j.through(ctx, func() (err error) {
		page, err = j.wrapped.ReadStream(ctx, stream, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func (j journal) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) (page []backend.JournalEntry, err error) {
	err = j.through(ctx, func() (err error) {
		page, err = j.wrapped.ReadNewest(ctx, prefix, before, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

func (j journal) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	err = j.through(ctx, func() (err error) {
		page, total, err = j.wrapped.Streams(ctx, prefix, offset, limit)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return page, total, nil
}
