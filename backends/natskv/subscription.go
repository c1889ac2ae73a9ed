package natskv

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// subscription is a consumer that the server makes for it, and that ends with it.
type subscription struct {
	jetstream.KeyWatcher
	cancel context.CancelFunc
}

// push has the server push the messages of names, which may be patterns. The last one of each comes
// first, unless how says otherwise. ctx bounds only the opening. If it bounded the subscription,
// the client library would end that by itself, and nobody could wait for it.
func (s *Store) push(ctx context.Context, names []string, how ...jetstream.WatchOpt) (*subscription, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, cancel)
	pushed, err := s.kv.WatchFiltered(own, slices.Clone(names), how...)
	if err != nil {
		cancel()
		return nil, err
	}
	p := &subscription{pushed, cancel}
	if !unlink() {
		p.stop()
		return nil, ctx.Err()
	}
	return p, nil
}

// stop waits until the server has dropped the consumer, a few seconds if it is away. It also takes
// what nobody has taken, or the client's goroutine might wait for ever.
func (p *subscription) stop() {
	defer p.cancel()
	p.Stop()
	for {
		select {
		case _, ok := <-p.Updates():
			if !ok {
				return
			}
		default:
			return
		}
	}
}
