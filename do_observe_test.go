package lease_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/ailease/lease"
)

// Promise 8 of Do: no observer and no logger delays the extension of a lease.

// TestObserversDelayNothing has them block or panic while a lease is held.
func TestObserversDelayNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts func(wait <-chan struct{}) []lease.Option
	}{
		{"an observer blocks", func(wait <-chan struct{}) []lease.Option {
			return []lease.Option{lease.WithObserver(func(lease.Event) { <-wait })}
		}},
		{"an observer panics", func(<-chan struct{}) []lease.Option {
			return []lease.Option{lease.WithObserver(func(lease.Event) { panic("boom") })}
		}},
		{"the logger blocks", func(wait <-chan struct{}) []lease.Option {
			return []lease.Option{lease.WithLogger(slog.New(slowHandler{wait}))}
		}},
		{"the logger panics", func(<-chan struct{}) []lease.Option {
			return []lease.Option{lease.WithLogger(slog.New(slowHandler{}))}
		}},
	} {
		bubbleWith(t, tt.name, func(t *testing.T, b *scriptedStore) {
			wait := make(chan struct{})
			defer close(wait)
			m := host(t, b, tt.opts(wait)...)
			var extended []time.Duration
			begun := time.Now()
			b.before = func(context.Context) error {
				extended = append(extended, time.Since(begun))
				return nil
			}
			v, err := mustRun(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) (string, error) {
				return "held", stay(ctx, 70*time.Second)
			})
			if v != "held" || err != nil || time.Since(begun) != 70*time.Second {
				t.Errorf("got %q, %v after %v", v, err, time.Since(begun))
			}
			mustBeAt(t, extended, 0, 20*time.Second, 40*time.Second, 60*time.Second, 70*time.Second)
			// More than the queue holds, and somebody who waits for the key.
			other := mustTake(t, m, "l", nil)
			for range 2000 {
				if _, err := m.Extend(t.Context(), "l", other.LeaseID, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := m.Complete(t.Context(), "l", other.LeaseID, lease.Completion{Result: 1}); err != nil {
				t.Fatal(err)
			}
			if v, err := mustNotRun[int](t, t.Context(), m, "l", nil); v != 1 || err != nil {
				t.Errorf("got %d, %v", v, err)
			}
			if took := time.Since(begun); took != 70*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
	bubbleWith(t, "also when the lease is lost", func(t *testing.T, b *scriptedStore) {
		wait := make(chan struct{})
		defer close(wait)
		m := host(t, b, lease.WithObserver(func(lease.Event) { <-wait }))
		var e ending
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			b.away.Store(true)
			return untilItEnds(&e)(ctx)
		})
		mustNotFail(t, err, lease.ErrLost)
		if e.after != 59*time.Second {
			t.Errorf("it ended after %v", e.after)
		}
	})
}

// slowHandler is a log handler that waits, also when it is asked whether it is enabled; it panics
// if there is nothing to wait for.
type slowHandler struct{ wait <-chan struct{} }

func (h slowHandler) Enabled(context.Context, slog.Level) bool {
	if h.wait == nil {
		panic("boom")
	}
	<-h.wait
	return true
}
func (h slowHandler) Handle(context.Context, slog.Record) error { <-h.wait; return nil }
func (h slowHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h slowHandler) WithGroup(string) slog.Handler             { return h }
