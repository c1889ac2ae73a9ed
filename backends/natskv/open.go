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
// bucket there; it makes the bucket if it is absent. Several processes may do so at the same time.
// ctx bounds only the opening.
//
// A bucket that would lose leases, or answer reads from a replica that lags, is refused and left as
// it is: the error says what to change.
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

// New opens the bucket over a connection of the caller's, which Close leaves open. The connection's
// options remain the caller's: with a buffer for what is sent while it reconnects, which is
// nats.go's default, a write that is sent just as the connection breaks may still be applied much
// later; nats.ReconnectBufSize(-1) spares its callers that.
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
	// Without a connection nothing is sent, now or later: a write then fails with ErrUnavailable,
	// and not with an unknown outcome.
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
	if problem := cmp.Or(unsuitable(config, s.bucket), tooOld(nc.ConnectedServerVersion(), config.Replicas)); problem != "" {
		return nil, failed(errors.New(problem))
	}
	kv, err := js.KeyValue(ctx, s.bucket)
	if err != nil {
		return nil, failed(explained(err, s))
	}
	life, end := context.WithCancel(context.Background())
	store := &Store{
		nc: nc, js: js, stream: stream, kv: kv,
		prefix:  subjectPrefix(s.bucket),
		bucket:  s.bucket,
		timeout: s.timeout,
		expires: config.AllowMsgTTL,
		life:    life,
		end:     end,
	}
	store.leader = newLeader(store, config.Replicas > 1)
	return store, nil
}

func streamName(bucket string) string    { return "KV_" + bucket }
func subjectPrefix(bucket string) string { return "$KV." + bucket + "." }

// bind returns the bucket's stream, which it makes if it is absent. It is made by hand: those that
// CreateKeyValue makes let any replica answer reads.
func bind(ctx context.Context, js jetstream.JetStream, s settings) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, streamName(s.bucket))
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return stream, err
	}
	stream, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name:              streamName(s.bucket),
		Description:       "AI leases: a record under each key. Do not delete: fencing tokens are its sequence numbers",
		Subjects:          []string{subjectPrefix(s.bucket) + ">"},
		Storage:           jetstream.FileStorage,
		Replicas:          s.replicas,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		DenyDelete:        true,
		AllowRollup:       true,
		AllowDirect:       false,
		AllowMsgTTL:       true, // ignored by servers before 2.11, which keep everything for ever
	})
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process was faster
		return js.Stream(ctx, streamName(s.bucket))
	}
	return stream, err
}

// unsuitable says what is wrong with a bucket, and what to do about it, or "".
func unsuitable(c jetstream.StreamConfig, bucket string) string {
	edit := func(problem, flag string) string {
		return fmt.Sprintf("%s: give leases a bucket of their own, or run: nats stream edit %s %s", problem, streamName(bucket), flag)
	}
	switch {
	case c.Mirror != nil || len(c.Sources) > 0:
		return "it copies another stream, and cannot be compared and set: give leases a bucket of their own"
	case len(c.Subjects) != 1 || c.Subjects[0] != subjectPrefix(bucket)+">":
		return fmt.Sprintf("its subjects are %q, must be %q: give leases a bucket of their own", c.Subjects, subjectPrefix(bucket)+">")
	case c.AllowDirect:
		return edit("any replica may answer its reads, also one that lags", "--no-allow-direct")
	case c.Storage != jetstream.FileStorage:
		return "it is kept in memory, so that a restart loses all leases and begins fencing tokens anew: give leases a bucket of their own"
	case c.MaxMsgsPerSubject != 1: // of two messages the newer may be dropped first, and then the older would stand again
		return edit(fmt.Sprintf("its history is %d, so that an old entry would come back when the keep of a newer one ends", c.MaxMsgsPerSubject), "--max-msgs-per-subject=1")
	case c.DiscardNewPerSubject:
		return "it refuses to replace an entry: give leases a bucket of their own"
	case c.SubjectTransform != nil:
		return "it stores entries under other subjects: give leases a bucket of their own"
	case c.Sealed:
		return "it is sealed, and takes no writes: give leases a bucket of their own"
	case c.PersistMode == jetstream.AsyncPersistMode:
		return "it acknowledges writes before they are written (persist mode async): give leases a bucket of their own"
	case c.MaxAge != 0:
		return edit(fmt.Sprintf("it drops every entry after %v", c.MaxAge), "--max-age=-1")
	case c.Retention != jetstream.LimitsPolicy:
		return fmt.Sprintf("its retention policy is %v, must be limits: give leases a bucket of their own", c.Retention)
	case c.Discard != jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0):
		return edit("it drops old entries when it is full", "--discard=new")
	case c.NoAck:
		return edit("it does not acknowledge writes", "--ack")
	}
	return ""
}

// tooOld says what to do about a server that cannot be read with certainty, or "": one that cannot
// compare a fence with another message. A version that cannot be read is left to show what it can.
func tooOld(version string, replicas int) string {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 || replicas < 2 || major > 2 || major == 2 && minor >= 11 {
		return ""
	}
	return fmt.Sprintf("a bucket of %d replicas needs servers of version 2.11 or later, this one has %s: upgrade them, or use one replica", replicas, version)
}
