package natskv

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// Any server that has a replica of the journal answers reads. A replica stores entries in the order
// of their numbers, and lacks those before one that it has only if they were dropped. So an answer
// that contains a number is complete up to there. A read of several replicas first writes a fence.
// Its number is above that of every entry that was acknowledged before, and an answer that has the
// fence has them all.

// keepFence is how long a fence stays, unless the next replaces it: long enough for a replica that
// is behind to show it.
const keepFence = time.Minute

// headerID holds the id of an entry, escaped, if its subject has only a hash.
const headerID = "Lease-Entry-Id"

// apart is the filter of a fence that stands among no entries.
const apart = "*"

// fence writes a fence among the messages that filter selects, and returns its number. It returns 0
// if the reads of this stream need no proof, or the stream is full and takes none.
func (j *journal) fence(ctx context.Context, l layout, filter string) (uint64, error) {
	if !l.replicated {
		return 0, nil
	}
	m := &nats.Msg{Subject: j.prefix + fenceOf(filter), Header: nats.Header{
		jetstream.MsgRollup:    {jetstream.MsgRollupSubject},
		jetstream.MsgTTLHeader: {strconv.FormatInt(wholeSeconds(keepFence), 10) + "s"},
	}}
	var number uint64
	err := repeated(ctx, func(ctx context.Context) (err error) {
		number, err = j.s.sendFence(ctx, m)
		return err
	})
	if full(err) {
		return 0, nil
	}
	return number, err
}

// stored is a message of the journal. One that is no entry has no stream.
type stored struct {
	entry backend.JournalEntry
	name  string // what follows the prefix in its subject
}

// request is what the server's direct reads take.
type request struct {
	Sequence uint64   `json:"seq,omitempty"`
	Next     string   `json:"next_by_subj,omitempty"`
	Last     string   `json:"last_by_subj,omitempty"`
	LastOf   []string `json:"multi_last,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
}

// errTooMany refuses a request for the last messages of too many subjects.
var errTooMany = errors.New("the server has too many subjects to answer")

// ask sends one request. more is how many messages the server had beyond those that it sent.
func (j *journal) ask(ctx context.Context, r request) (found []stored, more uint64, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, 0, err
	}
	var problem error
	err = j.s.inbox.ask(ctx, jetstream.DefaultAPIPrefix+"DIRECT.GET."+j.stream, body, func(m *nats.Msg) bool {
		switch m.Header.Get("Status") {
		case statusFound:
			one, err := j.storedOf(m)
			if err != nil {
				problem = err
				return true
			}
			found = append(found, one)
			return r.Batch == 0 && r.LastOf == nil
		case statusEnd:
			more, problem = strconv.ParseUint(m.Header.Get("Nats-Num-Pending"), 10, 64)
			return true
		case statusNone:
			if len(found) > 0 { // a message has expired since the server looked its number up
				problem = statusError(m)
			}
			return true
		case "413":
			problem = errTooMany
			return true
		default:
			problem = statusError(m)
			return true
		}
	})
	if err == nil {
		err = problem
	}
	return found, more, err
}

func (j *journal) storedOf(m *nats.Msg) (stored, error) {
	sequence, err := sequenceOf(m)
	subject := m.Header.Get(jetstream.SubjectHeader)
	name, ok := strings.CutPrefix(subject, j.prefix)
	if err != nil || !ok {
		return stored{}, fmt.Errorf("the server's answer has subject %q, sequence %w", subject, err)
	}
	one := stored{name: name, entry: backend.JournalEntry{Position: sequence}}
	stream, token, ok := streamOf(name)
	if !ok {
		return one, nil
	}
	if hashed := m.Header.Get(headerID); hashed != "" {
		token = hashed
	}
	id, ok := unescapeToken(token)
	if !ok {
		return one, nil
	}
	one.entry.Stream, one.entry.ID, one.entry.Data = stream, id, m.Data
	return one, nil
}

// mostBatch is how many messages one request asks for. grownBatch is how many times as many the
// next one asks for.
const (
	mostBatch  = backend.MaxJournalBatch + 1
	grownBatch = 4
)

// forward visits the messages that filter selects from a number on, until visit returns false. It
// visits all that were acknowledged before the fence with this number, and may visit later ones.
// batch is how many it asks for at first.
func (j *journal) forward(ctx context.Context, filter string, from, fence uint64, batch int, visit func(stored) bool) error {
	for p := (pauses{}); ; {
		found, more, err := j.ask(ctx, request{Sequence: from, Next: j.prefix + filter, Batch: batch, MaxBytes: mostBytes})
		if errors.Is(err, nats.ErrNoResponders) {
			return readFailed(err)
		}
		if err == nil {
			for _, one := range found {
				if !visit(one) {
					return nil
				}
				from = one.entry.Position + 1
			}
			switch {
			case fence == 0 && (more == 0 || len(found) == 0), fence != 0 && from > fence:
				return nil
			case len(found) > 0:
				batch = min(grownBatch*batch, mostBatch)
				continue
			}
			err = errNoLeader // the server lacks the fence
		}
		if p.wait(ctx) != nil {
			return fmt.Errorf("%w: %w", j.s.hinted(readFailed(ctx.Err())), err)
		}
	}
}

// ReadStream returns the entries of a stream after a position, as [backend.Journal] says. It costs
// one request, and in a journal of several replicas a fence and another request.
func (s *Store) ReadStream(ctx context.Context, stream string, after uint64, limit int) (entries []backend.JournalEntry, err error) {
	const op = "read stream"
	if err := backend.CheckStream(stream); err != nil {
		return nil, s.failed(op, stream, err)
	}
	if err := backend.CheckPage(0, limit); err != nil {
		return nil, s.failed(op, stream, err)
	}
	if after == math.MaxUint64 {
		after--
	}
	err = s.journal.read(ctx, op, stream, func(ctx context.Context, l layout) error {
		page, err := s.journal.after(ctx, l, stream, after, limit)
		if err == nil {
			entries = page
		}
		return err
	})
	return entries, err
}

// after returns the first entries of a stream after a number. It reads what a server has. If that
// is less than limit, one more request asks a server that has the fence whether there is more.
func (j *journal) after(ctx context.Context, l layout, stream string, number uint64, limit int) (page []backend.JournalEntry, err error) {
	fence, err := j.fence(ctx, l, apart)
	if err != nil {
		return nil, err
	}
	filter := streamFilter(stream)
	read := func(proof uint64) error {
		return j.forward(ctx, filter, number+1, proof, limit+1-len(page), func(one stored) bool {
			number = one.entry.Position
			if one.entry.Stream == stream {
				page = append(page, one.entry)
			}
			return len(page) < limit
		})
	}
	if err := read(0); err != nil || fence == 0 {
		return page, err
	}
	// A number at or above the fence is above that of every entry that was acknowledged before.
	for p := (pauses{}); len(page) < limit && number < fence; {
		later, _, err := j.ask(ctx, request{Sequence: number + 1, LastOf: []string{j.prefix + filter, j.prefix + fenceOf(apart)}})
		switch {
		case errors.Is(err, errTooMany): // the stream has many ids, so the fence has to be among them
			if fence, err = j.fence(ctx, l, filter); err != nil || fence == 0 {
				return page, err
			}
			err = read(fence)
			return page, err
		case errors.Is(err, nats.ErrNoResponders):
			return nil, readFailed(err)
		case err == nil && slices.ContainsFunc(later, func(one stored) bool { return one.name != fenceOf(apart) }):
			if err := read(0); err != nil {
				return nil, err
			}
		case err == nil && shows(later, fence):
			return page, nil
		default: // the server is behind
			if p.wait(ctx) != nil {
				return nil, fmt.Errorf("%w: %w", j.s.hinted(readFailed(ctx.Err())), cmp.Or(err, errNoLeader))
			}
		}
	}
	return page, nil
}

// shows reports whether a server that has sent these messages has the fence that stands apart.
func shows(found []stored, fence uint64) bool {
	return slices.ContainsFunc(found, func(one stored) bool { return one.name == fenceOf(apart) && one.entry.Position >= fence })
}
