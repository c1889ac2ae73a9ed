package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ailease/lease/backend"
)

type faultyJournal struct{ f *Faulty }

// with makes a call of the store's journal, unless a crash comes in between.
func (j faultyJournal) with(call func(backend.Journal) error) error {
	return j.f.with(func(b backend.Backend) error {
		journal, ok := backend.As[backend.Journal](b)
		if !ok {
			return fmt.Errorf("%w: the store has no journal since it crashed", errors.ErrUnsupported)
		}
		return call(journal)
	})
}

// Append implements [backend.Journal].
func (j faultyJournal) Append(ctx context.Context, entries []backend.JournalEntry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	add := func() error { return j.with(func(b backend.Journal) error { return b.Append(ctx, entries) }) }
	switch k, wait := j.f.draw(j.f.reads, "append: "); k {
	case refused:
		return fmt.Errorf("%w: injected", backend.ErrUnavailable)
	case lostRequest:
		return unknown(k)
	case lostAnswer:
		if err := add(); errors.Is(err, backend.ErrInvalid) || errors.Is(err, backend.ErrClosed) {
			return err
		}
		return unknown(k)
	case lateKind:
		late := slices.Clone(entries)
		for i := range late {
			late[i].Data = bytes.Clone(late[i].Data)
		}
		ctx := context.WithoutCancel(ctx)
		j.f.late.Go(func() {
			time.Sleep(wait)
			j.with(func(b backend.Journal) error { return b.Append(ctx, late) })
		})
		return unknown(k)
	case delay, duplicate:
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	return add()
}

// read makes a call that reads.
func (j faultyJournal) read(ctx context.Context, call func(backend.Journal) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k, err := j.f.meet(ctx, "journal")
	if err != nil {
		return err
	}
	err = j.with(call)
	if k == lostAnswer && err == nil {
		return unknown(k)
	}
	return err
}

// ReadStream implements [backend.Journal].
func (j faultyJournal) ReadStream(ctx context.Context, stream string, after uint64, limit int) (page []backend.JournalEntry, err error) {
	err = j.read(ctx, func(b backend.Journal) (err error) {
		page, err = b.ReadStream(ctx, stream, after, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// ReadNewest implements [backend.Journal].
func (j faultyJournal) ReadNewest(ctx context.Context, prefix string, before uint64, limit int) (page []backend.JournalEntry, err error) {
	err = j.read(ctx, func(b backend.Journal) (err error) {
		page, err = b.ReadNewest(ctx, prefix, before, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, nil
}

// Streams implements [backend.Journal].
func (j faultyJournal) Streams(ctx context.Context, prefix string, offset, limit int) (page []backend.StreamInfo, total int, err error) {
	err = j.read(ctx, func(b backend.Journal) (err error) {
		page, total, err = b.Streams(ctx, prefix, offset, limit)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return page, total, nil
}
