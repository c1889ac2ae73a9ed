package natskv_test

import (
	"errors"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

var heals = flag.Int("natskv.heals", 1, "how often TestHeals cuts the leader off and joins it again")

// TestHeals cuts the leader off from the others, who elect another, and joins them again. For a
// moment a message then reaches both, and the deposed leader answers too, by what it knows. What
// it answers must not be told: not as a state, not as a conflict, and not as a write that did not
// happen.
func TestHeals(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	c := natstest.StartCluster(t)
	open(t, c.URL(), natskv.WithReplicas(3))
	var count outcomes
	for range *heals {
		c.Current(t, "leases")
		cut := c.Leader(t, "leases")
		count.add(heal(t, c, cut))
	}
	t.Logf("%d heals: %+v", *heals, count)
}

// outcomes counts what callers at the deposed leader were told after the cut had healed.
type outcomes struct{ Reads, Applied, Refused, Unknown int64 }

func (o *outcomes) add(p outcomes) {
	o.Reads += p.Reads
	o.Applied += p.Applied
	o.Refused += p.Refused
	o.Unknown += p.Unknown
}

func heal(t *testing.T, c *natstest.Cluster, cut int) outcomes {
	connect := func(server int) *natskv.Store {
		return open(t, c.URLOf(server), natskv.WithTimeout(2*time.Second),
			natskv.WithConnectOptions(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(50*time.Millisecond)))
	}
	here, there := connect(cut), connect((cut+1)%3)
	defer here.Close()
	defer there.Close()

	const callers = 8
	done := make(chan struct{})
	var all sync.WaitGroup
	var healed atomic.Bool
	var reads, applied, refused, unknown, recent atomic.Int64
	note := func(n *atomic.Int64) {
		if healed.Load() {
			n.Add(1)
		}
	}
	end := sync.OnceFunc(func() { close(done); all.Wait() })
	defer end()

	for i := range callers {
		// A writer at the deposed leader, alone with its key.
		all.Go(func() {
			key := fmt.Sprintf("heal%d/%p", i, done)
			w := soleWriter{t: t, store: here, key: key}
			for w.ok(done) {
				switch w.write() {
				case wasApplied:
					note(&applied)
					if healed.Load() {
						recent.Add(1)
					}
				case wasRefused:
					note(&refused)
				case isUnknown:
					note(&unknown)
				}
			}
		})
		// A writer at the majority, and a reader at the deposed leader.
		all.Go(func() {
			key := fmt.Sprintf("seen%d/%p", i, done)
			w := soleWriter{t: t, store: there, key: key}
			for w.ok(done) {
				w.write()
				least := w.revision
				if e, err := here.Get(ctx, key); err == nil || errors.Is(err, backend.ErrNotFound) {
					note(&reads)
					if e.Revision < least {
						t.Errorf("%s was at revision %d before, and reads as %d", key, least, e.Revision)
						return
					}
				}
			}
		})
	}
	c.Cut(cut)
	natstest.Eventually(t, "the majority goes on", func() bool {
		_, err := there.CompareAndSet(ctx, fmt.Sprintf("probe/%p", done), 0, nil, 0)
		return err == nil || errors.Is(err, backend.ErrConflict)
	})
	healed.Store(true)
	c.Join()
	natstest.Eventually(t, "writes at the deposed leader go well", func() bool { return recent.Load() > 200 })
	end()
	return outcomes{reads.Load(), applied.Load(), refused.Load(), unknown.Load()}
}

// soleWriter writes a key that nobody else writes, and checks what it is told about each write.
type soleWriter struct {
	t     *testing.T
	store *natskv.Store
	key   string

	n        int
	revision uint64          // of the last write that is known to be applied
	maybe    map[string]bool // values of unknown outcome since
	broken   bool
}

type outcome int

const (
	wasApplied outcome = iota
	wasRefused
	isUnknown
)

func (w *soleWriter) ok(done chan struct{}) bool {
	select {
	case <-done:
		return false
	default:
		return !w.broken
	}
}

func (w *soleWriter) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf(w.key+": "+format, args...)
	w.broken = true
}

func (w *soleWriter) write() outcome {
	w.n++
	value := fmt.Sprint(w.n)
	if len(w.maybe) > 0 {
		return w.settle()
	}
	revision, err := w.store.CompareAndSet(ctx, w.key, w.revision, []byte(value), 0)
	switch {
	case err == nil && revision <= w.revision:
		w.fail("revision %d after %d", revision, w.revision)
	case err == nil:
		w.revision = revision
		return wasApplied
	case errors.Is(err, backend.ErrConflict):
		w.fail("write %s at revision %d is a conflict, and nobody else writes: %v", value, w.revision, err)
	case errors.Is(err, backend.ErrUnavailable):
		time.Sleep(time.Millisecond)
	default:
		w.maybe = map[string]bool{value: true}
		return isUnknown
	}
	return wasRefused
}

// settle reads what has become of a write of unknown outcome.
func (w *soleWriter) settle() outcome {
	e, err := w.store.Get(ctx, w.key)
	switch {
	case err != nil && !errors.Is(err, backend.ErrNotFound):
		time.Sleep(time.Millisecond)
		return wasRefused
	case e.Revision == w.revision: // it may still come
	case e.Revision > w.revision && w.maybe[string(e.Value)]:
		w.revision, w.maybe = e.Revision, nil
		return wasApplied
	default:
		w.fail("holds %q at revision %d: neither the write applied last, at %d, nor one of unknown outcome since", e.Value, e.Revision, w.revision)
		return wasRefused
	}
	// Once this or the other is applied, both are settled.
	value := fmt.Sprint(w.n)
	w.maybe[value] = true
	revision, err := w.store.CompareAndSet(ctx, w.key, w.revision, []byte(value), 0)
	switch {
	case err == nil:
		w.revision, w.maybe = revision, nil
		return wasApplied
	case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrConflict):
		delete(w.maybe, value)
	}
	return wasRefused
}
