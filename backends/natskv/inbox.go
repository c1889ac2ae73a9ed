package natskv

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// inbox receives answers of several messages. It holds one subscription for all requests of a
// Store: a subscription for each would cost the server twice as much as the request.
type inbox struct {
	nc     *nats.Conn
	prefix string
	sub    *nats.Subscription

	mu      sync.Mutex
	last    uint64
	waiting map[string]*answer
}

// answer is what one request waits for.
type answer struct {
	take func(*nats.Msg) (complete bool)
	done chan struct{}
}

// inboxBytes bounds what waits in the client for the goroutine that takes it. Rounds ask for less.
const inboxBytes = 256 << 20

func newInbox(nc *nats.Conn) (*inbox, error) {
	b := &inbox{nc: nc, prefix: nc.NewInbox() + ".", waiting: map[string]*answer{}}
	sub, err := nc.Subscribe(b.prefix+"*", b.take)
	if err != nil {
		return nil, err
	}
	b.sub = sub
	return b, sub.SetPendingLimits(-1, inboxBytes)
}

func (b *inbox) close() {
	b.sub.Unsubscribe() // fails if the connection is closed, and the subscription with it
}

func (b *inbox) take(m *nats.Msg) {
	token := m.Subject[len(b.prefix):]
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.waiting[token]; a != nil && a.take(m) {
		delete(b.waiting, token)
		close(a.done)
	}
}

// ask sends a request and gives each message of the answer to take, until take says that the
// answer is complete. After ask has returned, take is not called.
func (b *inbox) ask(ctx context.Context, subject string, request []byte, take func(*nats.Msg) (complete bool)) error {
	a := &answer{take: take, done: make(chan struct{})}
	b.mu.Lock()
	b.last++
	token := strconv.FormatUint(b.last, 36)
	b.waiting[token] = a
	b.mu.Unlock()
	err := b.nc.PublishRequest(subject, b.prefix+token, request)
	if err == nil {
		select {
		case <-a.done:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, token)
	return err
}
