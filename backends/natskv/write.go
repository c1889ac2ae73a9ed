package natskv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// write is one message, stored only if the last one of its name has the expected number.
type write struct {
	name     string
	expected uint64
	value    []byte
	keep     time.Duration
	deletes  bool
}

// refusal is what is known about a write that was refused.
type refusal struct {
	told    uint64 // the number that the server named, if it named one
	named   bool
	found   state // what was read since, if it was
	read    bool
	because error
}

func (r *refusal) Error() string { return r.because.Error() }
func (r *refusal) Unwrap() error { return r.because }

// mostTries is how often a write is sent if its refusals do not tell what became of it.
const mostTries = 4

// apply sends w and returns the number that it got.
//
// For some seconds around a cut, two servers may act as leader of a replicated bucket. A message
// may reach both: the deposed one refuses it, since it compares with an old state, and the other
// takes it. The client sees only one of the answers. So apply checks a refusal. Each write has a
// random id, which the message keeps and the servers remember for a while. They do not store a
// second copy of it, and acknowledge it as they did the first.
func (s *Store) apply(ctx context.Context, w write) (uint64, error) {
	l, err := s.layouts.get(ctx, s.background)
	if err != nil {
		return 0, err
	}
	m := s.messageOf(w)
	if !l.replicated {
		ack, _, err := s.send(ctx, m)
		if err != nil {
			told, named := numberIn(err)
			return 0, &refusal{told: told, named: named, because: s.hinted(writeFailed(err))}
		}
		return ack.Sequence, nil
	}
	id := rand.Text()
	m.Header[jetstream.MsgIDHeader] = []string{id}
	begun, connection, copies := time.Now(), s.nc.Stats().Reconnects, 0
	for try := 1; ; try++ {
		ack, n, err := s.send(ctx, m)
		if err == nil {
			return ack.Sequence, nil
		}
		copies += n
		r := &refusal{because: s.hinted(writeFailed(err))}
		r.told, r.named = numberIn(err)
		// Whether the servers would have known a second copy of a write that was taken.
		remembered := copies == 1 || time.Since(begun) < l.duplicates/2
		switch {
		case apiCode(err) == 0 && copies > 1, errors.Is(err, backend.ErrClosed) && copies > 0:
			return 0, unknown(err) // an earlier copy may have been taken
		case apiCode(err) == 0, errors.Is(r.because, backend.ErrInvalid):
			return 0, r.because
		case movedOn(w, r) && copies == 1:
			return 0, r
		case ctx.Err() != nil:
			return 0, unknown(fmt.Errorf("%w: %w", ctx.Err(), err))
		}
		r.found, err = s.read(ctx, w.name)
		if err != nil {
			return 0, unknown(fmt.Errorf("it was refused (%w), and the key could not be read: %w", r.because, err))
		}
		r.read = true
		verdict := judge(w, id, r, time.Since(begun) < leastKeep, s.nc.Stats().Reconnects == connection)
		switch {
		case verdict == nil:
			return r.found.sequence, nil
		case verdict != errUnclear:
			return 0, verdict
		case movedOn(w, r) && remembered:
			return 0, r // a server that had taken an earlier copy would have said so
		case try == mostTries || !remembered:
			return 0, unknown(fmt.Errorf("it was refused (%w), and the key was written more than once since", r.because))
		}
		// It may have been taken, and replaced since. Another copy is safe: the servers acknowledge
		// it if they have taken one before.
	}
}

// movedOn reports that the last number was above the expected one when a server refused w. A
// deposed server lacks the newest messages, but those that it has are the same everywhere. So no
// server can have taken w since. An earlier copy may have been taken before.
func movedOn(w write, r *refusal) bool {
	return r.named && w.expected != 0 && r.told > w.expected
}

// errUnclear says that a refused write may have been taken all the same.
var errUnclear = errors.New("unclear")

// leastKeep is how long the shortest-lived entry stays.
const leastKeep = time.Second

// judge decides what became of a refused write, from what was read afterwards with proof. It
// returns nil if the write was taken. brief says that nothing that was written meanwhile can have
// expired. same says that all copies and then the read went over one connection.
func judge(w write, id string, r *refusal, brief, same bool) error {
	found := r.found
	conflict := func() error {
		r.because = backend.ErrConflict
		return r
	}
	switch {
	case found.id == id:
		return nil
	case found.sequence == w.expected && !same:
		return unknown(r.because) // a copy may be under way still
	case found.sequence == w.expected && !errors.Is(r.because, backend.ErrConflict):
		return r.because
	case found.sequence == w.expected && w.expected == 0:
		return r // what stood there is gone
	case found.sequence == w.expected:
		return errDeposed
	case !brief && (found.sequence == 0 || w.expected == 0):
		return errUnclear
	case r.named && r.told == found.sequence:
		return conflict()
	case found.compared && found.replaced == w.expected:
		return conflict() // another write took the place
	case r.named && w.expected == 0 && found.compared && found.replaced == r.told:
		return conflict() // what stood in the way was replaced, once
	}
	return errUnclear
}

// unknown hides what err wraps, but for the end of a context.
func unknown(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("the outcome is unknown: %v: %w", err, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the outcome is unknown: %v: %w", err, context.DeadlineExceeded)
	}
	return fmt.Errorf("the outcome is unknown: %v", err)
}

// messageOf returns the message that is w.
func (s *Store) messageOf(w write) *nats.Msg {
	m := &nats.Msg{Subject: s.prefix + w.name, Data: w.value, Header: nats.Header{
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(min(w.expected, math.MaxInt64), 10)},
	}}
	if w.deletes {
		m.Header["KV-Operation"] = []string{"DEL"}
	}
	s.expire(m, w.keep)
	return m
}

// send sends m until the server has compared its expected number, and returns how many copies it
// sent.
//
// A replicated stream refuses a write while another of the same name is under way, whatever it
// expects. It also acknowledges a write a moment before it counts it as done. So this refusal is
// no conflict: a caller who is alone with a key gets it too.
func (s *Store) send(ctx context.Context, m *nats.Msg) (ack *jetstream.PubAck, copies int, err error) {
	begun := time.Now()
	for p := (pauses{}); ; {
		if s.life.Err() != nil { // Close was called since the last copy
			return nil, copies, backend.ErrClosed
		}
		ack, err = s.js.PublishMsg(ctx, m)
		copies++
		if err == nil || !busy(err) || time.Since(begun) > s.timeout {
			return ack, copies, err
		}
		if p.wait(ctx) != nil {
			return nil, copies, err
		}
	}
}

// numberIn returns the last number of the name, if the server has named it in a refusal.
func numberIn(err error) (number uint64, named bool) {
	e, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || e.ErrorCode != codeWrongSequence {
		return 0, false
	}
	_, text, _ := strings.Cut(e.Description, ": ")
	number, err = strconv.ParseUint(text, 10, 64)
	return number, err == nil
}
