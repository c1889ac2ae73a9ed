package lease_test

import (
	"context"
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

// hidden is a store of which only the three methods are seen: it does not watch.
type hidden struct{ backend.Backend }

// reachable is a store that can be out of reach. What is asked then is never sent, or never answered.
type reachable struct {
	*memory.Store
	away  atomic.Bool
	lost  atomic.Bool // requests arrive, and their answers are lost
	hangs atomic.Bool // calls do not return before their contexts end
}

var errLost = errors.New("connection lost")

func (r *reachable) Get(ctx context.Context, key string) (backend.Entry, error) {
	if err := r.reach(ctx); err != nil {
		return backend.Entry{}, err
	}
	return r.Store.Get(ctx, key)
}

func (r *reachable) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	if r.lost.Load() {
		r.Store.CompareAndSet(ctx, key, expected, value, keep)
		return 0, errLost
	}
	if err := r.reach(ctx); err != nil {
		return 0, err
	}
	return r.Store.CompareAndSet(ctx, key, expected, value, keep)
}

func (r *reachable) reach(ctx context.Context) error {
	switch {
	case r.hangs.Load():
		<-ctx.Done()
		return ctx.Err()
	case r.lost.Load():
		return errLost
	case r.away.Load():
		return backend.ErrUnavailable
	}
	return nil
}

// untilDone is work that stops when it is told to, and tells when that was, and why.
func untilDone(at *time.Duration, cause *error) func(context.Context, *lease.Held) (string, error) {
	begun := time.Now()
	return func(ctx context.Context, _ *lease.Held) (string, error) {
		<-ctx.Done()
		*at, *cause = time.Since(begun), context.Cause(ctx)
		return "", ctx.Err()
	}
}

func TestDoExtendsAtAThirdOfTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var extended []time.Duration
		begun := time.Now()
		m := host(t, memory.New(), lease.WithObserver(func(e lease.Event) {
			if e.Kind == lease.EventExtended {
				extended = append(extended, time.Since(begun))
			}
		}))
		lease.Do(t.Context(), m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			time.Sleep(65 * time.Second)
			if err := h.Extend(ctx, 2*time.Minute); err != nil {
				t.Error(err)
			}
			if l := h.Lease(); l.TTL != 2*time.Minute || time.Until(l.ExpiresAt) != 2*time.Minute {
				t.Errorf("extended to %v", l.TTL)
			}
			time.Sleep(60 * time.Second)
			return 0, ctx.Err()
		}, withTTL(time.Minute))
		if got, want := fmt.Sprint(extended), "[20s 40s 1m0s 1m5s 1m45s]"; got != want {
			t.Errorf("extended at %v, want %v", got, want)
		}
	})
}

func TestDoWhenTheStoreIsAway(t *testing.T) {
	for _, c := range []struct {
		name  string
		opts  []lease.DoOption
		away  func(r *reachable, away bool)
		from  time.Duration
		until time.Duration
		lost  time.Duration // when the function's context ends; 0: it does not
		why   string
	}{
		{"shortly", nil, func(r *reachable, b bool) { r.away.Store(b) }, 15 * time.Second, 55 * time.Second, 0, ""},
		{"for too long: a second before the deadline", nil, func(r *reachable, b bool) { r.away.Store(b) }, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "store unavailable"},
		{"after an extension", nil, func(r *reachable, b bool) { r.away.Store(b) }, 25 * time.Second, 5 * time.Minute, 79 * time.Second, "store unavailable"},
		{"with a grace of its own", []lease.DoOption{lease.WithGrace(15 * time.Second)}, func(r *reachable, b bool) { r.away.Store(b) }, 15 * time.Second, 5 * time.Minute, 45 * time.Second, "store unavailable"},
		{"and hangs", nil, func(r *reachable, b bool) { r.hangs.Store(b) }, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "no answer within 10s"},
		{"and loses its answers: they may have arrived, and may not", nil, func(r *reachable, b bool) { r.lost.Store(b) }, 15 * time.Second, 5 * time.Minute, 59 * time.Second, "connection lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &reachable{Store: memory.New()}
				m := host(t, r)
				time.AfterFunc(c.from, func() { c.away(r, true) })
				time.AfterFunc(c.until, func() { c.away(r, false) })
				var at time.Duration
				var cause error
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
				defer cancel()
				_, err := lease.Do(ctx, m, "k", untilDone(&at, &cause), append(c.opts, withTTL(time.Minute))...)
				if c.lost == 0 {
					if at != 4*time.Minute || errors.Is(cause, lease.ErrLost) {
						t.Errorf("the function ended after %v: %v", at, cause)
					}
					return
				}
				if at != c.lost || !errors.Is(cause, lease.ErrLost) || !strings.Contains(cause.Error(), c.why) {
					t.Errorf("the function's context ended after %v: %v", at, cause)
				}
				if !errors.Is(err, lease.ErrLost) || !errors.Is(err, context.Canceled) {
					t.Errorf("Do returned %v", err)
				}
				time.Sleep(10 * time.Minute)
				if l := status(t, m, "k"); l.State != lease.StateExpired {
					t.Errorf("the lease is %s: it should be left as it is", l.State)
				}
			})
		})
	}
}

func TestDoneAfterTheLeaseWasInDoubt(t *testing.T) {
	for _, taken := range []bool{false, true} {
		t.Run(fmt.Sprintf("taken over: %t", taken), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &reachable{Store: memory.New()}
				m, other := host(t, r), host(t, r.Store)
				got, err := lease.Do(t.Context(), m, "k", func(ctx context.Context, _ *lease.Held) (string, error) {
					r.away.Store(true)
					<-ctx.Done()
					time.Sleep(time.Minute) // and does not heed it
					if taken {
						mustAcquire(t, other, "k", lease.AcquireOptions{})
					}
					r.away.Store(false)
					return "late", nil
				}, withTTL(10*time.Second))
				l := status(t, m, "k")
				if !taken && (got != "late" || err != nil || l.State != lease.StateCompleted) {
					t.Errorf("nobody took over: %q, %v, the lease is %s", got, err, l.State)
				}
				if taken && (!errors.Is(err, lease.ErrLost) || l.State != lease.StateInProgress || l.Attempt != 2) {
					t.Errorf("another took over: %v, the lease is %s", err, l.State)
				}
			})
		})
	}
}

func TestDoIsToldAtOnceWhatOthersDo(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(m *lease.Manager, l lease.Lease) error
		why  error
	}{
		{"cancelled", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Cancel(context.Background(), "k", l.LeaseID, "operator")
			return err
		}, lease.ErrFinished},
		{"completed with its id", func(m *lease.Manager, l lease.Lease) error {
			_, err := m.Complete(context.Background(), "k", l.LeaseID, lease.Completion{})
			return err
		}, lease.ErrFinished},
		{"forgotten", func(m *lease.Manager, l lease.Lease) error { return m.Forget(context.Background(), "k") }, lease.ErrLost},
		{"forgotten and acquired anew", func(m *lease.Manager, l lease.Lease) error {
			if err := m.Forget(context.Background(), "k"); err != nil {
				return err
			}
			_, _, err := m.Acquire(context.Background(), "k", lease.AcquireOptions{})
			return err
		}, lease.ErrLost},
	} {
		for _, watches := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the store watches: %t", c.name, watches), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := memory.New()
					var m *lease.Manager
					if watches {
						m = host(t, store)
					} else {
						m = host(t, hidden{store})
					}
					var at time.Duration
					var cause error
					held := make(chan lease.Lease, 1)
					go func() {
						time.Sleep(10 * time.Second)
						if err := c.do(host(t, store), <-held); err != nil {
							t.Error(err)
						}
					}()
					work := untilDone(&at, &cause)
					_, err := lease.Do(t.Context(), m, "k", func(ctx context.Context, h *lease.Held) (string, error) {
						held <- h.Lease()
						return work(ctx, h)
					}, withTTL(time.Hour))
					if watches && at != 10*time.Second || at < 10*time.Second || at > 12*time.Second {
						t.Errorf("told after %v", at)
					}
					if !errors.Is(cause, lease.ErrLost) || !errors.Is(cause, c.why) || !errors.Is(err, lease.ErrLost) {
						t.Errorf("cause %v, Do returned %v", cause, err)
					}
				})
			})
		}
	}
}

// TestDoIsNotMisledByOldNews: others have waited for the key since before this lease, and their watch still tells of the one before.
func TestDoIsNotMisledByOldNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		m := host(t, lagging{store, 30 * time.Second})
		mustAcquire(t, m, "k", lease.AcquireOptions{})
		var all sync.WaitGroup
		all.Go(func() { // keeps the watch alive
			for range m.Watch(t.Context(), "k") {
			}
		})
		synctest.Wait()
		if err := m.Forget(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		got, err := lease.Do(t.Context(), m, "k", func(ctx context.Context, _ *lease.Held) (string, error) {
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-time.After(10 * time.Minute):
				return "held", nil
			}
		})
		if got != "held" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		all.Wait()
	})
}

// lagging tells of changes late.
type lagging struct {
	*memory.Store
	lag time.Duration
}

func (l lagging) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	from, err := l.Store.Watch(ctx, key)
	if err != nil {
		return nil, err
	}
	to := make(chan backend.Entry)
	go func() {
		defer close(to)
		for e := range from {
			select {
			case <-time.After(l.lag):
			case <-ctx.Done():
				return
			}
			select {
			case to <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to, nil
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := host(t, memory.New())
		_, err := lease.Do(t.Context(), m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			for _, c := range []struct {
				note any
				want string // "": refused
			}{
				{"half", `{"host":"a","progress":"half"}`},
				{map[string]int{"done": 3}, `{"host":"a","progress":{"done":3}}`},
				{strings.Repeat("x", 1022), `{"host":"a","progress":"` + strings.Repeat("x", 1022) + `"}`},
				{strings.Repeat("x", 1023), ""},
				{make(chan int), ""},
				{nil, `{"host":"a","progress":null}`},
			} {
				time.Sleep(time.Second)
				err := h.Progress(ctx, c.note)
				l := status(t, m, "k")
				switch {
				case c.want == "":
					if f, ok := errors.AsType[*lease.FieldError](err); !ok || f.Field != "progress" {
						t.Errorf("got %v", err)
					}
				case err != nil || string(l.Metadata) != c.want:
					t.Errorf("got %v, the metadata is %s", err, l.Metadata)
				case l.TTLLeft != time.Minute || string(h.Lease().Metadata) != c.want:
					t.Errorf("%v left, held with %s", l.TTLLeft, h.Lease().Metadata)
				}
			}
			return 0, nil
		}, lease.WithAcquireOptions(lease.AcquireOptions{TTL: time.Minute, Metadata: []byte(`{"host":"a"}`)}))
		if err != nil {
			t.Error(err)
		}
	})
}

func TestProgressThatDoesNotFitTheMetadata(t *testing.T) {
	m := host(t, memory.New(), lease.WithMaxMetadataBytes(100))
	lease.Do(t.Context(), m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
		if f, ok := errors.AsType[*lease.FieldError](h.Progress(ctx, strings.Repeat("x", 90))); !ok || f.Field != "metadata" {
			t.Errorf("got %v", f)
		}
		return 0, nil
	})
}

func TestHeldAfterTheFunction(t *testing.T) {
	m := host(t, memory.New())
	var h *lease.Held
	if _, err := lease.Do(t.Context(), m, "k", func(_ context.Context, held *lease.Held) (int, error) { h = held; return 0, nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.Extend(t.Context(), time.Minute); !errors.Is(err, lease.ErrFinished) {
		t.Errorf("got %v", err)
	}
	if err := h.Progress(t.Context(), "late"); !errors.Is(err, lease.ErrFinished) {
		t.Errorf("got %v", err)
	}
}

// TestShorteningTheLease: from the moment that a shorter deadline may stand in the store, it counts, whatever becomes of the answer.
func TestShorteningTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reachable{Store: memory.New()}
		m := host(t, r)
		begun := time.Now()
		_, err := lease.Do(t.Context(), m, "k", func(ctx context.Context, h *lease.Held) (int, error) {
			r.lost.Store(true)
			var extending sync.WaitGroup
			extending.Go(func() { h.Extend(ctx, 2*time.Second) })
			<-ctx.Done()
			extending.Wait()
			return 0, context.Cause(ctx)
		}, withTTL(time.Hour))
		if took := time.Since(begun); !errors.Is(err, lease.ErrLost) || took < time.Second || took >= 2*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
	})
}

// TestAcquireWhoseAnswerIsLost: nobody would do the work for a whole TTL if Do gave up.
func TestAcquireWhoseAnswerIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reachable{Store: memory.New()}
		r.lost.Store(true)
		time.AfterFunc(10*time.Second, func() { r.lost.Store(false) })
		attempt, err := lease.Do(t.Context(), host(t, r), "k", func(_ context.Context, h *lease.Held) (int, error) { return h.Attempt(), nil })
		if attempt != 1 || err != nil {
			t.Errorf("attempt %d, %v", attempt, err)
		}
	})
}

func TestEndingWhileTheStoreIsAway(t *testing.T) {
	for _, c := range []struct {
		name string
		back time.Duration
		gone bool // the caller gives up
		took time.Duration
		err  error
	}{
		{"it comes back before the deadline", 40 * time.Second, false, 40 * time.Second, nil},
		{"it does not", time.Hour, false, time.Minute, lease.ErrUnavailable},
		{"the caller gives up", time.Hour, true, 15 * time.Second, lease.ErrUnavailable},
	} {
		bubble(t, c.name, func(t *testing.T, store *memory.Store) {
			r := &reachable{Store: store}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.gone {
				time.AfterFunc(10*time.Second, cancel)
			}
			time.AfterFunc(c.back, func() { r.away.Store(false) })
			begun := time.Now()
			got, err := lease.Do(ctx, host(t, r), "k", func(ctx context.Context, _ *lease.Held) (string, error) {
				r.away.Store(true)
				return "done", nil
			}, withTTL(time.Minute))
			took := time.Since(begun)
			if got != "done" || !errors.Is(err, c.err) || took < c.took || took > c.took*5/4+time.Second {
				t.Errorf("%q, %v after %v", got, err, took)
			}
		})
	}
}

func TestDoWithAStoreThatHangsForEver(t *testing.T) {
	bubble(t, "the function returns while the lease is being extended", func(t *testing.T, store *memory.Store) {
		r := &reachable{Store: store}
		begun := time.Now()
		_, err := lease.Do(t.Context(), host(t, r), "k", func(ctx context.Context, _ *lease.Held) (string, error) {
			time.Sleep(10 * time.Second)
			r.hangs.Store(true)
			time.Sleep(15 * time.Second)
			return "done", nil
		}, withTTL(time.Minute))
		if took := time.Since(begun); !errors.Is(err, lease.ErrUnavailable) || took > 70*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
