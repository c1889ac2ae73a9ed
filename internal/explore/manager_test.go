package explore

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
)

// manager is a Manager and what the scheduler knows of it. It stands between the Manager and the
// store, and between the Manager and the clock.
type manager struct {
	*lease.Manager
	run    *run
	trace  []byte // all that it saw
	clocks int    // the last reading of the clock in trace

	// Do waits by a watch, which asks the store in a goroutine of its own. To ask it is a choice
	// of the scheduler, too, but only if the answer would be new.
	polling chan answer // where the watch waits for its answer; nil if it does not
	shown   uint64      // the revision that was read last

	mu    sync.Mutex
	short int // timers that fire by themselves
}

func newManager(r *run, wrap func(backend.Backend) backend.Backend) *manager {
	m := &manager{run: r}
	opts := []lease.Option{lease.WithClock(m)}
	if r.row.retention > 0 {
		opts = append(opts, lease.WithRetention(r.row.retention))
	}
	var err error
	if m.Manager, err = lease.NewManager(wrap(scheduled{m}), opts...); err != nil {
		panic(err)
	}
	return m
}

// news tells whether a watch waits to be shown something new.
func (m *manager) news() bool { return m.polling != nil && m.shown != m.run.store.revision() }

// rests tells whether the Manager, none of whose operations waits for the scheduler, waits for a
// watch or the clock alone.
func (m *manager) rests() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.polling != nil && m.short == 0
}

// Now implements [lease.Clock]. A reading is part of what the Manager saw if it differs from the
// one before.
func (m *manager) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.run.used.clocks; n != m.clocks {
		m.clocks = n
		m.trace = appendInts(m.trace, -1, n)
	}
	return m.run.clock.Now()
}

// shortest is the least of the times that stand for something: the patience of an end. What is
// shorter is a pause between tries, or between looks of a watch.
const shortest = 5 * time.Second

// AfterFunc implements [lease.Clock]. Pauses pass by themselves, all in the same time: how long
// they are by chance does not matter. What is longer waits for the clock.
func (m *manager) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	if d <= 0 || d >= shortest {
		return m.run.clock.AfterFunc(d, f)
	}
	m.count(1)
	t := time.AfterFunc(time.Millisecond, func() {
		m.count(-1)
		f()
	})
	return func() bool {
		stopped := t.Stop()
		if stopped {
			m.count(-1)
		}
		return stopped
	}
}

func (m *manager) count(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.short += n
}

// caller is the context key under which a store call finds the worker that makes it.
type caller struct{}

// scheduled is the store as a Manager sees it: every call waits for the scheduler.
type scheduled struct{ *manager }

func (b scheduled) Get(ctx context.Context, _ string) (backend.Entry, error) {
	b.run.afterPause()
	if b.run.over {
		return backend.Entry{}, backend.ErrClosed
	}
	w, ok := ctx.Value(caller{}).(*worker)
	if !ok {
		return b.watch(ctx)
	}
	a := w.ask(call{kind: toRead, ctx: ctx})
	return a.entry, a.err
}

// watch is how a watch asks.
func (b scheduled) watch(ctx context.Context) (backend.Entry, error) {
	answers := make(chan answer)
	b.polling = answers
	select {
	case a := <-answers:
		return a.entry, a.err
	case <-ctx.Done():
		b.polling = nil
		return backend.Entry{}, ctx.Err()
	}
}

func (b scheduled) CompareAndSet(ctx context.Context, _ string, expected uint64, value []byte, _ time.Duration) (uint64, error) {
	b.run.afterPause()
	if b.run.over {
		return 0, backend.ErrClosed
	}
	w := ctx.Value(caller{}).(*worker)
	v := write{op: opID{w.id, w.at}, expected: expected, value: bytes.Clone(value), decoded: new(record)}
	a := w.ask(call{kind: toWrite, ctx: ctx, write: v})
	return a.revision, a.err
}

func (b scheduled) CompareAndDelete(context.Context, string, uint64) error {
	panic("no operation here deletes")
}
