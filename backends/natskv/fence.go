package natskv

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// A fence is a message without content that a majority of the replicas stores, under a name that no
// key has. It proves two things. Its number is above that of every write that was acknowledged
// before the fence was sent. And if it is sent with the last number of another name as a condition,
// and is taken, no server has taken a later write of that name.

// fenceName is the name of all fences. Each replaces the one before. Tools show a deleted key.
const fenceName = "=fence"

// fence writes a fence and returns its number.
func (s *Store) fence(ctx context.Context) (uint64, error) {
	return s.sendFence(ctx, s.newFence())
}

// fenceIf writes a fence if number is the last of name, 0 for none. It returns
// backend.ErrConflict if it is not.
func (s *Store) fenceIf(ctx context.Context, name string, number uint64) (uint64, error) {
	m := s.newFence()
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(number, 10)}
	m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{s.prefix + name}
	return s.sendFence(ctx, m)
}

func (s *Store) newFence() *nats.Msg {
	m := &nats.Msg{Subject: s.prefix + fenceName, Header: nats.Header{"KV-Operation": {"DEL"}}}
	s.expire(m, keepMarker)
	return m
}

// sendFence sends m again while the server is busy with another write of the same name.
func (s *Store) sendFence(ctx context.Context, m *nats.Msg) (uint64, error) {
	for p := (pauses{}); ; {
		ack, err := s.js.PublishMsg(ctx, m)
		if err == nil {
			return ack.Sequence, nil
		}
		if busy(err) {
			if ended := p.wait(ctx); ended != nil {
				return 0, readFailed(ended)
			}
			continue
		}
		switch verdict := writeFailed(err); {
		case errors.Is(verdict, backend.ErrConflict), errors.Is(verdict, backend.ErrUnavailable):
			return 0, verdict
		}
		return 0, s.hinted(readFailed(err)) // whether it was written does not matter
	}
}
