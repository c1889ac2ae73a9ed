package lease_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// A store that hangs, or is slow, and a watch that tells old news: what they cost.

func TestALongerExtensionThatHangsCostsNothing(t *testing.T) {
	for _, ttl := range []time.Duration{3 * time.Second, 6 * time.Second, 10 * time.Second, 20 * time.Second} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &hook{Store: memory.New()}
				var hang atomic.Int32
				b.before = func(ctx context.Context) error {
					if hang.Add(-1) >= 0 {
						<-ctx.Done()
						return ctx.Err()
					}
					return nil
				}
				m := host(t, b)
				begun := time.Now()
				_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
					time.Sleep(ttl / 4)
					hang.Store(1)
					h.Extend(context.Background(), time.Hour)
					hang.Store(0)
					return 0, stay(ctx, time.Minute)
				}, withTTL(ttl))
				if err != nil {
					t.Errorf("one hung call: after %v %v", time.Since(begun), err)
				}
			})
		})
	}
}

func TestAnExtensionThatHangsAfterAShorterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var mode, n atomic.Int32
		b.before = func(ctx context.Context) error {
			switch mode.Load() {
			case 1:
				return errLostAnswer
			case 2:
				if n.Add(1) == 1 {
					<-ctx.Done()
					return ctx.Err()
				}
			}
			return nil
		}
		m := host(t, b)
		begun := time.Now()
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			mode.Store(1)
			if err := h.Extend(context.Background(), 12*time.Second); !errors.Is(err, lease.ErrUnknownOutcome) {
				t.Error(err)
			}
			mode.Store(2)
			return 0, stay(ctx, time.Minute)
		}, withTTL(time.Hour))
		if err != nil {
			t.Errorf("one hung call: after %v %v", time.Since(begun), err)
		}
	})
}

func TestShortenedByAnotherWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &reachable{Store: memory.New()}
		m, other := host(t, b), host(t, b.Store)
		begun := time.Now()
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			b.away.Store(true)
			if _, err := other.Extend(context.Background(), "k", h.Lease().LeaseID, 10*time.Second); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
			_, acquired, err := other.Acquire(context.Background(), "k", lease.AcquireOptions{})
			if acquired && ctx.Err() == nil {
				t.Errorf("two holders after %v, first's context is alive: %v %v", time.Since(begun), acquired, err)
			}
			return 0, stay(ctx, time.Minute)
		}, withTTL(time.Hour))
		if !errors.Is(err, lease.ErrLost) {
			t.Errorf("got %v", err)
		}
	})
}

func TestALossIsToldOnceWhateverTheFunctionReturns(t *testing.T) {
	for _, res := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var lost atomic.Int32
			s := memory.New()
			m := host(t, s, lease.WithObserver(func(e lease.Event) {
				if e.Kind == lease.EventLost {
					lost.Add(1)
					if e.Token != 1 || e.Attempt != 1 || e.Held != time.Minute {
						t.Errorf("told of token %d, attempt %d, held for %v", e.Token, e.Attempt, e.Held)
					}
				}
			}))
			other := host(t, s)
			lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
				time.Sleep(time.Minute)
				other.Forget(ctx, "k")
				other.Acquire(ctx, "k", lease.AcquireOptions{})
				<-ctx.Done()
				time.Sleep(time.Second)
				if res {
					return 1, nil
				}
				return 0, errors.New("x")
			}, withTTL(time.Hour))
			if n := lost.Load(); n != 1 {
				t.Errorf("result %t: %d lost events", res, n)
			}
		})
	}
}

func TestNoExtensionLandsAfterDoReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var slow atomic.Bool
		b.before = func(ctx context.Context) error {
			if slow.Load() {
				if err := stay(ctx, 2*time.Second); err != nil {
					return err
				}
			}
			return nil
		}
		m := host(t, b)
		caller, cancel := context.WithCancel(ctx)
		begun := time.Now()
		_, err := lease.Do(caller, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			slow.Store(true)
			go func() { h.Extend(context.Background(), time.Hour) }()
			time.Sleep(time.Second)
			cancel()
			return 0, ctx.Err()
		}, withTTL(30*time.Second), lease.WithLeaveOnCancel())
		l := status(t, m, "k")
		if took := time.Since(begun); took > 2*time.Second || !errors.Is(err, context.Canceled) {
			t.Errorf("Do returned %v after %v", err, took)
		}
		time.Sleep(10 * time.Second)
		l = status(t, m, "k")
		if l.Version != 1 {
			t.Errorf("after Do had returned the lease was extended: version %d, left %v", l.Version, l.TTLLeft)
		}
	})
}

func TestAnAcquireAnsweredInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		n := 0
		b.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
			r, err := b.Store.CompareAndSet(ctx, key, expected, value, keep)
			if n++; n == 1 {
				time.Sleep(4600 * time.Millisecond)
			}
			return r, err
		}
		m := host(t, b)
		ran := false
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { ran = true; return 1, nil },
			lease.WithAcquireOptions(lease.AcquireOptions{TTL: 5 * time.Second, AtMostOnce: true}))
		if err != nil {
			t.Errorf("one slow answer: ran %t: %v", ran, err)
		}
	})
}

func TestWaitWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var hang atomic.Bool
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if hang.Load() {
				<-ctx.Done()
				return backend.Entry{}, ctx.Err()
			}
			return b.Store.Get(ctx, key)
		}
		m, other := host(t, b), host(t, b.Store)
		l := mustAcquire(t, other, "k", lease.AcquireOptions{TTL: time.Minute})
		time.AfterFunc(30*time.Second, func() { hang.Store(true) })
		time.AfterFunc(61*time.Second, func() { other.Complete(ctx, "k", l.LeaseID, lease.Completion{}) })
		begun := time.Now()
		c, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		got, err := m.Wait(c, "k")
		if took := time.Since(begun); err != nil || got.State != lease.StateCompleted || took > 75*time.Second {
			t.Errorf("completed after 61s, Wait returned after %v: %s, %v", took, got.State, err)
		}
	})
}

func TestAnAcquireThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var n atomic.Int32
		b.before = func(ctx context.Context) error {
			if n.Add(1) == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		m := host(t, b)
		begun := time.Now()
		c, cancel := context.WithTimeout(ctx, 10*time.Minute)
		defer cancel()
		_, err := lease.Do(c, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { return 1, nil })
		if took := time.Since(begun); err != nil || took > 11*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
	})
}

func TestWaitDoesNotGiveUpBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var away atomic.Bool
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if away.Load() {
				return backend.Entry{}, backend.ErrUnavailable
			}
			return b.Store.Get(ctx, key)
		}
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			c := make(chan backend.Entry, 1)
			c <- backend.Entry{Key: key}
			context.AfterFunc(ctx, func() { close(c) })
			return c, nil
		}
		m := host(t, b)
		mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Hour})
		begun := time.Now()
		time.AfterFunc(time.Minute, func() { away.Store(true) })
		_, err := m.Wait(ctx, "k")
		if took := time.Since(begun); !errors.Is(err, lease.ErrUnavailable) || took < time.Hour {
			t.Errorf("Wait for a lease of an hour returned %v after %v", err, took)
		}
	})
}

// TestWritesInAnHour: a lease of an hour needs few, whatever the store and others do.
func TestWritesInAnHour(t *testing.T) {
	absence := func(closes bool) func(ctx context.Context, key string) (<-chan backend.Entry, error) {
		return func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			states := make(chan backend.Entry, 1)
			states <- backend.Entry{Key: key}
			if closes {
				close(states)
			} else {
				context.AfterFunc(ctx, func() { close(states) })
			}
			return states, nil
		}
	}
	for _, c := range []struct {
		name  string
		ttl   time.Duration
		watch func(ctx context.Context, key string) (<-chan backend.Entry, error)
		bad   func(at time.Duration) error // what a write meets
		most  int64
	}{
		{"all is well", time.Hour, nil, nil, 5},
		{"with a TTL of a minute", time.Minute, nil, nil, 185},
		{"the watch tells of nothing but an absence", time.Hour, absence(false), nil, 20},
		{"and ends each time", time.Hour, absence(true), nil, 20},
		{"the store refuses for half an hour", time.Hour, nil, func(at time.Duration) error {
			if at > time.Minute && at < 30*time.Minute {
				return backend.ErrUnavailable
			}
			return nil
		}, 800},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &hook{Store: memory.New(), watch: c.watch}
				var writes atomic.Int64
				begun := time.Now()
				b.before = func(ctx context.Context) error {
					writes.Add(1)
					if c.bad != nil {
						return c.bad(time.Since(begun))
					}
					return nil
				}
				_, err := lease.Do(ctx, host(t, b), "k", func(ctx context.Context, _ *lease.Held) (int, error) {
					return 0, stay(ctx, time.Hour)
				}, withTTL(c.ttl))
				if n := writes.Load(); err != nil || n > c.most {
					t.Errorf("%d writes, want %d at most; %v", n, c.most, err)
				}
			})
		})
	}
}
