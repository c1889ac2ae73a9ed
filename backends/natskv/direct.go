package natskv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Direct reads: any server with a replica of the bucket may answer, from its own state. Alone, such
// an answer proves nothing; see rounds.

const (
	mostNames   = 256      // that one answer may be asked for; the server allows 1 024
	mostBytes   = 16 << 20 // of one answer; the server cuts it there
	statusFound = ""
	statusEnd   = "204"
	statusNone  = "404"
)

var errCut = errors.New("the server cut its answer") // at mostBytes

// directSubject is the subject of direct reads. A user needs permission to publish to it.
func directSubject(bucket string) string {
	return jetstream.DefaultAPIPrefix + "DIRECT.GET." + streamName(bucket)
}

// lastDirect asks for the last message of name.
func (s *Store) lastDirect(ctx context.Context, name string) (message, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	r, err := s.nc.RequestWithContext(ctx, directSubject(s.bucket)+"."+s.prefix+name, nil)
	if err != nil {
		return message{}, s.hinted(readFailed(err))
	}
	switch status := r.Header.Get("Status"); status {
	case statusFound:
		sequence, err := sequenceOf(r)
		if err != nil {
			return message{}, readFailed(err)
		}
		return newMessage(sequence, r.Header, r.Data), nil
	case statusNone:
		return message{}, nil
	default:
		return message{}, readFailed(statusError(r))
	}
}

// snapshot returns the last messages of names as one server had them at one moment. Names without
// a message are not in it. The server may cut the answer: then the error is errCut.
func (s *Store) snapshot(ctx context.Context, names []string) (map[string]message, error) {
	subjects := make([]string, len(names))
	for i, name := range names {
		subjects[i] = s.prefix + name
	}
	request, err := json.Marshal(struct {
		Last     []string `json:"multi_last"`
		MaxBytes int      `json:"max_bytes"`
	}{subjects, mostBytes})
	if err != nil {
		return nil, err
	}
	found := make(map[string]message, len(names))
	var problem error
	err = s.inbox.ask(ctx, directSubject(s.bucket), request, func(r *nats.Msg) bool {
		switch r.Header.Get("Status") {
		case statusFound:
			sequence, err := sequenceOf(r)
			subject := r.Header.Get(jetstream.SubjectHeader)
			if err != nil || len(subject) <= len(s.prefix) {
				problem = fmt.Errorf("the server's answer has subject %q, sequence %w", subject, err)
				return true
			}
			found[subject[len(s.prefix):]] = newMessage(sequence, r.Header, r.Data)
			return false
		case statusEnd:
			if pending := r.Header.Get("Nats-Num-Pending"); pending != "0" {
				problem = errCut
			}
			return true
		case statusNone:
			// Nothing has a message. In the middle of an answer: servers before 2.15 look the
			// numbers up first, and one of the messages has expired since.
			if len(found) > 0 {
				problem = statusError(r)
			}
			return true
		default:
			problem = statusError(r)
			return true
		}
	})
	if err == nil {
		err = problem
	}
	return found, err
}

func sequenceOf(r *nats.Msg) (uint64, error) {
	return strconv.ParseUint(r.Header.Get(jetstream.SequenceHeader), 10, 64)
}

func statusError(r *nats.Msg) error {
	if status := r.Header.Get("Status"); status != "503" {
		return fmt.Errorf("the server answers %s %s", status, r.Header.Get("Description"))
	}
	return nats.ErrNoResponders
}
