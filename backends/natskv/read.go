package natskv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// state is what a read found.
type state struct {
	message

	// asOf is a number of the stream up to which nothing is newer than the message. It is 0 if
	// there is no message and its number is not known.
	asOf uint64
}

// read returns the state of name, with proof that it is the newest:
//
//   - One replica: the only server that can answer is right.
//   - Several: a fence that many reads share, see read_proved.go.
//   - Several, and no server but the leader answers reads, or the servers are older than 2.14: a
//     fence for each name, see compare.go.
func (s *Store) read(ctx context.Context, name string) (state, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	l, err := s.layouts.get(ctx, s.background)
	if err != nil {
		return state{}, err
	}
	var found state
	switch {
	case l.shared(s.nc.ConnectedServerVersion()):
		found, err = s.rounds.read(ctx, name)
	case l.replicated:
		found, err = s.comparisons.read(ctx, name, unknownNumber)
	case l.direct:
		found.message, err = s.lastDirect(ctx, name)
		found.asOf = found.sequence
	default:
		found.message, err = s.lastOfLeader(ctx, name)
		found.asOf = found.sequence
	}
	switch {
	case err != nil && s.life.Err() != nil && ctx.Err() == nil:
		return state{}, backend.ErrClosed
	case err != nil:
		return state{}, err
	case found.live():
		s.granted.add(found.sequence)
	}
	return found, nil
}

// lastOfLeader asks the server that acts as the bucket's leader. It may have been deposed.
func (s *Store) lastOfLeader(ctx context.Context, name string) (message, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	request, err := json.Marshal(map[string]string{"last_by_subj": s.prefix + name})
	if err != nil {
		return message{}, err
	}
	r, err := s.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+streamName(s.bucket), request)
	if err != nil {
		return message{}, s.hinted(readFailed(err))
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Value    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(r.Data, &answer); err != nil {
		return message{}, readFailed(fmt.Errorf("the server's answer: %w", err))
	}
	switch e := answer.Error; {
	case e == nil:
	case e.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return message{}, nil
	default:
		return message{}, readFailed(e)
	}
	m := answer.Message
	if len(m.Header) == 0 {
		return newMessage(m.Sequence, nil, m.Value), nil
	}
	h, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return message{}, readFailed(fmt.Errorf("the server's answer: %w", err))
	}
	return newMessage(m.Sequence, h, m.Value), nil
}

// pending is a read that several callers wait for.
type pending struct {
	claimed atomic.Bool // somebody compares the name
	once    sync.Once
	done    chan struct{}
	found   state
	err     error
}

func newPending() *pending { return &pending{done: make(chan struct{})} }

// claim reports whether it was called for the first time.
func (p *pending) claim() bool { return p.claimed.CompareAndSwap(false, true) }

// finish gives the callers an answer. Only the first counts.
func (p *pending) finish(found state, err error) {
	p.once.Do(func() {
		p.found, p.err = found, err
		close(p.done)
	})
}

func (p *pending) wait(ctx context.Context) (state, error) {
	select {
	case <-p.done:
		return p.found, p.err
	case <-ctx.Done():
		return state{}, fmt.Errorf("%w: %w", backend.ErrUnavailable, ctx.Err())
	}
}

// full reports whether a fence was refused because the bucket is full. Then nobody can write, and
// the leader's answer counts without proof.
func full(err error) bool { return errors.Is(err, errFull) }
