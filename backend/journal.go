package backend

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"
)

// Limits that every [Journal] must accept: the longest id of an entry, its largest payload, and the
// most entries of one Append or one page. What lies beyond them is refused with [ErrInvalid] before
// anything is added.
const (
	MaxEntryIDBytes     = 64
	MaxJournalDataBytes = 64 << 10
	MaxJournalBatch     = 1000
)

// JournalEntry is one entry of a [Journal].
type JournalEntry struct {
	// Stream is the name of the timeline that the entry belongs to. It follows the rules of keys,
	// and is nothing else: a stream and a key of one name have nothing to do with each other.
	Stream string

	// ID, unless empty, makes the entry the only one of its id in its stream: a later one is
	// dropped without an error, as long as the first is kept.
	ID string

	// Data is opaque and may be empty. It belongs to whoever holds the entry, as [Entry].Value.
	Data []byte

	// Keep is how long the entry stays readable at least, from its Append on. It must be positive:
	// a journal forgets. Each server of a store drops what is over by its own clock, so an entry
	// past its keep may be missing from one read and be in the next, for seconds.
	Keep time.Duration

	// Position is greater than 0 and grows within the whole journal, in the order in which entries
	// were added. A position once used is never used again. Append ignores it. Entries that are
	// read have it, and have no Keep.
	Position uint64
}

// StreamInfo is what a [Journal] knows of a stream that has entries.
type StreamInfo struct {
	Stream string

	// Count is how many of its entries can be read.
	Count int

	// Last is the newest of them.
	Last JournalEntry
}

// Journal is a [Backend] that keeps timelines: streams of entries that are added at the end and
// never change. A stream exists as long as it has entries.
//
// Reads see every entry whose Append was acknowledged, to anybody, before they began. What Backend
// promises of concurrent use, of contexts and of Close holds for a Journal's methods too.
//
// A limit is from 1 to [MaxJournalBatch], and an offset is not negative: else [ErrInvalid].
type Journal interface {
	// Append adds entries in their order. One call's entries of one stream stand in that order,
	// also among entries that others add. Up to [MaxJournalBatch] entries are taken.
	//
	// With [ErrInvalid], [ErrUnavailable] or [ErrClosed] nothing was added. After any other error
	// some entries may have been added, or may still be: those with an ID can be sent again.
	Append(ctx context.Context, entries []JournalEntry) error

	// ReadStream returns the first entries of a stream that stand after a position, oldest first,
	// up to limit; after position 0 the stream begins. An unknown stream has no entries.
	ReadStream(ctx context.Context, stream string, after uint64, limit int) ([]JournalEntry, error)

	// ReadNewest returns the last entries, among all streams whose name begins with prefix, that
	// stand before a position, newest first, up to limit; before position 0 the journal ends.
	ReadNewest(ctx context.Context, prefix string, before uint64, limit int) ([]JournalEntry, error)

	// Streams returns the streams whose name begins with prefix, the one with the newest entry
	// first. It leaves out the first offset of them and returns up to limit. The total counts all
	// that there are.
	Streams(ctx context.Context, prefix string, offset, limit int) (page []StreamInfo, total int, err error)
}

// CheckAppend returns an error that wraps [ErrInvalid] unless the entries are ones that every
// [Journal] must accept in one Append. None at all are accepted, and nothing is done for them.
func CheckAppend(entries []JournalEntry) error {
	if len(entries) > MaxJournalBatch {
		return fmt.Errorf("%w: append has %d entries, limit %d", ErrInvalid, len(entries), MaxJournalBatch)
	}
	for i := range entries {
		if err := checkEntry(&entries[i]); err != nil {
			return fmt.Errorf("entry %d of %d: %w", i+1, len(entries), err)
		}
	}
	return nil
}

func checkEntry(e *JournalEntry) error {
	if err := CheckStream(e.Stream); err != nil {
		return err
	}
	switch {
	case len(e.ID) > MaxEntryIDBytes:
		return fmt.Errorf("%w: entry id has %d bytes, limit %d", ErrInvalid, len(e.ID), MaxEntryIDBytes)
	case !utf8.ValidString(e.ID):
		return fmt.Errorf("%w: entry id of %d bytes is not valid UTF-8", ErrInvalid, len(e.ID))
	case len(e.Data) > MaxJournalDataBytes:
		return fmt.Errorf("%w: data has %d bytes, limit %d", ErrInvalid, len(e.Data), MaxJournalDataBytes)
	case e.Keep <= 0:
		return fmt.Errorf("%w: keep is %v, must be positive", ErrInvalid, e.Keep)
	}
	return nil
}

// CheckStream returns an error that wraps [ErrInvalid] unless the stream's name is one that every
// [Journal] must accept.
func CheckStream(stream string) error {
	switch {
	case stream == "":
		return fmt.Errorf("%w: stream is empty", ErrInvalid)
	case len(stream) > MaxKeyBytes:
		return fmt.Errorf("%w: stream has %d bytes, limit %d", ErrInvalid, len(stream), MaxKeyBytes)
	case !utf8.ValidString(stream):
		return fmt.Errorf("%w: stream of %d bytes is not valid UTF-8", ErrInvalid, len(stream))
	}
	return nil
}

// CheckPage returns an error that wraps [ErrInvalid] unless the offset and the limit are ones that
// every [Journal] must accept. A method without an offset checks 0.
func CheckPage(offset, limit int) error {
	switch {
	case offset < 0:
		return fmt.Errorf("%w: offset is %d, must not be negative", ErrInvalid, offset)
	case limit < 1:
		return fmt.Errorf("%w: limit is %d, must be at least 1", ErrInvalid, limit)
	case limit > MaxJournalBatch:
		return fmt.Errorf("%w: limit is %d, must be at most %d", ErrInvalid, limit, MaxJournalBatch)
	}
	return nil
}
