package natskv

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// fenceName is where fences lie. No key has that name; to tools it is a deleted one.
const fenceName = "=fence"

// fence writes something of no consequence, if number is the last under name, and returns
// backend.ErrConflict if it is not; an empty name has any number. What it writes is replaced by the
// next, and dropped after an hour.
func (s *Store) fence(ctx context.Context, name string, number uint64) (written, error) {
	m := &nats.Msg{Subject: s.prefix + fenceName, Header: nats.Header{"KV-Operation": {"DEL"}}}
	if name != "" {
		m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(number, 10)}
		m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{s.prefix + name}
	}
	s.expire(m, keepMarker)
	sent := time.Now()
	ack, err := untilCompared(ctx, s.timeout, func() (*jetstream.PubAck, error) { return s.js.PublishMsg(ctx, m) })
	if err != nil {
		switch verdict := writeFailed(err); {
		case errors.Is(verdict, backend.ErrConflict):
			return written{}, backend.ErrConflict
		case errors.Is(verdict, backend.ErrUnavailable):
			return written{}, verdict
		}
		return written{}, s.hinted(readFailed(err)) // that it may have been written does not matter
	}
	return written{sent, ack.Sequence}, nil
}
