package lease_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// How Do keeps a lease while the function runs: a bad day of the store costs no more than it must.
// The rules are those of do_term_test.go; here they meet a store.

func TestALeaseIsExtendedAtEachThirdOfItsTTL(t *testing.T) {
	for _, tt := range []struct {
		ttl  time.Duration
		runs time.Duration
		want []time.Duration // of the writes: the acquire, the extensions, the end
	}{
		{0, 35 * time.Second, []time.Duration{0, 10 * time.Second, 20 * time.Second, 30 * time.Second, 35 * time.Second}},
		{time.Minute, 50 * time.Second, []time.Duration{0, 20 * time.Second, 40 * time.Second, 50 * time.Second}},
		{time.Hour, 30 * time.Minute, []time.Duration{0, 20 * time.Minute, 30 * time.Minute}},
		{3 * time.Second, 2 * time.Second, []time.Duration{0, time.Second, 2 * time.Second}},
		{time.Hour, time.Millisecond, []time.Duration{0, time.Millisecond}},
	} {
		bubbleWith(t, fmt.Sprintf("%v for %v", tt.ttl, tt.runs), func(t *testing.T, b *scriptedStore) {
			at := writesAt(b)
			m := host(t, b, lease.WithDefaultTTL(24*time.Hour))
			// A little less than so long, to end before what is due at that time.
			err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: tt.ttl}, func(ctx context.Context) error { return stay(ctx, tt.runs-1) })
			if err != nil {
				t.Error(err)
			}
			for i := range *at {
				(*at)[i] = (*at)[i].Round(time.Microsecond)
			}
			mustBeAt(t, *at, tt.want...)
		})
	}
}

func TestAStoreThatIsAway(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grace time.Duration
		day   func(b *scriptedStore) *atomic.Bool
		from  time.Duration
		until time.Duration
		lost  time.Duration // when the function's context ends; 0: it does not
		why   string
	}{
		{"shortly", 0, setAway, 15 * time.Second, 55 * time.Second, 0, ""},
		{"for too long: a second before the deadline", 0, setAway, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "store unavailable"},
		{"after an extension", 0, setAway, 25 * time.Second, 5 * time.Minute, 79 * time.Second, "store unavailable"},
		{"with a grace of its own", 15 * time.Second, setAway, 15 * time.Second, 5 * time.Minute, 45 * time.Second, "store unavailable"},
		{"with the shortest grace", time.Millisecond, setAway, 15 * time.Second, 5 * time.Minute, time.Minute - time.Millisecond, "store unavailable"},
		{"and hangs", 0, setHangs, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "no answer within 10s"},
		{"and hangs shortly", 0, setHangs, 15 * time.Second, 45 * time.Second, 0, ""},
		{"and loses its answers: they may have arrived, and may not", 0, setLost, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "connection reset"},
		{"and loses its answers shortly", 0, setLost, 15 * time.Second, 50 * time.Second, 0, ""},
	} {
		bubbleWith(t, tt.name, func(t *testing.T, b *scriptedStore) {
			m, other := host(t, b), host(t, b.Store)
			time.AfterFunc(tt.from, func() { tt.day(b).Store(true) })
			time.AfterFunc(tt.until, func() { tt.day(b).Store(false) })
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			var e ending
			err := mustExec(t, ctx, m, "k", &lease.DoOptions{TTL: time.Minute, Grace: tt.grace}, func(ctx context.Context) error {
				err := untilItEnds(&e)(ctx)
				if tt.lost != 0 {
					mustStand(t, other, "k", "in_progress 1") // nobody else can have it yet
				}
				return err
			})
			if tt.lost == 0 {
				mustNotFail(t, err, context.DeadlineExceeded)
				if e.after != 4*time.Minute || errors.Is(e.cause, lease.ErrLost) {
					t.Errorf("the function's context ended after %v: %v", e.after, e.cause)
				}
				mustStand(t, other, "k", "released 1")
				return
			}
			mustNotFail(t, err, lease.ErrLost)
			if e.after != tt.lost || !errors.Is(e.cause, lease.ErrLost) || !strings.Contains(e.cause.Error(), tt.why) {
				t.Errorf("the function's context ended after %v with %v; Do returned %v", e.after, e.cause, err)
			}
			for _, not := range []error{context.Canceled, lease.ErrUnknownOutcome, lease.ErrUnavailable} {
				if errors.Is(err, not) {
					t.Errorf("Do returned %v, which is %v too", err, not)
				}
			}
			time.Sleep(10 * time.Minute)
			mustStand(t, other, "k", "expired 1") // left as it is
		})
	}
}

// TestCallsThatHang: a request that got lost costs a third of the TTL at most, and no lease.
func TestCallsThatHang(t *testing.T) {
	once := func(b *scriptedStore) func() {
		var hang atomic.Bool
		b.before = func(ctx context.Context) error {
			if hang.CompareAndSwap(true, false) {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		return func() { hang.Store(true) }
	}
	for _, ttl := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second, time.Minute, time.Hour} {
		bubbleWith(t, fmt.Sprintf("an extension, TTL %v", ttl), func(t *testing.T, b *scriptedStore) {
			m, hang := host(t, b), once(b)
			err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: ttl}, func(ctx context.Context) error {
				hang()
				return stay(ctx, 3*ttl)
			})
			if err != nil {
				t.Error(err)
			}
		})
		bubbleWith(t, fmt.Sprintf("a save, TTL %v", ttl), func(t *testing.T, b *scriptedStore) {
			m, hang := host(t, b), once(b)
			err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: ttl}, func(ctx context.Context) error {
				hang()
				begun := time.Now()
				if err := lease.Save(ctx, 1); err != nil || time.Since(begun) != min(ttl/3, 10*time.Second) {
					t.Errorf("Save: %v after %v", err, time.Since(begun))
				}
				return stay(ctx, 3*ttl)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	bubbleWith(t, "an acquire", func(t *testing.T, b *scriptedStore) {
		m, hang, begun := host(t, b), once(b), time.Now()
		hang()
		n, err := mustRun(t, t.Context(), m, "k", nil, attempt)
		if took := time.Since(begun); n != 1 || err != nil || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("attempt %d, %v after %v", n, err, took)
		}
	})
	bubbleWith(t, "a completion", func(t *testing.T, b *scriptedStore) {
		m, hang, begun := host(t, b), once(b), time.Now()
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Hour}, func(context.Context) error { hang(); return nil })
		if took := time.Since(begun); err != nil || took < 10*time.Second || took > 11*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		mustStand(t, m, "k", "completed 1")
	})
	bubbleWith(t, "a read of somebody who watches", func(t *testing.T, b *scriptedStore) {
		b.watch = absent(false) // older than the lease
		var hang atomic.Bool
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if hang.CompareAndSwap(true, false) {
				<-ctx.Done()
				return backend.Entry{}, ctx.Err()
			}
			return b.Store.Get(ctx, key)
		}
		hang.Store(true)
		if err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: time.Hour}, func(ctx context.Context) error { return stay(ctx, 2*time.Hour) }); err != nil {
			t.Error(err)
		}
	})
}

// TestWritesInAnHour: a lease needs few, whatever the store and others do.
func TestWritesInAnHour(t *testing.T) {
	for _, tt := range []struct {
		name        string
		ttl         time.Duration
		watch       func(ctx context.Context, key string) (<-chan backend.Entry, error)
		bad         func(at time.Duration) bool // when the store refuses
		least, most int64
	}{
		{"all is well", time.Hour, nil, nil, 4, 4},
		{"with a TTL of a minute", time.Minute, nil, nil, 181, 181},
		{"the watch tells of nothing but an absence", time.Hour, absent(false), nil, 4, 20},
		{"and ends each time", time.Hour, absent(true), nil, 4, 20},
		{"the store refuses for half an hour", time.Hour, nil,
			func(at time.Duration) bool { return at > time.Minute && at < 30*time.Minute }, 400, 900},
	} {
		bubbleWith(t, tt.name, func(t *testing.T, b *scriptedStore) {
			b.watch = tt.watch
			begun := time.Now()
			b.before = func(context.Context) error {
				if tt.bad != nil && tt.bad(time.Since(begun)) {
					return backend.ErrUnavailable
				}
				return nil
			}
			err := mustExec(t, t.Context(), host(t, b), "k", &lease.DoOptions{TTL: tt.ttl}, func(ctx context.Context) error { return stay(ctx, time.Hour-1) })
			if n := b.writes.Load(); err != nil || n < tt.least || n > tt.most {
				t.Errorf("%d writes, want %d to %d; %v", n, tt.least, tt.most, err)
			}
		})
	}
}

func TestAWallClockThatIsSetBackCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := manualClock()
		m := host(t, memory.New(), lease.WithClock(clock))
		pass := func(d time.Duration) { clock.Advance(d); synctest.Wait() }
		err := mustExec(t, t.Context(), m, "k", &lease.DoOptions{TTL: time.Minute}, func(ctx context.Context) error {
			pass(time.Second)
			pass(-10 * time.Minute)
			for range 30 {
				pass(5 * time.Second)
			}
			return context.Cause(ctx)
		})
		if err != nil {
			t.Error(err)
		}
		mustStand(t, m, "k", "completed 1")
	})
}
