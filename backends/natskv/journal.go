package natskv

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
)

// journal is a stream beside the bucket: every entry is a message, and its position is the
// message's number. The first Append makes the stream. One that was deleted has no entries, and the
// next Append makes it anew, with numbers above the old ones.
type journal struct {
	s       *Store
	stream  string
	prefix  string // of all subjects
	layouts layouts
	making  chan struct{} // of capacity 1: taken by the caller who makes the stream
	mostMsg atomic.Int64  // the stream's maximum message size, if it has one
}

var _ backend.Journal = (*Store)(nil)

func newJournal(s *Store) *journal {
	j := &journal{s: s, stream: "JOURNAL_" + s.bucket, prefix: "$JOURNAL." + s.bucket + ".", making: make(chan struct{}, 1)}
	j.layouts.ask = j.askLayout
	return j
}

var errNoJournal = fmt.Errorf("%w: the journal's stream does not exist", backend.ErrUnavailable)

func (j *journal) askLayout(ctx context.Context) (layout, error) {
	ctx, cancel := j.s.bounded(ctx)
	defer cancel()
	var stream jetstream.Stream
	err := repeated(ctx, func(ctx context.Context) (err error) { // while it is made, nobody may answer
		stream, err = j.s.js.Stream(ctx, j.stream)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return layout{}, errNoJournal
	case err != nil:
		return layout{}, j.s.hinted(readFailed(err))
	}
	config := stream.CachedInfo().Config
	if problem := unsuitableJournal(config, j.prefix); problem != "" {
		return layout{}, fmt.Errorf("%w: the journal's stream %s is not fit: %s", backend.ErrUnavailable, j.stream, problem)
	}
	j.mostMsg.Store(int64(config.MaxMsgSize))
	return layoutOf(config), nil
}

// unsuitableJournal says what is wrong with a journal's stream, and what to do about it, or "".
func unsuitableJournal(c jetstream.StreamConfig, prefix string) string {
	edit := func(problem, flag string) string {
		return fmt.Sprintf("%s: run: nats stream edit %s %s", problem, c.Name, flag)
	}
	const remake = ": delete it, and it is made anew"
	switch {
	case c.Mirror != nil || len(c.Sources) > 0 || c.Sealed:
		return "it takes no entries" + remake
	case len(c.Subjects) != 1 || c.Subjects[0] != prefix+">" || c.SubjectTransform != nil:
		return fmt.Sprintf("its subjects are %q, must be %q%s", c.Subjects, prefix+">", remake)
	case c.Storage != jetstream.FileStorage || c.PersistMode == jetstream.AsyncPersistMode:
		return "it is kept in memory, or written late" + remake
	case !c.AllowMsgTTL:
		return "it keeps entries for ever (that takes servers of version 2.11 or later)" + remake
	case c.Retention != jetstream.LimitsPolicy || c.MaxMsgsPerSubject > 0 || c.MaxAge > 0:
		return "it drops entries before their time" + remake
	case c.Discard != jetstream.DiscardNew && (c.MaxBytes > 0 || c.MaxMsgs > 0):
		return edit("it drops old entries when it is full", "--discard=new")
	case !c.AllowDirect:
		return edit("only one server can be asked for entries", "--allow-direct")
	case !c.AllowRollup && c.Replicas > 1:
		return edit("fences would pile up in it", "--allow-rollup")
	case c.NoAck:
		return edit("it does not acknowledge entries", "--ack")
	}
	return ""
}

// make makes the stream on as many servers as the bucket is on. One caller at a time does so.
func (j *journal) make(ctx context.Context) error {
	select {
	case j.making <- struct{}{}:
		defer func() { <-j.making }()
	case <-ctx.Done():
		return readFailed(ctx.Err())
	}
	if _, err := j.layouts.get(ctx, j.s.background); !errors.Is(err, errNoJournal) {
		return err // another caller has made it
	}
	bucket, err := j.s.stream.Info(ctx)
	if err != nil {
		return j.s.hinted(readFailed(err))
	}
	err = repeated(ctx, func(ctx context.Context) error {
		_, err := create(ctx, j.s.js, j.config(bucket.Config))
		if ctx.Err() != nil { // of several callers who make it at once, one may be left without an answer
			return ctx.Err()
		}
		return err
	})
	if err != nil {
		settings := settings{replicas: bucket.Config.Replicas, timeout: j.s.timeout}
		return fmt.Errorf("%w: make the journal's stream: %w", backend.ErrUnavailable, j.s.hinted(explained(err, settings)))
	}
	j.layouts.forget()
	return nil
}

func (j *journal) config(bucket jetstream.StreamConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        j.stream,
		Description: "AI leases: what happened to each. Entries drop by themselves",
		Subjects:    []string{j.prefix + ">"},
		Storage:     jetstream.FileStorage,
		Replicas:    bucket.Replicas,
		Placement:   bucket.Placement,
		Discard:     jetstream.DiscardNew,
		DenyDelete:  true,
		AllowRollup: true,
		AllowDirect: true,
		AllowMsgTTL: true,
	}
}

// layout returns how the stream is kept. It returns errNoJournal if there is none, unless it is to
// make it.
func (j *journal) layout(ctx context.Context, makes bool) (layout, error) {
	l, err := j.layouts.get(ctx, j.s.background)
	if !makes || !errors.Is(err, errNoJournal) {
		return l, err
	}
	if err := j.make(ctx); err != nil {
		return layout{}, err
	}
	return j.layouts.get(ctx, j.s.background)
}

// begin bounds a call: by the Store's timeout, if nothing else does, and by Close.
func (j *journal) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := j.s.bounded(ctx)
	ctx, end := context.WithCancel(ctx)
	unlink := context.AfterFunc(j.s.life, end)
	return ctx, func() { unlink(); end(); cancel() }
}

// read runs one call that only reads. A journal without a stream has nothing.
func (j *journal) read(ctx context.Context, op, name string, call func(ctx context.Context, l layout) error) error {
	if err := j.s.ready(ctx); err != nil {
		return j.s.failed(op, name, err)
	}
	bounded, end := j.begin(ctx)
	defer end()
	l, err := j.layout(bounded, false)
	if err == nil {
		err = call(bounded, l)
	}
	if err != nil && !errors.Is(err, errNoJournal) && bounded.Err() == nil {
		// The stream may have been deleted since the layout was asked for.
		j.layouts.forget()
		if _, gone := j.layout(bounded, false); errors.Is(gone, errNoJournal) {
			err = gone
		}
	}
	switch {
	case errors.Is(err, errNoJournal):
		return nil
	case err != nil && j.s.life.Err() != nil && ctx.Err() == nil:
		err = backend.ErrClosed
	}
	return j.s.failed(op, name, err)
}
