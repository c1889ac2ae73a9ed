package natskv

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// errBusy is the answer to a write that the server would not even compare.
var errBusy = fmt.Errorf("%w: another write of the key is still under way", backend.ErrUnavailable)

// The pauses between tries of a write that meets another: the other takes as long as the replicas
// need to agree.
const (
	busyPauseFirst = 500 * time.Microsecond // doubled with each try
	busyPauseMost  = 32 * time.Millisecond
)

// untilCompared calls publish until the server has compared its expected number, for at most as
// long as patience.
//
// A replicated stream refuses a write while another under the same key is under way, whatever it
// expects; and it acknowledges a write a moment before it counts it as done. So the refusal is no
// conflict: whoever is alone on a key gets it too. Nothing was written, and so the write may be
// sent again.
func untilCompared(ctx context.Context, patience time.Duration, publish func() (*jetstream.PubAck, error)) (*jetstream.PubAck, error) {
	begun := time.Now()
	for pause := busyPauseFirst; ; pause = min(2*pause, busyPauseMost) {
		ack, err := publish()
		if apiCode(err) != codeWrongConstant {
			return ack, err
		}
		if time.Since(begun) > patience {
			return nil, fmt.Errorf("%w: %w", errBusy, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errBusy, ctx.Err())
		case <-time.After(pause):
		}
	}
}
