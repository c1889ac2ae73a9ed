package natskv

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// layout is how a bucket is kept, as far as reads and writes depend on it. `nats stream edit` may
// change it at any time.
type layout struct {
	replicated bool
	direct     bool          // any server that has a replica answers reads
	duplicates time.Duration // for how long the servers remember the ids of writes
}

func layoutOf(c jetstream.StreamConfig) layout {
	return layout{replicated: c.Replicas > 1, direct: c.AllowDirect, duplicates: c.Duplicates}
}

// shared reports whether a read may rest on a fence that several reads share. That needs replicas
// which never show a value that was replaced: those before 2.14 may, for a moment, while they
// catch up with the others.
func (l layout) shared(serverVersion string) bool {
	return l.replicated && l.direct && !olderThan(serverVersion, 2, 14)
}

// How often a Store asks whether the layout has changed. The answers of a single server need no
// proof as long as it is single, and a replica that was added answers two seconds later at the
// earliest. The rules for several replicas also hold for one.
const (
	lookAtSingle     = time.Second
	lookAtReplicated = 10 * time.Second
)

// layouts remembers the layout and asks for it again. Requests under way never hold its lock.
type layouts struct {
	ask func(ctx context.Context) (layout, error)

	mu     sync.Mutex
	known  layout
	asked  time.Time // when known was asked for
	asking *asking   // nil if nobody is
}

type asking struct {
	done   chan struct{}
	answer layout
	err    error
}

// get returns the layout. run starts a request that the callers share. If a request that was under
// way before fails, get asks again: what it was told may have changed since, as when a stream was
// absent and has been made.
func (l *layouts) get(ctx context.Context, run func(func(ctx context.Context)) error) (layout, error) {
	for fresh := false; ; fresh = true {
		l.mu.Lock()
		known, age := l.known, time.Since(l.asked)
		if age < lookAtSingle || known.replicated && age < lookAtReplicated {
			l.mu.Unlock()
			return known, nil
		}
		a := l.asking
		if a == nil {
			a = &asking{done: make(chan struct{})}
			l.asking = a
			l.mu.Unlock()
			fresh = true
			if err := run(func(ctx context.Context) { l.renew(ctx, a) }); err != nil {
				l.finish(a, layout{}, err)
			}
		} else {
			l.mu.Unlock()
		}
		if known.replicated {
			return known, nil
		}
		select {
		case <-a.done:
			if fresh { // however long the answer took
				return a.answer, a.err
			}
		case <-ctx.Done():
			return layout{}, readFailed(ctx.Err())
		}
	}
}

// forget has the next caller of get wait for an answer.
func (l *layouts) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.asked = layout{}, time.Time{}
}

func (l *layouts) renew(ctx context.Context, a *asking) {
	asked := time.Now()
	known, err := l.ask(ctx)
	if err == nil {
		l.mu.Lock()
		l.known, l.asked = known, asked
		l.mu.Unlock()
	}
	l.finish(a, known, err)
}

func (l *layouts) finish(a *asking, answer layout, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.answer, a.err = answer, err
	l.asking = nil
	close(a.done)
}

func (s *Store) askLayout(ctx context.Context) (layout, error) {
	info, err := s.stream.Info(ctx)
	if err != nil {
		return layout{}, s.hinted(readFailed(err))
	}
	return layoutOf(info.Config), nil
}

// olderThan reports whether a server's version is below major.minor. A version that cannot be read
// is not.
func olderThan(version string, major, minor int) bool {
	var a, b int
	if n, _ := fmt.Sscanf(version, "%d.%d", &a, &b); n < 2 {
		return false
	}
	return a < major || a == major && b < minor
}
