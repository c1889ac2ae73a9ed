package natskv

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// failed wraps the error that a call of the store returns.
func (s *Store) failed(op, key string, err error) error {
	if err == nil {
		return nil
	}
	// A call that did nothing because Close was called meanwhile says so, and nobody asks again.
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if s.life.Err() != nil && errors.Is(err, backend.ErrUnavailable) && !ended {
		err = fmt.Errorf("%w: %v", backend.ErrClosed, err)
	}
	return &backend.Error{Store: "natskv", Op: op, Key: key, Err: err}
}

var (
	errConnectionClosed = fmt.Errorf("%w: the connection is closed", backend.ErrUnavailable)
	errFull             = fmt.Errorf("%w: the bucket is full", backend.ErrUnavailable)
	errNotConnected     = fmt.Errorf("%w: not connected to a server", backend.ErrUnavailable)

	// errBusy ends a write that the server has not compared, however often it was sent.
	errBusy = fmt.Errorf("%w: another write of the key is still under way", backend.ErrUnavailable)

	// errNoLeader ends a read if a majority confirms no server's answer.
	errNoLeader = fmt.Errorf("%w: no server is sure to lead the bucket", backend.ErrUnavailable)

	// errDeposed ends a write that was refused although the key has the expected revision.
	errDeposed = fmt.Errorf("%w: refused by a server that no longer leads the bucket", backend.ErrUnavailable)
)

// Error codes of the server (errors.json in its sources) that the client library has no names for.
const (
	codeResourcesAccount jetstream.ErrorCode = 10002
	codeResources        jetstream.ErrorCode = 10023
	codeResourcesMemory  jetstream.ErrorCode = 10028
	codeResourcesStorage jetstream.ErrorCode = 10047
	codeStreamNotMade    jetstream.ErrorCode = 10049
	codeTooLarge         jetstream.ErrorCode = 10054
	codeWrongSequence    jetstream.ErrorCode = 10071 // with the last sequence in its text
	codeStoreFailed      jetstream.ErrorCode = 10077
	codeCopyUnderWay     jetstream.ErrorCode = 10158 // an earlier copy, with the same id
	codeWrongConstant    jetstream.ErrorCode = 10164 // not compared: another write is under way
)

func apiCode(err error) jetstream.ErrorCode {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		return e.ErrorCode
	}
	return 0
}

// busy reports that the server has not compared the expected number of a write.
func busy(err error) bool {
	code := apiCode(err)
	return code == codeWrongConstant || code == codeCopyUnderWay
}

// writeFailed says whether the server that has sent this error has certainly written nothing. A
// stream checks its limits and the expected number before it stores or replicates anything, so
// refusals for these are certain. If a server could not finish, or did not answer, the outcome is
// unknown.
func writeFailed(err error) error {
	switch code := apiCode(err); {
	case errors.Is(err, backend.ErrClosed):
		return err
	case busy(err):
		return fmt.Errorf("%w: %w", errBusy, err)
	case code == codeWrongSequence:
		return backend.ErrConflict
	case code == codeTooLarge || errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: the value and its headers are larger than the server takes: "+
			"raise its max_payload (2MB holds every value), or the stream's maximum message size: %w", backend.ErrInvalid, err)
	case code == codeResources || code == codeResourcesAccount || code == codeResourcesMemory || code == codeResourcesStorage:
		return fmt.Errorf("%w: the server has no room left: raise the limits of JetStream or of the account: %w", backend.ErrUnavailable, err)
	case code == codeStoreFailed && fullStream(err):
		return fmt.Errorf("%w: raise its limits: %w", errFull, err)
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: no server has the bucket just now (no leader, no JetStream, or the bucket is gone): %w", backend.ErrUnavailable, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return fmt.Errorf("%w: %w", errNotConnected, err)
	}
	return fmt.Errorf("the outcome is unknown: %w", err)
}

func fullStream(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (e.Description == "maximum bytes exceeded" || e.Description == "maximum messages exceeded")
}

// readFailed wraps the error of a request that writes nothing.
func readFailed(err error) error {
	switch {
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return fmt.Errorf("%w: %w", errNotConnected, err)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%w: the bucket is gone: %w", backend.ErrUnavailable, err)
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: no server has the bucket just now: %w", backend.ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrUnavailable, err)
}

// hinted adds to an answer that did not come why that may be. A server reports a missing
// permission, but not in answer to a request.
func (s *Store) hinted(err error) error {
	if last := s.nc.LastError(); errors.Is(err, context.DeadlineExceeded) && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("no answer, and the server has said %q: give this user the permission: %w", last, err)
	}
	return err
}

// explained adds to an error of the opening what to do about it, if that is known.
func explained(err error, s settings) error {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("the server has no JetStream: start it with --jetstream, or a jetstream block in its configuration: %w", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("JetStream is not enabled for this account: enable it in the server's configuration: %w", err)
	case apiCode(err) == 10005 || apiCode(err) == 10074 || apiCode(err) == codeResources:
		return fmt.Errorf("%d replicas need as many servers with room for them: lower the number, or add servers: %w", s.replicas, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("JetStream does not answer within %v: does the cluster have a leader, and this user permission for $JS.API.>? %w", s.timeout, err)
	}
	return err
}
