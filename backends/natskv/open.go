package natskv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends"
)

// Open connects to the servers at url, which may be several, separated by commas, and opens the
// bucket there. It makes the bucket if it is absent; several processes may do so at the same time.
// ctx bounds only the opening.
//
// A bucket that would lose leases is refused and left as it is, and so is a server that takes too
// small messages. The error says what to change.
func Open(ctx context.Context, url string, opts ...Option) (*Store, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, fmt.Errorf("natskv: open: %w", err)
	}
	nc, err := connect(ctx, url, s)
	if err != nil {
		return nil, fmt.Errorf("natskv: connect to %s: %w", shown(url), err)
	}
	store, err := open(ctx, nc, s)
	if err != nil {
		nc.Close()
		return nil, err
	}
	store.ownsConn = true
	return store, nil
}

// New opens the bucket over a connection of the caller's, which Close leaves open. The
// connection's options remain the caller's. nats.go keeps what is sent while it reconnects in a
// buffer, unless told otherwise: a write that is sent just as the connection breaks may then be
// applied much later. nats.ReconnectBufSize(-1) avoids that.
func New(ctx context.Context, nc *nats.Conn, opts ...Option) (*Store, error) {
	s, err := newSettings(opts)
	if err != nil {
		return nil, fmt.Errorf("natskv: open: %w", err)
	}
	if nc == nil {
		return nil, fmt.Errorf("natskv: open: %w: the connection is nil", backend.ErrInvalid)
	}
	return open(ctx, nc, s)
}

func connect(ctx context.Context, servers string, s settings) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("leases in " + s.bucket),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
	}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, nats.Timeout(min(s.timeout, time.Until(deadline))))
	}
	opts = append(opts, s.connect...)
	// Without a connection nothing is sent, now or later. So a write fails with ErrUnavailable, and
	// not with an unknown outcome.
	opts = append(opts, nats.ReconnectBufSize(-1))
	nc, err := nats.Connect(servers, opts...)
	switch _, badURL := errors.AsType[*url.Error](err); {
	case err == nil && ctx.Err() != nil:
		nc.Close()
		return nil, ctx.Err()
	case err == nil:
		return nc, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return nil, fmt.Errorf("the server refuses the credentials: give user and password in the URL, or WithConnectOptions: %w", err)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout):
		return nil, fmt.Errorf("no server answers: is nats-server running there, and the port right? %w", err)
	case badURL: // its text has the URL in it, and so the password
		return nil, fmt.Errorf("%w: not a URL such as nats://host:4222, or several with commas between them (write special characters in user and password as %%XX)", backend.ErrInvalid)
	}
	return nil, err
}

// shown names the servers in a list of URLs, and nothing that may be secret: a user may be a token.
func shown(list string) string {
	if !strings.Contains(list, "://") {
		list = "nats://" + list
	}
	return backends.Redact(list)
}

func open(ctx context.Context, nc *nats.Conn, s settings) (*Store, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	failed := func(err error) error { return fmt.Errorf("natskv: open bucket %q: %w", s.bucket, err) }
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(s.timeout))
	if err != nil {
		return nil, failed(err)
	}
	stream, err := bind(ctx, js, s)
	if err != nil {
		return nil, failed(explained(err, s))
	}
	config := stream.CachedInfo().Config
	if problem := cmp.Or(
		unsuitable(config, s.bucket),
		tooOld(nc.ConnectedServerVersion(), config.Replicas),
		tooSmall(nc.MaxPayload(), int(config.MaxMsgSize), s.bucket),
	); problem != "" {
		return nil, failed(errors.New(problem))
	}
	kv, err := js.KeyValue(ctx, s.bucket)
	if err != nil {
		return nil, failed(explained(err, s))
	}
	answers, err := newInbox(nc)
	if err != nil {
		return nil, failed(err)
	}
	life, end := context.WithCancel(context.Background())
	store := &Store{
		nc: nc, js: js, stream: stream, kv: kv,
		prefix:  subjectPrefix(s.bucket),
		bucket:  s.bucket,
		timeout: s.timeout,
		expires: config.AllowMsgTTL,
		mostMsg: int(config.MaxMsgSize),
		inbox:   answers,
		life:    life,
		end:     end,
	}
	store.layouts = layouts{ask: store.askLayout, known: layoutOf(config), asked: time.Now()}
	store.journal = newJournal(store)
	store.rounds.s, store.comparisons.s = store, store
	if err := store.tryDirect(ctx); err != nil {
		store.Close()
		return nil, failed(err)
	}
	return store, nil
}

// tryDirect looks whether this user may send direct reads. A server that does not permit it says
// nothing, and each read would have to wait for that.
func (s *Store) tryDirect(ctx context.Context) error {
	if !s.layouts.known.direct {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout/2)
	defer cancel()
	_, err := s.lastDirect(ctx, fenceName)
	if last := s.nc.LastError(); errors.Is(err, context.DeadlineExceeded) && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("the server has said %q: give this user permission to publish to %q and %q",
			last, directSubject(s.bucket), directSubject(s.bucket)+".>")
	}
	return nil // whatever else there is, the first call will say it
}
