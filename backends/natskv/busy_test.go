package natskv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// TestUntilCompared: a write that meets another under the same key is sent again until the server
// has compared it, and is never told as a conflict before.
func TestUntilCompared(t *testing.T) {
	busy := &jetstream.APIError{Code: 400, ErrorCode: codeWrongConstant, Description: "wrong last sequence"}
	wrong := &jetstream.APIError{Code: 400, ErrorCode: codeWrongSequence, Description: "wrong last sequence: 5"}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name     string
		ctx      context.Context
		patience time.Duration
		busy     int // so many answers come before
		then     error
		want     error
		not      error
	}{
		{name: "taken at once"},
		{name: "taken after others", patience: time.Minute, busy: 5},
		{name: "a conflict after others", patience: time.Minute, busy: 2, then: wrong, want: backend.ErrConflict},
		{name: "without end", patience: 5 * time.Millisecond, busy: 1 << 30, want: backend.ErrUnavailable, not: backend.ErrConflict},
		{name: "until the context ends", ctx: ended, patience: time.Minute, busy: 1 << 30, want: context.Canceled, not: backend.ErrConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := tt.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			left := tt.busy
			ack, err := untilCompared(ctx, tt.patience, func() (*jetstream.PubAck, error) {
				switch left--; {
				case left >= 0:
					return nil, busy
				case tt.then != nil:
					return nil, tt.then
				}
				return &jetstream.PubAck{Sequence: 7}, nil
			})
			if err != nil {
				err = writeFailed(err)
			}
			switch {
			case !errors.Is(err, tt.want) || tt.not != nil && errors.Is(err, tt.not):
				t.Errorf("%v, want %v", err, tt.want)
			case tt.want == nil && ack.Sequence != 7:
				t.Errorf("%+v", ack)
			case tt.ctx != nil && !errors.Is(err, backend.ErrUnavailable):
				t.Errorf("%v does not say that nothing was written", err)
			}
		})
	}
}
