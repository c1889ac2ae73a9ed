package lease_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// A store that was closed does not come back: nobody asks it again, and nobody waits for it.

// closedBy closes the store a minute from now, and returns when it has.
func closedBy(store *memory.Store) *time.Time {
	var at time.Time
	time.AfterFunc(time.Minute, func() {
		at = time.Now()
		store.Close()
	})
	return &at
}

func TestAStoreThatIsClosed(t *testing.T) {
	for _, tt := range []struct {
		name string
		// do begins before the store is closed, and returns the error that it then gets.
		do func(t *testing.T, m *lease.Manager) error
	}{
		{"Do, whose function stops", func(t *testing.T, m *lease.Manager) error {
			return mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, lease.ErrLost) || !errors.Is(cause, backend.ErrClosed) {
					t.Errorf("the function's context ended with %v", cause)
				}
				return ctx.Err()
			})
		}},
		{"Do, whose function returns a result", func(t *testing.T, m *lease.Manager) error {
			return mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				<-ctx.Done()
				return nil
			})
		}},
		{"Do, whose function fails", func(t *testing.T, m *lease.Manager) error {
			return mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour, Attempts: 5}, func(ctx context.Context) error {
				<-ctx.Done()
				return coded("boom")
			})
		}},
		{"Do, which waits for another", func(t *testing.T, m *lease.Manager) error {
			mustTake(t, m, "k", nil)
			_, err := mustNotRun[int](t, t.Context(), m, "k", nil)
			return err
		}},
		{"Do, between two attempts", func(t *testing.T, m *lease.Manager) error {
			_, err := mustRunTimes(t, 1, t.Context(), m, "k", &lease.DoOptions{Attempts: 3}, func(context.Context) (int, error) {
				time.Sleep(time.Minute - time.Millisecond)
				return 0, coded("boom")
			})
			return err
		}},
		{"Await", func(t *testing.T, m *lease.Manager) error {
			mustTake(t, m, "k", nil)
			_, err := lease.Await[int](t.Context(), m, "k")
			return err
		}},
		{"Wait", func(t *testing.T, m *lease.Manager) error {
			mustTake(t, m, "k", nil)
			_, err := m.Wait(t.Context(), "k")
			return err
		}},
		{"Watch", func(t *testing.T, m *lease.Manager) error {
			mustTake(t, m, "k", nil)
			var last error
			n := 0
			for _, last = range m.Watch(t.Context(), "k") {
				n++
			}
			if n != 2 {
				t.Errorf("Watch has yielded %d times, want a state and an error", n)
			}
			return last
		}},
		{"Save", func(t *testing.T, m *lease.Manager) error {
			var err error
			_ = mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				time.Sleep(time.Minute + time.Millisecond)
				err = lease.Save(context.WithoutCancel(ctx), 1)
				return err
			})
			return err
		}},
	} {
		for _, pushes := range []bool{true, false} {
			bubble(t, fmt.Sprintf("%s, the store pushes: %t", tt.name, pushes), func(t *testing.T, store *memory.Store) {
				var b backend.Backend = store
				if !pushes {
					b = threeMethods{store}
				}
				at := closedBy(store)
				err := tt.do(t, host(t, b))
				if !errors.Is(err, backend.ErrClosed) {
					t.Errorf("got %v", err)
				}
				// A pause between attempts has up to 125 ms. Where nothing is pushed, the store is
				// asked after an eighth of a minute, at most 5 s, and a quarter of that.
				late := time.Since(*at)
				if at.IsZero() || pushes && late > 200*time.Millisecond || late > 7*time.Second {
					t.Errorf("it ended %v after the store was closed", late)
				}
			})
		}
	}
	t.Run("and was before", func(t *testing.T) {
		store := memory.New()
		m := host(t, store)
		store.Close()
		_, err := mustNotRun[int](t, t.Context(), m, "k", &lease.DoOptions{Attempts: 5})
		mustNotFail(t, err, backend.ErrClosed)
		_, err = m.Wait(t.Context(), "k")
		mustNotFail(t, err, backend.ErrClosed)
	})
	bubbleWith(t, "before it was asked to push", func(t *testing.T, b *scriptedStore) {
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			b.Close()
			return b.Store.Watch(ctx, key)
		}
		m := host(t, b)
		mustTake(t, m, "k", nil)
		begun := time.Now()
		_, err := m.Wait(t.Context(), "k")
		mustNotFail(t, err, backend.ErrClosed)
		if took := time.Since(begun); took != 0 {
			t.Errorf("it took %v", took)
		}
	})
	bubbleWith(t, "while its answers are lost", func(t *testing.T, b *scriptedStore) {
		b.lost.Store(true)
		begun := time.Now()
		time.AfterFunc(time.Second, func() { b.lost.Store(false); b.Close() })
		_, err := mustNotRun[int](t, t.Context(), host(t, b), "k", nil)
		mustNotFail(t, err, backend.ErrClosed)
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
