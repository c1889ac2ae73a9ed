package natskv

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrNearlyFull says that less than a fifth of what a bucket may hold is free.
var ErrNearlyFull = errors.New("the bucket is nearly full")

// CheckRoom returns an error that wraps [ErrNearlyFull] if more than four fifths of the bucket's
// max_bytes or of its maximum number of messages are in use. A bucket without such limits has room.
// CheckRoom does not see the limits of the account and of the server's storage. Call it when the
// program starts and once a minute: a full bucket takes no extensions and completions either.
func (s *Store) CheckRoom(ctx context.Context) error {
	err := s.ready(ctx)
	if err != nil {
		return fmt.Errorf("natskv: check room: %w", err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	info, err := s.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("natskv: check room: %w", s.hinted(readFailed(err)))
	}
	if problem := nearlyFull(info.Config, info.State); problem != "" {
		return fmt.Errorf("natskv: %w: %s", ErrNearlyFull, problem)
	}
	return nil
}

// nearlyFull says which limit is nearly reached, and what to do about it, or "".
func nearlyFull(c jetstream.StreamConfig, s jetstream.StreamState) string {
	for _, l := range []struct {
		used  uint64
		limit int64 // none unless above 0
		what  string
		loses string // what it does not take when it is full
		flag  string
	}{
		{s.Bytes, c.MaxBytes, "bytes", "leases, extensions and completions", "--max-bytes"},
		{s.Msgs, c.MaxMsgs, "messages", "new leases", "--max-msgs"},
	} {
		if l.limit > 0 && l.used > uint64(l.limit)/5*4 {
			return fmt.Sprintf("it holds %d of at most %d %s, and takes no %s when it is full: run: nats stream edit %s %s=%d",
				l.used, l.limit, l.what, l.loses, c.Name, l.flag, 2*l.limit)
		}
	}
	return ""
}
