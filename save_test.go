package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
)

// Checkpoints: what a function saves, and what the next attempt finds.

func TestSaveRefusesWhatCannotBeStored(t *testing.T) {
	m := host(t, memory.New())
	err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
		if err := lease.Save(ctx, strings.Repeat("x", 64<<10-2)); err != nil {
			t.Errorf("64 KiB: %v", err)
		}
		before := status(t, m, "k").Version
		for name, v := range map[string]any{
			"too long":     strings.Repeat("x", 64<<10-1),
			"a channel":    make(chan int),
			"no number":    math.NaN(),
			"a bomb":       &trap{marshal: func() { panic("boom") }},
			"JSON of none": json.RawMessage("{"),
		} {
			err := lease.Save(ctx, v)
			mustHaveError(t, "save", err, lease.ErrInvalid)
			if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != "checkpoint" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if l := status(t, m, "k"); l.Version != before {
			t.Errorf("it was written all the same: version %d after %d", l.Version, before)
		}
		for _, v := range []any{nil, json.RawMessage(nil), json.RawMessage(`{ "a": 1 }`), "<b>"} {
			if err := lease.Save(ctx, v); err != nil {
				t.Errorf("%v: %v", v, err)
			}
			var got any
			if ok, err := lease.Load(ctx, &got); !ok || err != nil {
				t.Errorf("%v: %t, %v", v, ok, err)
			}
		}
		if err := lease.Save(ctx, "text"); err != nil {
			t.Error(err)
		}
		n := 7
		ok, err := lease.Load(ctx, &n)
		mustHaveError(t, "load", err, lease.ErrResultType)
		if ok {
			t.Errorf("it finds %d", n)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestACheckpointOutlivesItsHolder, and each attempt begins with the last that was saved.
func TestACheckpointOutlivesItsHolder(t *testing.T) {
	for _, tt := range []struct {
		name string
		stop func(t *testing.T, m *lease.Manager, b *scriptedStore, cancel func()) error
	}{
		{"that fails", func(*testing.T, *lease.Manager, *scriptedStore, func()) error { return coded("boom") }},
		{"whose caller goes away", func(_ *testing.T, _ *lease.Manager, _ *scriptedStore, cancel func()) error {
			cancel()
			return context.Canceled
		}},
		{"that vanishes", func(_ *testing.T, _ *lease.Manager, b *scriptedStore, _ func()) error {
			b.away.Store(true)
			time.AfterFunc(time.Hour, func() { b.away.Store(false) })
			time.Sleep(time.Hour - time.Nanosecond)
			return coded("boom")
		}},
		{"from whom it is taken", func(t *testing.T, m *lease.Manager, _ *scriptedStore, _ func()) error {
			l := leasetest.TakeOver(t, m, "k")
			if string(l.Checkpoint) != `"1"` {
				t.Errorf("whoever took over got %s", l.Checkpoint)
			}
			if _, err := m.Release(context.Background(), "k", l.LeaseID); err != nil {
				t.Error(err)
			}
			return coded("boom")
		}},
	} {
		bubbleWith(t, "one "+tt.name, func(t *testing.T, b *scriptedStore) {
			m, other := host(t, b), host(t, b.Store)
			caller, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := mustExec(t, caller, m, "k", nil, func(ctx context.Context) error {
				for _, v := range []string{"0", "1"} {
					if err := lease.Save(ctx, v); err != nil {
						t.Error(err)
					}
				}
				return tt.stop(t, other, b, cancel)
			})
			if err == nil {
				t.Error("it did not fail")
			}
			v, err := mustRun(t, t.Context(), other, "k", nil, func(ctx context.Context) (string, error) {
				var v string
				ok, err := lease.Load(ctx, &v)
				if !ok {
					t.Error("it finds nothing")
				}
				return v, err
			})
			if v != "1" || err != nil {
				t.Errorf("the next one finds %q, %v", v, err)
			}
			if l := status(t, other, "k"); len(l.Checkpoint) != 0 {
				t.Errorf("completed, the lease has the checkpoint %s", l.Checkpoint)
			}
		})
	}
}

// TestSaveAndTheStore is about what the store makes of a Save.
func TestSaveAndTheStore(t *testing.T) {
	bubbleWith(t, "it costs one write, and extends the lease", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			time.Sleep(15 * time.Second)
			writes := b.writes.Load()
			if err := lease.Save(ctx, 1); err != nil {
				t.Error(err)
			}
			if l := status(t, m, "k"); b.writes.Load() != writes+1 || l.TTLLeft != time.Minute || l.Version != 2 {
				t.Errorf("%d writes, %v left, version %d", b.writes.Load()-writes, l.TTLLeft, l.Version)
			}
			time.Sleep(20*time.Second - time.Nanosecond)
			if n := b.writes.Load() - writes; n != 1 {
				t.Errorf("%d writes within a third of the TTL", n)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "a store that refuses", func(t *testing.T, b *scriptedStore) {
		err := mustExec(t, t.Context(), host(t, b), "k", nil, func(ctx context.Context) error {
			b.away.Store(true)
			mustHaveError(t, "save", lease.Save(ctx, 1), lease.ErrUnavailable)
			b.away.Store(false)
			if ok, err := lease.Load(ctx, new(int)); ok || err != nil {
				t.Errorf("it finds what was not saved: %v", err)
			}
			return lease.Save(ctx, 2)
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "an answer that is lost is found out about", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			b.lost.Store(true)
			time.AfterFunc(time.Second, func() { b.lost.Store(false) })
			if err := lease.Save(ctx, 1); err != nil {
				t.Error(err)
			}
			if l := status(t, m, "k"); l.Version != 2 {
				t.Errorf("written as version %d, want once", l.Version)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "unless that takes too long: the outcome is unknown, and the lease goes on", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, b), host(t, b.Store)
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			if err := lease.Save(ctx, "before"); err != nil {
				t.Error(err)
			}
			b.lost.Store(true)
			mustHaveError(t, "save", lease.Save(ctx, "unknown"), lease.ErrUnknownOutcome)
			b.lost.Store(false)
			var v string
			if ok, err := lease.Load(ctx, &v); !ok || err != nil || v != "before" {
				t.Errorf("it finds %q, %t, %v, want what is known to be saved", v, ok, err)
			}
			if err := stay(ctx, 2*time.Minute); err != nil { // it is extended
				t.Error(err)
			}
			if err := lease.Save(ctx, "after"); err != nil {
				t.Error(err)
			}
			return coded("boom")
		})
		mustFail(t, err, "boom")
		if l := mustTake(t, other, "k", nil); string(l.Checkpoint) != `"after"` {
			t.Errorf("the next one finds %s", l.Checkpoint)
		}
	})
	bubbleWith(t, "somebody has taken over", func(t *testing.T, b *scriptedStore) {
		m, other := host(t, threeMethods{b}, lease.WithRetryAfter(time.Hour)), host(t, b.Store)
		err := mustExec(t, t.Context(), m, "k", nil, func(ctx context.Context) error {
			leasetest.TakeOver(t, other, "k")
			mustHaveError(t, "save", lease.Save(ctx, 1), lease.ErrLost)
			if ctx.Err() == nil || !errors.Is(context.Cause(ctx), lease.ErrLost) {
				t.Errorf("the function's context: %v", context.Cause(ctx))
			}
			mustHaveError(t, "save", lease.Save(ctx, 2), lease.ErrLost)
			return ctx.Err()
		})
		mustNotFail(t, err, lease.ErrLost)
		if l := status(t, other, "k"); len(l.Checkpoint) != 0 || l.Version != 3 {
			t.Errorf("a holder that was fenced off has written: %+v", l)
		}
	})
	bubbleWith(t, "a caller who goes away meanwhile does not break it off", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		b.before = func(ctx context.Context) error {
			if b.writes.Load() == 2 {
				return stay(ctx, 10*time.Second)
			}
			return nil
		}
		caller, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := mustExec(t, caller, m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			begun := time.Now()
			// Tried twice, it would succeed too, but sooner.
			if err := lease.Save(ctx, 1); err != nil || time.Since(begun) != 10*time.Second {
				t.Errorf("Save: %v after %v", err, time.Since(begun))
			}
			return ctx.Err()
		})
		mustNotFail(t, err, context.DeadlineExceeded)
	})
	bubbleWith(t, "a derived context that ends meanwhile", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			b.hangs.Store(true)
			derived, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			begun := time.Now()
			// What was sent may have arrived.
			mustHaveError(t, "save", lease.Save(derived, 1), lease.ErrUnknownOutcome)
			if took := time.Since(begun); took < time.Second || took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
			b.hangs.Store(false)
			return lease.Save(ctx, 2)
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "a derived context that ends before anything was sent", func(t *testing.T, b *scriptedStore) {
		m := host(t, b)
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
			b.hangs.Store(true)
			var first sync.WaitGroup
			first.Go(func() { _ = lease.Save(ctx, "first") })
			synctest.Wait()
			derived, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			err := lease.Save(derived, "second") // it waits for the first
			mustHaveError(t, "save", err, context.DeadlineExceeded)
			b.hangs.Store(false)
			first.Wait()
			// What stands has to be read first, since an outcome was unknown.
			b.lost.Store(true)
			mustHaveError(t, "save", lease.Save(ctx, "third"), lease.ErrUnknownOutcome)
			b.lost.Store(false)
			b.hangs.Store(true)
			derived, cancel = context.WithTimeout(ctx, time.Second)
			defer cancel()
			mustHaveError(t, "save", lease.Save(derived, "fourth"), context.DeadlineExceeded)
			b.hangs.Store(false)
			return lease.Save(ctx, "fifth")
		})
		if err != nil {
			t.Error(err)
		}
	})
	bubbleWith(t, "a lease that is lost meanwhile", func(t *testing.T, b *scriptedStore) {
		err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Second}, func(ctx context.Context) error {
			b.hangs.Store(true)
			for ctx.Err() == nil {
				_ = lease.Save(ctx, 1)
			}
			mustHaveError(t, "save", lease.Save(ctx, 1), lease.ErrLost)
			return ctx.Err()
		})
		mustNotFail(t, err, lease.ErrLost)
	})
}
