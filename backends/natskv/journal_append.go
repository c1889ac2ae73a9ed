package natskv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// Append adds entries, as [backend.Journal] says. Each is one message. All are sent before the
// first is acknowledged, and one connection keeps their order. What a server has refused is sent
// again only where no later entry of its stream can have been added meanwhile.
//
// An entry with an id has a subject of its own, and is stored only if nothing is stored under it.
// A keep is rounded up to whole seconds. One above 200 years is for ever.
func (s *Store) Append(ctx context.Context, entries []backend.JournalEntry) error {
	const op = "append"
	stream := ""
	if len(entries) > 0 {
		stream = entries[0].Stream
	}
	if err := s.ready(ctx); err != nil {
		return s.failed(op, stream, err)
	}
	if err := backend.CheckAppend(entries); err != nil {
		return s.failed(op, stream, err)
	}
	if len(entries) == 0 {
		return nil
	}
	bounded, end := s.journal.begin(ctx)
	defer end()
	err := s.journal.append(bounded, entries)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil { // Close has ended it
		err = s.closedMeanwhile(err)
	}
	return s.failed(op, stream, err)
}

// closedMeanwhile is the error of an Append that Close has ended.
func (s *Store) closedMeanwhile(err error) error {
	if errors.Is(err, backend.ErrUnavailable) {
		return backend.ErrClosed
	}
	return fmt.Errorf("the store was closed: %v", err)
}

// sending is an entry on its way.
type sending struct {
	message *nats.Msg
	entry   *backend.JournalEntry
	outcome outcomeOfEntry
	number  uint64 // if it is stored
	err     error  // if it is refused, or nobody knows
}

type outcomeOfEntry int

const (
	isUnknown outcomeOfEntry = iota
	isStored
	isDropped // its id is there already
	isRefused // and not stored, for certain
)

// resendWait is for how long entries are sent again that found no server to take them.
const resendWait = 2 * time.Second

func (j *journal) append(ctx context.Context, entries []backend.JournalEntry) error {
	l, err := j.layout(ctx, true)
	if err != nil {
		return err
	}
	all := make([]*sending, len(entries))
	for i := range entries {
		all[i] = &sending{message: j.messageOf(&entries[i]), entry: &entries[i]}
	}
	if err := j.tooLarge(all); err != nil {
		return err
	}
	begun := time.Now()
	rest := all
	for p := (pauses{}); ; {
		j.send(ctx, l, rest)
		rest, err = j.settle(ctx, l, all)
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			return inOrder(all)
		}
		last := rest[len(rest)-1].err
		switch {
		case busy(last):
			err = p.wait(ctx)
		case time.Since(begun) > resendWait:
			return partly(all, last)
		default:
			if err = p.wait(ctx); err == nil {
				j.layouts.forget()
				l, err = j.layout(ctx, true)
			}
		}
		if err != nil {
			return partly(all, readFailed(err))
		}
	}
}

func (j *journal) messageOf(e *backend.JournalEntry) *nats.Msg {
	token, hashed := idToken(e.ID)
	m := &nats.Msg{Subject: j.prefix + streamTokens(e.Stream) + "." + token, Data: e.Data, Header: nats.Header{}}
	if e.ID != "" {
		m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	}
	if hashed {
		m.Header[headerID] = []string{escapeToken(e.ID)}
	}
	if ttl := wholeSeconds(e.Keep); ttl > 0 {
		m.Header[jetstream.MsgTTLHeader] = []string{strconv.FormatInt(ttl, 10) + "s"}
	}
	return m
}

// tooLarge refuses entries that the server or the stream would refuse, before any is sent.
func (j *journal) tooLarge(all []*sending) error {
	most := largestValue(j.s.nc.MaxPayload(), int(j.mostMsg.Load()))
	for i, one := range all {
		if size := len(one.entry.Data); size > most {
			return fmt.Errorf("entry %d of %d: %w: data has %d bytes, and this journal takes %d: raise the server's max_payload, or the maximum message size of stream %s, to %d",
				i+1, len(all), backend.ErrInvalid, size, most, j.stream, backend.MaxJournalDataBytes+headerBytes)
		}
	}
	return nil
}

// send sends entries and waits for their acknowledgements.
func (j *journal) send(ctx context.Context, l layout, rest []*sending) {
	answers := make([]*answer, len(rest))
	connection := j.s.nc.Stats().Reconnects
	for i, one := range rest {
		one.outcome, one.err = isUnknown, nil
		if j.s.nc.Stats().Reconnects != connection {
			// What was sent over the connection before may come after what is sent over this one.
			one.outcome, one.err = isRefused, errNotConnected
			continue
		}
		reply, a := j.s.inbox.expect(func(m *nats.Msg) bool {
			one.outcome, one.number, one.err = judgeAck(m, l)
			return true
		})
		defer j.s.inbox.forget(reply)
		one.message.Reply = reply
		if err := j.s.nc.PublishMsg(one.message); err != nil { // nothing is sent
			one.outcome, one.err = isRefused, notSent(err)
			continue
		}
		answers[i] = a
	}
	for i, a := range answers {
		if a == nil {
			continue
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			j.s.inbox.forget(rest[i].message.Reply)
			select {
			case <-a.done:
			default:
				rest[i].err = ctx.Err()
			}
		}
	}
}

// notSent is the error of a message that the client has not sent.
func notSent(err error) error {
	switch {
	case errors.Is(err, nats.ErrConnectionClosed):
		return errConnectionClosed
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrReconnectBufExceeded):
		return writeFailed(err)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
}

// judgeAck says what became of a message, from the server's answer. Around a cut a deposed server
// may refuse what another takes. So of several replicas only refusals count that each would give.
func judgeAck(m *nats.Msg, l layout) (outcomeOfEntry, uint64, error) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return isRefused, 0, writeFailed(jetstream.ErrNoStreamResponse)
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return isUnknown, 0, fmt.Errorf("the server's answer: %w", err)
	}
	if ack.Error == nil {
		return isStored, ack.Sequence, nil
	}
	err := writeFailed(ack.Error)
	switch {
	case apiCode(err) == codeWrongSequence, errors.Is(err, backend.ErrConflict):
		return isDropped, 0, nil
	case busy(err), errors.Is(err, backend.ErrInvalid):
		return isRefused, 0, err
	case errors.Is(err, backend.ErrUnavailable) && !l.replicated:
		return isRefused, 0, err
	}
	return isUnknown, 0, err
}

// settle returns the entries that are to be sent again, or an error if there is no use in that.
func (j *journal) settle(ctx context.Context, l layout, all []*sending) (rest []*sending, err error) {
	later := map[string]bool{} // streams of which an entry that stands later in the call is stored
	for i := len(all) - 1; i >= 0; i-- {
		one := all[i]
		switch {
		case one.outcome == isStored:
			later[one.entry.Stream] = true
		case one.outcome == isUnknown:
			return nil, unknown(j.s.hinted(one.err))
		case one.outcome == isDropped:
		case busy(one.err) && later[one.entry.Stream]:
			// Sent again it would come too late, but another one of its id was on its way.
			there, err := j.has(ctx, l, one)
			if err != nil || !there {
				return nil, partly(all, errors.Join(one.err, err))
			}
			one.outcome = isDropped
		case later[one.entry.Stream]:
			return nil, partly(all, one.err)
		case busy(one.err), errors.Is(one.err, jetstream.ErrNoStreamResponse):
			rest = append(rest, one)
		default:
			return nil, partly(all, one.err)
		}
	}
	for a, b := 0, len(rest)-1; a < b; a, b = a+1, b-1 {
		rest[a], rest[b] = rest[b], rest[a]
	}
	return rest, nil
}

// has reports whether the id of an entry is there.
func (j *journal) has(ctx context.Context, l layout, one *sending) (bool, error) {
	name := one.message.Subject[len(j.prefix):]
	fence, err := j.fence(ctx, l, apart)
	if err != nil {
		return false, err
	}
	there := false
	err = j.lasts(ctx, fence, []string{name}, func(found stored) {
		there = there || found.name == name
	})
	return there, err
}

// partly is the error of an Append that has failed. If an entry is stored, or may be, the outcome
// is unknown.
func partly(all []*sending, err error) error {
	for _, one := range all {
		if one.outcome == isStored {
			return unknown(fmt.Errorf("some entries were added, and one was not: %w", err))
		}
	}
	return err
}

// inOrder checks that the numbers of each stream's entries rise.
func inOrder(all []*sending) error {
	last := map[string]uint64{}
	for _, one := range all {
		if one.outcome != isStored {
			continue
		}
		if one.number <= last[one.entry.Stream] {
			return unknown(errors.New("the entries were added in another order"))
		}
		last[one.entry.Stream] = one.number
	}
	return nil
}
