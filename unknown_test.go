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
	"github.com/ailease/lease/leasetest"
)

// A store on a bad day. Each case below says what happens to the writes of one operation, in their order; what comes after that goes well.

var errLostAnswer = errors.New("connection reset")

type write struct {
	ctx   context.Context
	apply func() (uint64, error)
}

type day func(w write) (uint64, error)

func fine(w write) (uint64, error) { return w.apply() }

// answerLost applies the write, and loses the answer.
func answerLost(w write) (uint64, error) {
	_, _ = w.apply()
	return 0, errLostAnswer
}

// requestLost does nothing.
func requestLost(write) (uint64, error) { return 0, errLostAnswer }

func unavailable(write) (uint64, error) { return 0, backend.ErrUnavailable }

// busy is a store that refuses a write because another is under way.
func busy(write) (uint64, error) { return 0, backend.ErrConflict }

// hangs until its caller gives up, having applied the write.
func hangs(w write) (uint64, error) {
	_, _ = w.apply()
	<-w.ctx.Done()
	return 0, w.ctx.Err()
}

type badDay struct {
	backend.Backend
	plan   []day
	always day // once the plan is through; nil: fine
	writes int
	reads  func() error // what reads meet, nil for nothing
}

func (b *badDay) next() day {
	b.writes++
	if len(b.plan) > 0 {
		d := b.plan[0]
		b.plan = b.plan[1:]
		return d
	}
	if b.always != nil {
		return b.always
	}
	return fine
}

func (b *badDay) Get(ctx context.Context, key string) (backend.Entry, error) {
	if b.reads != nil {
		if err := b.reads(); err != nil {
			return backend.Entry{}, err
		}
	}
	return b.Backend.Get(ctx, key)
}

func (b *badDay) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	kept := append([]byte(nil), value...)
	return b.next()(write{ctx: ctx, apply: func() (uint64, error) {
		return b.Backend.CompareAndSet(context.WithoutCancel(ctx), key, expected, kept, keep)
	}})
}

func (b *badDay) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	_, err := b.next()(write{ctx: ctx, apply: func() (uint64, error) {
		return 0, b.Backend.CompareAndDelete(context.WithoutCancel(ctx), key, expected)
	}})
	return err
}

// late holds the write back until the one after it has been applied, and loses its answer.
func late() (held, after day) {
	var first write
	return func(w write) (uint64, error) { first = w; return 0, errLostAnswer },
		func(w write) (uint64, error) {
			revision, err := w.apply()
			_, _ = first.apply()
			return revision, err
		}
}

// lateBefore holds the write back until just before the one after it.
func lateBefore() (held, after day) {
	var first write
	return func(w write) (uint64, error) { first = w; return 0, errLostAnswer },
		func(w write) (uint64, error) {
			_, _ = first.apply()
			return w.apply()
		}
}

// TestUnknownOutcomesAreSettled runs every operation that writes through every bad day that ends, and expects it to end as on a good one.
func TestUnknownOutcomesAreSettled(t *testing.T) {
	type operation struct {
		name string
		do   func(m *lease.Manager, id string) (lease.Lease, error)
		want lease.Lease // what matters of it
	}
	operations := []operation{
		{"acquire", func(m *lease.Manager, _ string) (lease.Lease, error) {
			l, acquired, err := m.Acquire(ctx, "fresh", lease.AcquireOptions{})
			if err == nil && !acquired {
				err = errors.New("not acquired")
			}
			return l, err
		}, lease.Lease{State: lease.StateInProgress, Version: 1}},
		{"extend", func(m *lease.Manager, id string) (lease.Lease, error) { return m.Extend(ctx, "k", id, time.Minute) },
			lease.Lease{State: lease.StateInProgress, Version: 2}},
		{"complete", func(m *lease.Manager, id string) (lease.Lease, error) {
			return m.Complete(ctx, "k", id, lease.Completion{})
		}, lease.Lease{State: lease.StateCompleted, Version: 2}},
		{"fail", func(m *lease.Manager, id string) (lease.Lease, error) {
			return m.Fail(ctx, "k", id, lease.Failure{Code: "c"})
		}, lease.Lease{State: lease.StateFailed, Version: 2}},
		{"cancel", func(m *lease.Manager, id string) (lease.Lease, error) { return m.Cancel(ctx, "k", id, "") },
			lease.Lease{State: lease.StateFailed, Version: 2}},
		{"forget", func(m *lease.Manager, _ string) (lease.Lease, error) {
			if err := m.Forget(ctx, "k"); err != nil {
				return lease.Lease{}, err
			}
			return m.Status(ctx, "k")
		}, lease.Lease{State: lease.StateNotFound}},
	}
	held1, after1 := late()
	held2, after2 := lateBefore()
	for _, d := range []struct {
		name string
		plan []day
	}{
		{"a good day", nil},
		{"the answer is lost", []day{answerLost}},
		{"the request is lost", []day{requestLost}},
		{"both are lost, again and again", []day{requestLost, requestLost, answerLost, answerLost, requestLost, answerLost}},
		{"the answer is lost and then the store is away for a while", []day{answerLost, unavailable, unavailable, unavailable}},
		{"the request is lost, and the next is refused because of it", []day{requestLost, busy, busy}},
		{"the request lands after it was sent again", []day{held1, after1}},
		{"the request lands before it is sent again", []day{held2, after2}},
	} {
		for _, op := range operations {
			t.Run(op.name+", "+d.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &badDay{Backend: memory.New()}
					m, _ := newManager(t, b)
					held := mustAcquire(t, m, "k", lease.AcquireOptions{})
					b.plan = d.plan
					l, err := op.do(m, held.LeaseID)
					if err != nil {
						t.Fatal(err)
					}
					if l.State != op.want.State || l.Version != op.want.Version {
						t.Fatalf("lease is %+v, want %+v", l, op.want)
					}
					if op.name == "forget" {
						return
					}
					// The store agrees, and the holder can go on.
					status, err := m.Status(ctx, l.Key)
					if err != nil || status.Version != l.Version || status.LeaseID != l.LeaseID || status.Token != l.Token {
						t.Fatalf("status is %+v, %v", status, err)
					}
					if l.State == lease.StateInProgress {
						if l, err := m.Complete(ctx, l.Key, l.LeaseID, lease.Completion{}); err != nil || l.Version != status.Version+1 {
							t.Fatalf("then complete: %+v, %v", l, err)
						}
					}
				})
			})
		}
	}
}

func TestUnknownOutcomeOnlyWhenTheStoreStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &badDay{Backend: memory.New()}
		m, _ := newManager(t, b)
		held := mustAcquire(t, m, "k", lease.AcquireOptions{})
		b.always, b.writes = requestLost, 0
		begun := time.Now()
		_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
		if !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, errLostAnswer) {
			t.Fatalf("error is %v, want ErrUnknownOutcome that wraps the cause", err)
		}
		if took := time.Since(begun); took > 4*time.Second || b.writes < 10 {
			t.Errorf("it took %v and %d tries", took, b.writes)
		}
		b.always = nil
		if l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil || l.Version != 2 {
			t.Errorf("asked again: %+v, %v", l, err)
		}
	})
}

func TestNothingIsTriedTwiceThatWasNotWritten(t *testing.T) {
	b := &badDay{Backend: memory.New()}
	m, _ := newManager(t, b)
	held := mustAcquire(t, m, "k", lease.AcquireOptions{})
	b.always, b.writes = unavailable, 0
	_, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
	if !errors.Is(err, lease.ErrUnavailable) || errors.Is(err, lease.ErrUnknownOutcome) || b.writes != 1 {
		t.Errorf("error is %v after %d tries, want ErrUnavailable after 1", err, b.writes)
	}
}

func TestContextEndsDuringAWrite(t *testing.T) {
	t.Run("a write that was applied is a success", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &badDay{Backend: memory.New(), plan: []day{hangs}}
			m, _ := newManager(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			l, acquired, err := m.Acquire(ctx, "k", lease.AcquireOptions{})
			if err != nil || !acquired || l.Version != 1 {
				t.Errorf("acquired is %t, error %v, lease %+v", acquired, err, l)
			}
		})
	})
	t.Run("a store that hangs is not waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &badDay{Backend: memory.New(), always: hangs}
			m, _ := newManager(t, b)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			_, _, err := m.Acquire(ctx, "k", lease.AcquireOptions{})
			if !errors.Is(err, lease.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v, want ErrUnknownOutcome that wraps context.DeadlineExceeded", err)
			}
			if took := time.Since(begun) - time.Minute; took > time.Second {
				t.Errorf("it returned %v after the context had ended", took)
			}
		})
	})
}

// TestSettlingAgainstOthers has another Manager come in between a lost answer and the next try.
func TestSettlingAgainstOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first day // what happens to the write of ours
		do    func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error)
		then  func(t *testing.T, other *lease.Manager, clock *leasetest.Clock, held lease.Lease)
		check func(t *testing.T, l lease.Lease, acquired bool, err error)
	}{
		{
			"our acquire is lost, another acquires: polling", requestLost,
			func(m *lease.Manager, _ lease.Lease) (lease.Lease, bool, error) {
				return m.Acquire(ctx, "fresh", lease.AcquireOptions{})
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, _ lease.Lease) {
				mustAcquire(t, other, "fresh", lease.AcquireOptions{TTL: time.Minute})
			},
			func(t *testing.T, l lease.Lease, acquired bool, err error) {
				if err != nil || acquired || l.TTL != time.Minute {
					t.Errorf("acquired is %t, error %v, lease %+v", acquired, err, l)
				}
			},
		},
		{
			"our acquire lands, expires and is taken over: lost", answerLost,
			func(m *lease.Manager, _ lease.Lease) (lease.Lease, bool, error) {
				return m.Acquire(ctx, "fresh", lease.AcquireOptions{TTL: time.Minute})
			},
			func(t *testing.T, other *lease.Manager, clock *leasetest.Clock, _ lease.Lease) {
				clock.Advance(time.Minute)
				mustAcquire(t, other, "fresh", lease.AcquireOptions{})
			},
			func(t *testing.T, l lease.Lease, acquired bool, err error) {
				if !errors.Is(err, lease.ErrLost) || acquired {
					t.Errorf("acquired is %t, error %v, want ErrLost", acquired, err)
				}
			},
		},
		{
			"our completion is lost, another takes over: lost", requestLost,
			func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error) {
				l, err := m.Complete(ctx, "k", held.LeaseID, lease.Completion{})
				return l, false, err
			},
			func(t *testing.T, other *lease.Manager, clock *leasetest.Clock, _ lease.Lease) {
				clock.Advance(time.Hour)
				mustAcquire(t, other, "k", lease.AcquireOptions{})
			},
			func(t *testing.T, l lease.Lease, _ bool, err error) {
				if !errors.Is(err, lease.ErrLost) {
					t.Errorf("error is %v, want ErrLost", err)
				}
			},
		},
		{
			"our extension lands, and the same holder completes meanwhile: success, at our version", answerLost,
			func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error) {
				l, err := m.Extend(ctx, "k", held.LeaseID, time.Minute)
				return l, false, err
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, held lease.Lease) {
				if _, err := other.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
					t.Error(err)
				}
			},
			func(t *testing.T, l lease.Lease, _ bool, err error) {
				if err != nil || l.Version != 2 || l.State != lease.StateInProgress {
					t.Errorf("error %v, lease %+v", err, l)
				}
			},
		},
		{
			"our extension is lost, and the same holder completes meanwhile: finished", requestLost,
			func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error) {
				l, err := m.Extend(ctx, "k", held.LeaseID, time.Minute)
				return l, false, err
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, held lease.Lease) {
				if _, err := other.Complete(ctx, "k", held.LeaseID, lease.Completion{}); err != nil {
					t.Error(err)
				}
			},
			func(t *testing.T, l lease.Lease, _ bool, err error) {
				if !errors.Is(err, lease.ErrFinished) {
					t.Errorf("error is %v, want ErrFinished", err)
				}
			},
		},
		{
			"our failure lands, and is retried by another: success", answerLost,
			func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error) {
				l, err := m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "c"})
				return l, false, err
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, _ lease.Lease) {
				mustAcquire(t, other, "k", lease.AcquireOptions{RetryFailed: true})
			},
			func(t *testing.T, l lease.Lease, _ bool, err error) {
				if err != nil || l.State != lease.StateFailed || l.Version != 2 || l.Token == 0 {
					t.Errorf("error %v, lease %+v", err, l)
				}
			},
		},
		{
			"our failure lands, is retried by another and fails again: it cannot be told any more", answerLost,
			func(m *lease.Manager, held lease.Lease) (lease.Lease, bool, error) {
				l, err := m.Fail(ctx, "k", held.LeaseID, lease.Failure{Code: "c"})
				return l, false, err
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, _ lease.Lease) {
				l := mustAcquire(t, other, "k", lease.AcquireOptions{RetryFailed: true})
				if _, err := other.Fail(ctx, "k", l.LeaseID, lease.Failure{Code: "c"}); err != nil {
					t.Error(err)
				}
			},
			func(t *testing.T, l lease.Lease, _ bool, err error) {
				if !errors.Is(err, lease.ErrUnknownOutcome) {
					t.Errorf("error is %v, want ErrUnknownOutcome", err)
				}
			},
		},
		{
			"our acquire lands and is forgotten, and the resend lands too: acquired", answerLost,
			func(m *lease.Manager, _ lease.Lease) (lease.Lease, bool, error) {
				return m.Acquire(ctx, "fresh", lease.AcquireOptions{})
			},
			func(t *testing.T, other *lease.Manager, _ *leasetest.Clock, _ lease.Lease) {
				if err := other.Forget(ctx, "fresh"); err != nil {
					t.Error(err)
				}
			},
			func(t *testing.T, l lease.Lease, acquired bool, err error) {
				if err != nil || !acquired {
					t.Errorf("acquired is %t, error %v", acquired, err)
				}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				b := &badDay{Backend: store}
				m, clock := newManager(t, b)
				other, err := lease.NewManager(store, lease.WithClock(clock))
				if err != nil {
					t.Fatal(err)
				}
				held := mustAcquire(t, m, "k", lease.AcquireOptions{TTL: time.Hour})
				b.plan = []day{func(w write) (uint64, error) {
					revision, err := tt.first(w)
					tt.then(t, other, clock, held)
					return revision, err
				}}
				l, acquired, err := tt.do(m, held)
				tt.check(t, l, acquired, err)
			})
		})
	}
}

func TestForgetLeavesANewLeaseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		b := &badDay{Backend: store}
		m, _ := newManager(t, b)
		other, _ := newManager(t, store)
		mustAcquire(t, m, "k", lease.AcquireOptions{})
		var fresh lease.Lease
		b.plan = []day{func(w write) (uint64, error) {
			_, err := answerLost(w)
			fresh = mustAcquire(t, other, "k", lease.AcquireOptions{})
			return 0, err
		}}
		if err := m.Forget(ctx, "k"); !errors.Is(err, lease.ErrUnknownOutcome) {
			t.Errorf("error is %v, want ErrUnknownOutcome", err)
		}
		if l, err := other.Status(ctx, "k"); err != nil || l.LeaseID != fresh.LeaseID {
			t.Errorf("the new lease is %+v, %v", l, err)
		}
	})
}

func TestReadsThatFail(t *testing.T) {
	broken := errors.New("disk on fire")
	b := &badDay{Backend: memory.New(), reads: func() error { return broken }}
	m, _ := newManager(t, b)
	for _, call := range everyCall(ctx, m, "k") {
		if call.name == "acquire" {
			continue // a fresh one reads nothing
		}
		if err := call.do(); !errors.Is(err, lease.ErrUnavailable) || !errors.Is(err, broken) {
			t.Errorf("%s: %v, want ErrUnavailable that wraps the cause", call.name, err)
		}
	}
}

// TestAStoreThatOnlyConflicts bounds the loop against a store that breaks its promises.
func TestAStoreThatOnlyConflicts(t *testing.T) {
	var tries atomic.Int64
	b := &badDay{Backend: memory.New(), always: func(write) (uint64, error) { tries.Add(1); return 0, backend.ErrConflict }}
	m, _ := newManager(t, b)
	if _, _, err := m.Acquire(ctx, "k", lease.AcquireOptions{}); !errors.Is(err, lease.ErrUnavailable) || tries.Load() > 1000 {
		t.Errorf("error is %v after %d tries", err, tries.Load())
	}
}
