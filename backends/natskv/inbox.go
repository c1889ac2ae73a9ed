package natskv

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// inbox receives answers of several messages. It holds one subscription for all requests of a
// Store: a subscription for each would cost the server twice as much as the request.
type inbox struct {
	publish func(subject, reply string, request []byte) error
	prefix  string
	sub     *nats.Subscription

	mu      sync.Mutex
	last    uint64
	waiting map[string]*answer
}

// answer is what one request waits for.
type answer struct {
	take func(*nats.Msg) (complete bool)
	done chan struct{}
	came chan struct{} // of capacity 1: a message has come
}

// errSilent ends an answer of which nothing has come for answerWait.
var errSilent = errors.New("the server has sent nothing for too long")

// answerWait is how long the next message of an answer may take.
const answerWait = 500 * time.Millisecond

// inboxBytes bounds what waits in the client for the goroutine that takes it. Rounds ask for less.
const inboxBytes = 256 << 20

func newInbox(nc *nats.Conn) (*inbox, error) {
	b := &inbox{publish: nc.PublishRequest, prefix: nc.NewInbox() + ".", waiting: map[string]*answer{}}
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
	a := b.waiting[token]
	if a == nil {
		return
	}
	if a.take(m) {
		delete(b.waiting, token)
		close(a.done)
		return
	}
	select {
	case a.came <- struct{}{}:
	default:
	}
}

// ask sends a request and gives each message of the answer to take, until take says that the
// answer is complete. It returns errSilent if the next message does not come within answerWait. So
// a long answer has its time. After ask has returned, take is not called.
func (b *inbox) ask(ctx context.Context, subject string, request []byte, take func(*nats.Msg) (complete bool)) error {
	reply, a := b.expect(take)
	defer b.forget(reply)
	if err := b.publish(subject, reply, request); err != nil {
		return err
	}
	return a.wait(ctx)
}

// expect returns the subject to which an answer is to be sent. Whoever calls it calls forget.
func (b *inbox) expect(take func(*nats.Msg) (complete bool)) (reply string, a *answer) {
	a = &answer{take: take, done: make(chan struct{}), came: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	token := strconv.FormatUint(b.last, 36)
	b.waiting[token] = a
	return b.prefix + token, a
}

// forget drops what still comes to reply. After it has returned, take is not called.
func (b *inbox) forget(reply string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, reply[len(b.prefix):])
}

func (a *answer) wait(ctx context.Context) error {
	silence := time.NewTimer(answerWait)
	defer silence.Stop()
	for {
		select {
		case <-a.done:
			return nil
		case <-a.came:
			silence.Reset(answerWait)
		case <-silence.C:
			return errSilent
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
