package lease_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
)

// How Do ends a lease while the store has a bad day.

func TestEndingWhileTheStoreIsAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		day   func(b *scriptedStore) *atomic.Bool
		back  time.Duration
		gone  time.Duration // when the caller goes away; 0: it does not
		least time.Duration
		err   error
	}{
		{"it comes back before the deadline", setAway, 40 * time.Second, 0, 40 * time.Second, nil},
		{"it hangs, and comes back before the deadline", setHangs, 40 * time.Second, 0, 40 * time.Second, nil},
		{"it loses answers, and comes back before the deadline", setLost, 40 * time.Second, 0, 40 * time.Second, nil},
		{"it does not come back", setAway, time.Hour, 0, time.Minute, lease.ErrUnavailable},
		{"it hangs for ever", setHangs, time.Hour, 0, time.Minute, lease.ErrUnknownOutcome},
		{"the caller goes away", setAway, time.Hour, 10 * time.Second, 15 * time.Second, lease.ErrUnavailable},
		{"the caller goes away, and it comes back soon", setAway, 13 * time.Second, 10 * time.Second, 13 * time.Second, nil},
	} {
		bubbleWith(t, tt.name, func(t *testing.T, b *scriptedStore) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tt.gone > 0 {
				time.AfterFunc(tt.gone, cancel)
			}
			time.AfterFunc(tt.back, func() { tt.day(b).Store(false) })
			begun := time.Now()
			v, err := mustRun(t, ctx, host(t, b), "k", &lease.DoOptions{TTL: time.Minute}, func(context.Context) (string, error) {
				tt.day(b).Store(true)
				return "done", nil
			})
			took := time.Since(begun)
			if v != "done" || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) || took < tt.least || took > tt.least*5/4+5*time.Second {
				t.Errorf("%q, %v after %v, want %v after %v", v, err, took, tt.err, tt.least)
			}
			if err == nil {
				mustStand(t, host(t, b.Store), "k", "completed 1")
			}
		})
	}
	bubbleWith(t, "while the lease is being extended", func(t *testing.T, b *scriptedStore) {
		begun := time.Now()
		v, err := mustRun(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Minute}, func(context.Context) (string, error) {
			time.Sleep(10 * time.Second)
			b.hangs.Store(true)
			time.Sleep(15 * time.Second)
			return "done", nil
		})
		if took := time.Since(begun); v != "done" || !errors.Is(err, lease.ErrUnknownOutcome) && !errors.Is(err, lease.ErrUnavailable) || took > 70*time.Second {
			t.Errorf("%q, %v after %v", v, err, took)
		}
	})
	bubbleWith(t, "a release: the error tells of it", func(t *testing.T, b *scriptedStore) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := mustExec(t, ctx, host(t, b), "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			b.away.Store(true)
			cancel()
			return ctx.Err()
		})
		mustNotFail(t, err, context.Canceled)
		if !errors.Is(err, lease.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		time.Sleep(time.Minute)
		mustStand(t, host(t, b.Store), "k", "expired 1")
	})
	bubbleWith(t, "while a save hangs, in the last moment of the lease", func(t *testing.T, b *scriptedStore) {
		var l timeline
		begun := time.Now()
		v, err := mustRun(t, t.Context(), host(t, b, l.seen()), "k", &lease.DoOptions{TTL: 3 * time.Second}, func(ctx context.Context) (string, error) {
			b.away.Store(true)
			time.Sleep(2400 * time.Millisecond)
			b.away.Store(false)
			b.hangs.Store(true)
			go func() { _ = lease.Save(ctx, 1) }()
			time.Sleep(100 * time.Millisecond)
			return "done", nil
		})
		// The lease is over after 3 s, and is ended for 5 s more.
		if took := time.Since(begun); v != "done" || err == nil || errors.Is(err, lease.ErrFailed) || took < 3*time.Second || took > 10*time.Second {
			t.Errorf("%q, %v after %v", v, err, took)
		}
		l.mustBe(t, "acquired 1") // the function had returned before the lease could be lost
	})
	bubbleWith(t, "when the lease is over: it has a few seconds more", func(t *testing.T, b *scriptedStore) {
		v, err := mustRun(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: 3 * time.Second}, func(ctx context.Context) (string, error) {
			b.away.Store(true)
			<-ctx.Done()
			time.Sleep(time.Minute)
			time.AfterFunc(4*time.Second, func() { b.away.Store(false) })
			return "late", nil
		})
		if v != "late" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		mustStand(t, host(t, b.Store), "k", "completed 1")
	})
	bubbleWith(t, "a failure, and it is not tried again before it is known to be recorded", func(t *testing.T, b *scriptedStore) {
		time.AfterFunc(20*time.Second, func() { b.lost.Store(false) })
		runs := 0
		n, err := mustRunTimes(t, 2, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Minute, Attempts: 2}, func(ctx context.Context) (int, error) {
			if runs++; runs == 1 {
				b.lost.Store(true)
				return 0, coded("boom")
			}
			if b.lost.Load() {
				t.Error("it runs while the end of the last attempt is not known")
			}
			return attempt(ctx)
		})
		if n != 2 || err != nil {
			t.Errorf("attempt %d, %v", n, err)
		}
	})
}

// TestNoExtensionLandsAfterDoReturned: what was under way is given up, or waited for.
func TestNoExtensionLandsAfterDoReturned(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second, 5 * time.Second} {
		bubbleWith(t, fmt.Sprintf("the caller goes away %v after it was sent", late), func(t *testing.T, b *scriptedStore) {
			m, other := host(t, b), host(t, b.Store)
			b.before = func(ctx context.Context) error {
				if b.writes.Load() == 2 {
					return stay(ctx, 2*time.Second)
				}
				return nil
			}
			caller, cancel := context.WithCancel(t.Context())
			saved := make(chan error, 1)
			var gone time.Time
			err := mustExec(t, caller, m, "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error {
				go func() { saved <- lease.Save(context.WithoutCancel(ctx), 1) }()
				synctest.Wait()
				time.Sleep(late)
				cancel()
				gone = time.Now()
				return ctx.Err()
			})
			mustNotFail(t, err, context.Canceled)
			if took := time.Since(gone); took > time.Second {
				t.Errorf("Do returned %v after the caller had gone", took)
			}
			l := mustStand(t, other, "k", "released 1")
			synctest.Wait()
			select {
			case <-saved: // whichever way
			default:
				t.Error("Save goes on when Do has returned")
			}
			time.Sleep(time.Hour)
			if after := status(t, other, "k"); after.Version != l.Version {
				t.Errorf("after Do had returned the lease was written: %+v", after)
			}
		})
	}
}
