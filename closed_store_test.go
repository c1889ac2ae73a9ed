package lease_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// TestAClosedStoreIsFinal has each method meet a store that is closed. It returns at once, although
// time would pass if it tried again.
func TestAClosedStoreIsFinal(t *testing.T) {
	only := func(_ lease.Lease, err error) error { return err }
	for _, known := range []bool{false, true} { // whether the Manager remembers the key
		for _, tt := range []struct {
			name string
			call func(m *lease.Manager, id string) error
		}{
			{"acquire", func(m *lease.Manager, _ string) error { _, _, err := m.Acquire(ctx, "k", nil); return err }},
			{"extend", func(m *lease.Manager, id string) error { return only(m.Extend(ctx, "k", id, nil)) }},
			{"release", func(m *lease.Manager, id string) error { return only(m.Release(ctx, "k", id)) }},
			{"complete", func(m *lease.Manager, id string) error { return only(m.Complete(ctx, "k", id, lease.Completion{})) }},
			{"fail", func(m *lease.Manager, id string) error { return only(m.Fail(ctx, "k", id, lease.Failure{Code: "c"})) }},
			{"cancel", func(m *lease.Manager, id string) error { return only(m.Cancel(ctx, "k", id, "")) }},
			{"status", func(m *lease.Manager, _ string) error { return only(m.Status(ctx, "k")) }},
			{"wait", func(m *lease.Manager, _ string) error { return only(m.Wait(ctx, "k")) }},
			{"watch", func(m *lease.Manager, _ string) (last error) {
				n := 0
				for _, err := range m.Watch(ctx, "k") {
					last = err
					n++
				}
				if n != 1 {
					return errors.Join(last, errors.New("more than the error was yielded"))
				}
				return last
			}},
			{"list", func(m *lease.Manager, _ string) (last error) {
				for _, err := range m.List(ctx, nil) {
					last = err
				}
				return last
			}},
			{"forget", func(m *lease.Manager, _ string) error { return m.Forget(ctx, "k") }},
			{"check lock", func(m *lease.Manager, _ string) error { _, _, err := m.CheckLock(ctx, "k", nil); return err }},
			{"forget lock", func(m *lease.Manager, _ string) error { return m.ForgetLock(ctx, "k") }},
			{"do", func(m *lease.Manager, _ string) error {
				return lease.Exec(ctx, m, "k", nil, func(context.Context) error { return errors.New("it ran") })
			}},
			{"await", func(m *lease.Manager, _ string) error { _, err := lease.Await[int](ctx, m, "k"); return err }},
		} {
			name := tt.name + " of a key that is not known"
			if known {
				name = tt.name + " of a key that is held"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := memory.New()
					m, err := lease.NewManager(store)
					if err != nil {
						t.Fatal(err)
					}
					id := "id"
					if known {
						id = mustAcquire(t, m, "k", nil).LeaseID
						if _, _, err := m.CheckLock(ctx, "k", nil); err != nil {
							t.Fatal(err)
						}
					}
					if err := store.Close(); err != nil {
						t.Fatal(err)
					}
					begun := time.Now()
					err = tt.call(m, id)
					if e, ok := errors.AsType[*lease.Error](err); !ok || !errors.Is(err, lease.ErrUnavailable) || !errors.Is(err, backend.ErrClosed) || errors.Is(err, lease.ErrUnknownOutcome) {
						t.Errorf("error is %v (%+v), want ErrUnavailable with backend.ErrClosed", err, e)
					}
					if took := time.Since(begun); took != 0 {
						t.Errorf("it took %v", took)
					}
				})
			})
		}
	}
}

// TestAStoreThatIsClosedMeanwhile is closed after a write whose answer was lost.
func TestAStoreThatIsClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScriptedStore()
		m, _ := newManager(t, b)
		held := mustAcquire(t, m, "k", nil)
		b.plan = []day{func(w write) (uint64, error) {
			_, err := answerLost(w)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			return 0, err
		}}
		begun := time.Now()
		_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
		if !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, backend.ErrClosed) || !errors.Is(err, errLostAnswer) || time.Since(begun) != 0 {
			t.Errorf("error is %v after %v, want ErrUnknownOutcome with both causes, at once", err, time.Since(begun))
		}
	})
}
