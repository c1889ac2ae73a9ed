package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// What may go wrong between a function and its lease, one thing at a time.

// hook is a memory store of which calls may be replaced, or held up by what comes before them.
type hook struct {
	*memory.Store
	before func(ctx context.Context) error // a write, which fails with its error
	set    func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error)
	get    func(ctx context.Context, key string) (backend.Entry, error)
	watch  func(ctx context.Context, key string) (<-chan backend.Entry, error)
}

func (h *hook) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if h.before != nil {
		if err := h.before(ctx); err != nil {
			return 0, err
		}
	}
	if h.set != nil {
		return h.set(ctx, key, expected, value, keep)
	}
	return h.Store.CompareAndSet(ctx, key, expected, value, keep)
}

func (h *hook) Get(ctx context.Context, key string) (backend.Entry, error) {
	if h.get != nil {
		return h.get(ctx, key)
	}
	return h.Store.Get(ctx, key)
}

func (h *hook) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	if h.watch != nil {
		return h.watch(ctx, key)
	}
	return h.Store.Watch(ctx, key)
}

// stay waits d or until ctx ends.
func stay(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// TestNoTimerIsLeft: whatever waited for the clock does so no more.
func TestNoTimerIsLeft(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(ctx context.Context, m *lease.Manager)
	}{
		{"Do", func(ctx context.Context, m *lease.Manager) {
			lease.Do(ctx, m, "k", func(context.Context, *lease.Held) (int, error) { return 1, nil })
		}},
		{"Do that fails", func(ctx context.Context, m *lease.Manager) {
			lease.Do(ctx, m, "k", func(context.Context, *lease.Held) (int, error) { return 0, errLostAnswer })
		}},
		{"Do whose caller gives up", func(ctx context.Context, m *lease.Manager) {
			ctx, cancel := context.WithCancel(ctx)
			lease.Do(ctx, m, "k", func(context.Context, *lease.Held) (int, error) { cancel(); return 0, ctx.Err() })
		}},
		{"Do that waits for another, in vain", func(ctx context.Context, m *lease.Manager) {
			lease.Do(ctx, m, "held", func(context.Context, *lease.Held) (int, error) { return 1, nil })
		}},
		{"Wait", func(ctx context.Context, m *lease.Manager) { m.Wait(ctx, "held") }},
		{"Watch", func(ctx context.Context, m *lease.Manager) {
			for range m.Watch(ctx, "held") {
				break
			}
		}},
	} {
		for _, watches := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the store watches: %t", c.name, watches), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var b backend.Backend = memory.New()
					if !watches {
						b = hidden{b}
					}
					m, clock := newManager(t, b)
					mustAcquire(t, m, "held", lease.AcquireOptions{})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					c.do(ctx, m)
					synctest.Wait()
					if n := clock.Timers(); n != 0 {
						t.Errorf("%d timers are left", n)
					}
				})
			})
		}
	}
}

type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("bomb") }

// TestAShorterLeaseIsExtendedInItsTime: the function shortens its lease, which is then to be extended at a third of the new TTL.
func TestAShorterLeaseIsExtendedInItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := host(t, memory.New())
		begin := time.Now()
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			if err := h.Extend(ctx, 30*time.Second); err != nil {
				return 0, err
			}
			return 0, stay(ctx, 5*time.Minute)
		}, withTTL(time.Hour))
		if err != nil {
			t.Errorf("healthy store, after %v: %v", time.Since(begin), err)
		}
	})
}

func TestAShorterLeaseHasAShorterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		b.before = func(ctx context.Context) error {
			time.Sleep(2 * time.Millisecond)
			return nil
		}
		m := host(t, b)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			err := h.Extend(ctx, time.Second)
			if ctx.Err() != nil {
				t.Errorf("2 ms of answer time: extend said %v, but %v", err, context.Cause(ctx))
			}
			return 0, nil
		}, withTTL(time.Hour))
		if err != nil {
			t.Error(err)
		}
	})
}

func TestAnExtensionIsTriedAgainInTheTimeOfTheShorterTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var bad atomic.Bool
		var sets atomic.Int64
		b.before = func(ctx context.Context) error {
			sets.Add(1)
			if bad.Load() {
				return errLostAnswer
			}
			return nil
		}
		m := host(t, b)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			bad.Store(true)
			err := h.Extend(ctx, 30*time.Second)
			if !errors.Is(err, lease.ErrUnknownOutcome) {
				t.Error(err)
			}
			bad.Store(false)
			sets.Store(0)
			err = stay(ctx, 5*time.Minute)
			t.Logf("%d writes tried in the meantime", sets.Load())
			return 0, err
		}, withTTL(time.Hour))
		if err != nil {
			t.Errorf("store was away for 3s of 30: %v", err)
		}
	})
}

// TestAResultThatPanicsWhenEncoded: nothing goes on extending the lease.
func TestAResultThatPanicsWhenEncoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, clock := newManager(t, memory.New())
		func() {
			defer func() { recover() }()
			lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (bomb, error) { return bomb{}, nil }, withTTL(time.Minute))
		}()
		n := clock.Timers()
		for range 60 {
			clock.Advance(10 * time.Second)
			synctest.Wait()
		}
		l, _ := m.Status(ctx, "k")
		if n != 0 || l.State == lease.StateInProgress {
			t.Errorf("%d timers left; 10 min after Do had panicked, TTL 1m: %s, version %d", n, l.State, l.Version)
		}
	})
}

// TestOldNewsWhileTheLeaseIsExtended: others have waited for the key since before this lease, and their watch lags: it tells of an absence, and then of this lease, while an extension is under way.
func TestOldNewsWhileTheLeaseIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		lag := make(chan backend.Entry, 1)
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			out := make(chan backend.Entry)
			go func() {
				defer close(out)
				for {
					select {
					case e := <-lag:
						select {
						case out <- e:
						case <-ctx.Done():
							return
						}
					case <-ctx.Done():
						return
					}
				}
			}()
			return out, nil
		}
		slow := atomic.Bool{}
		b.before = func(ctx context.Context) error {
			if slow.Load() {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
		m, op := host(t, b), host(t, b.Store)
		op.Acquire(ctx, "k", lease.AcquireOptions{})
		e, _ := b.Store.Get(ctx, "default/k")
		lag <- e
		wc, stop := context.WithCancel(ctx)
		go m.Wait(wc, "k")
		synctest.Wait()
		op.Forget(ctx, "k")
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			slow.Store(true)
			time.Sleep(350 * time.Millisecond) // the first extension is under way
			e, _ := b.Store.Get(ctx, "default/k")
			lag <- backend.Entry{Key: "default/k"}
			synctest.Wait()
			lag <- e
			return 0, stay(ctx, 3*time.Second)
		}, withTTL(time.Second))
		stop()
		if err != nil {
			t.Errorf("nobody touched the lease: %v", err)
		}
	})
}

func TestForgottenWhileTheStoreFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var once atomic.Bool
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if once.CompareAndSwap(true, false) {
				return backend.Entry{}, backend.ErrUnavailable
			}
			return b.Store.Get(ctx, key)
		}
		m, op := host(t, b), host(t, b.Store)
		var took time.Duration
		lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			begin := time.Now()
			once.Store(true)
			op.Forget(ctx, "k")
			err := stay(ctx, time.Hour)
			took = time.Since(begin)
			return 0, err
		}, withTTL(time.Hour))
		if took > 5*time.Second {
			t.Errorf("told of the forgetting after %v", took)
		}
	})
}

func TestAnExtensionThatOutlivesTheFunctionLeavesNoTimer(t *testing.T) {
	b := &hook{Store: memory.New()}
	var hang atomic.Bool
	inSet := make(chan struct{})
	b.before = func(ctx context.Context) error {
		if hang.CompareAndSwap(true, false) {
			close(inSet)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	m, clock := newManager(t, b)
	caller, cancel := context.WithCancel(ctx)
	extended := make(chan error)
	_, err := lease.Do(caller, m, "k", func(_ context.Context, h *lease.Held) (int, error) {
		hang.Store(true)
		go func() { extended <- h.Extend(ctx, 0) }()
		<-inSet
		cancel()
		return 0, caller.Err()
	}, lease.WithLeaveOnCancel())
	n := clock.Timers()
	e := <-extended
	if got := clock.Timers(); got != 0 {
		t.Errorf("Do returned %v with %d timers; after Extend ended (%v) there are %d, for an hour", err, n, e, got)
	}
}

func TestTheObserverIsDoneWhenDoReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &reachable{Store: memory.New()}
		var returned, late atomic.Bool
		m := host(t, b, lease.WithObserver(func(e lease.Event) {
			if e.Kind == lease.EventLost {
				time.Sleep(time.Millisecond) // an exporter
				late.Store(returned.Load())
			}
		}))
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			b.away.Store(true)
			return 0, stay(ctx, time.Hour)
		}, withTTL(time.Second))
		returned.Store(true)
		time.Sleep(time.Second)
		if late.Load() {
			t.Errorf("the observer was at work after Do had returned %v", err)
		}
	})
}

func TestOneLossIsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		b := struct{ backend.Backend }{store} // no Watcher: asked every 5 s at most
		var lost atomic.Int64
		m := host(t, b, lease.WithRetryAfter(time.Hour), lease.WithObserver(func(e lease.Event) {
			if e.Kind == lease.EventLost {
				lost.Add(1)
				t.Logf("%+v", e)
			}
		}))
		op := host(t, store)
		lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Minute)
			op.Forget(ctx, "k")
			op.Acquire(ctx, "k", lease.AcquireOptions{})
			err := h.Extend(ctx, 0)
			return 0, err
		}, withTTL(time.Hour))
		if lost.Load() != 1 {
			t.Errorf("%d events", lost.Load())
		}
	})
}

func TestEachOutageHasItsHalfMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		other := host(t, store)
		b := &hook{Store: store}
		var bad atomic.Bool
		b.before = func(ctx context.Context) error {
			if bad.Load() {
				return errLostAnswer
			}
			return nil
		}
		m := host(t, b)
		bad.Store(true)
		var now time.Time
		go func() {
			time.Sleep(4 * time.Second) // first acquire unknown
			other.Acquire(ctx, "k", lease.AcquireOptions{TTL: time.Minute})
			bad.Store(false)
			time.Sleep(30 * time.Second)
			bad.Store(true)
			time.Sleep(30*time.Second + 5*time.Second)
			bad.Store(false)
		}()
		now = time.Now()
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { return 1, nil })
		if err != nil {
			t.Errorf("second trouble lasted 5s; gave up %v after begin: %v", time.Since(now), err)
		}
		time.Sleep(time.Hour)
	})
}

func TestDoTellsWhatStoodInTheWay(t *testing.T) {
	m := host(t, memory.New())
	mustAcquire(t, m, "k", lease.AcquireOptions{InputHash: "a"})
	_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { return 1, nil },
		lease.WithAcquireOptions(lease.AcquireOptions{InputHash: "b"}))
	var e *lease.Error
	if !errors.As(err, &e) || e.Lease.State == "" {
		t.Errorf("%v carries no lease: %+v", err, e.Lease)
	}
}

func TestAWallClockThatIsSetBackCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, clock := newManager(t, memory.New())
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			step := func(d time.Duration) { clock.Advance(d); synctest.Wait() }
			step(time.Second)
			step(-10 * time.Minute)
			for range 30 {
				step(5 * time.Second)
			}
			return 0, context.Cause(ctx)
		}, withTTL(time.Minute))
		if err != nil {
			t.Errorf("healthy store, clock set back: %v", err)
		}
	})
}

func TestOneHungCallCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var hang atomic.Bool
		b.before = func(ctx context.Context) error {
			if hang.CompareAndSwap(true, false) { // one packet is lost; the client does not time out by itself
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		m := host(t, b)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			hang.Store(true)
			return 0, stay(ctx, 2*time.Hour)
		}, withTTL(time.Hour))
		if err != nil {
			t.Errorf("one answer lost, 40 min left: %v", err)
		}
		begin := time.Now()
		_, err = lease.Do(ctx, m, "k2", func(ctx context.Context, h *lease.Held) (int, error) {
			hang.Store(true)
			return 0, nil
		}, withTTL(time.Hour))
		if d := time.Since(begin); d > time.Minute {
			t.Errorf("Complete's one hung call: Do took %v: %v", d, err)
		}
	})
}

func TestShortErrorCodes(t *testing.T) {
	m := host(t, memory.New(), lease.WithMaxErrorCodeBytes(32))
	caller, cancel := context.WithCancel(ctx)
	_, err := lease.Do(caller, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { cancel(); return 0, ctx.Err() })
	l, _ := m.Status(ctx, "k")
	if l.State != lease.StateFailed {
		t.Errorf("%s for %v: %v", l.State, l.TTLLeft, err)
	}
}

func TestShortenedByWhoHasTheLeaseID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		m, other := host(t, store), host(t, store)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(time.Second)
			if _, err := m.Extend(ctx, "k", h.Lease().LeaseID, time.Second); err != nil {
				t.Error(err)
			}
			time.Sleep(999 * time.Millisecond)
			if ctx.Err() == nil {
				time.Sleep(time.Millisecond)
				live := ctx.Err() == nil
				_, acquired, _ := other.Acquire(ctx, "k", lease.AcquireOptions{})
				if live && acquired {
					t.Error("acquired by another under a live context")
				}
			}
			return 0, nil
		}, withTTL(time.Hour))
		t.Log(err)
	})
}

func TestAPanicDoesNotWaitForADeadStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &reachable{Store: memory.New()}
		m := host(t, b)
		begin := time.Now()
		func() {
			defer func() { recover() }()
			lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { b.away.Store(true); panic("bug") })
		}()
		if d := time.Since(begin); d > 10*time.Second {
			t.Errorf("the panic came through after %v", d)
		}
	})
}

func TestProgressLeavesTheMetadataAsItIs(t *testing.T) {
	m := host(t, memory.New())
	meta := json.RawMessage(`{"html":"` + strings.Repeat("<b>", 200) + `"}`)
	lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
		if err := h.Progress(ctx, 1); err != nil {
			t.Errorf("%d bytes of metadata, a note of 1 byte: %v", len(meta), err)
		}
		return 0, nil
	}, lease.WithAcquireOptions(lease.AcquireOptions{Metadata: meta}))
}

func TestACancelledExtensionSaysNothingAboutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var hang atomic.Bool
		b.before = func(ctx context.Context) error {
			if hang.Load() {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		m := host(t, b)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			gone, cancel := context.WithCancel(ctx)
			cancel()
			h.Progress(gone, 1)
			hang.Store(true)
			return 0, stay(ctx, time.Hour)
		}, withTTL(time.Second))
		if errors.Is(err, context.Canceled) {
			t.Errorf("nobody cancelled Do: %v", err)
		}
	})
}

func TestAPushThatEndsIsSoonResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		var mu sync.Mutex
		var cut context.CancelFunc
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			ctx, cancel := context.WithCancel(ctx)
			mu.Lock()
			cut = cancel
			mu.Unlock()
			return b.Store.Watch(ctx, key)
		}
		m, op := host(t, b), host(t, b.Store)
		var took time.Duration
		lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(19 * time.Minute)
			mu.Lock()
			cut() // the connection is lost, and back at once
			mu.Unlock()
			synctest.Wait()
			begin := time.Now()
			op.Forget(ctx, "k")
			err := stay(ctx, time.Hour)
			took = time.Since(begin)
			return 0, err
		}, withTTL(time.Hour))
		if took > time.Second {
			t.Errorf("told after %v", took)
		}
	})
}

func TestWatchWithinTheClockSkew(t *testing.T) {
	m, clock := newManager(t, memory.New(), lease.WithClockSkew(time.Minute))
	l := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Minute})
	clock.Advance(90 * time.Second)
	var states []lease.State
	for w, err := range m.Watch(ctx, "k") {
		if err != nil {
			t.Fatal(err)
		}
		states = append(states, w.State)
		if len(states) == 1 {
			m.Complete(ctx, "k", l.LeaseID, lease.Completion{})
		}
	}
	if states[0] == lease.StateExpired && len(states) > 1 {
		t.Errorf("%v: expired was not the last", states)
	}
}

func TestOldNewsWhileReadsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		first := make(chan backend.Entry, 1)
		b.watch = func(ctx context.Context, key string) (<-chan backend.Entry, error) {
			out := make(chan backend.Entry, 1)
			out <- <-first
			context.AfterFunc(ctx, func() { close(out) })
			return out, nil
		}
		first <- backend.Entry{Key: "default/k"} // a watch that lags
		var hang atomic.Bool
		hang.Store(true)
		b.get = func(ctx context.Context, key string) (backend.Entry, error) {
			if hang.CompareAndSwap(true, false) {
				<-ctx.Done()
				return backend.Entry{}, ctx.Err()
			}
			return b.Store.Get(ctx, key)
		}
		m := host(t, b)
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			return 0, stay(ctx, 2*time.Hour)
		}, withTTL(time.Hour))
		if err != nil {
			t.Errorf("one read hung: %v", err)
		}
	})
}

func TestAWaiterOutlivesARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &hook{Store: memory.New()}
		other := host(t, b.Store)
		other.Acquire(ctx, "k", lease.AcquireOptions{TTL: time.Minute})
		var once atomic.Bool
		b.before = func(ctx context.Context) error {
			if once.CompareAndSwap(true, false) {
				return backend.ErrUnavailable
			}
			return nil
		}
		m := host(t, b)
		go func() { time.Sleep(time.Second); once.Store(true) }()
		_, err := lease.Do(ctx, m, "k", func(ctx context.Context, h *lease.Held) (int, error) { return 1, nil })
		if err != nil {
			t.Errorf("one refusal after a minute of waiting: %v", err)
		}
	})
}
