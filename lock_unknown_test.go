package lease_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

func TestLocksOfUnknownOutcomeAreSettled(t *testing.T) {
	held1, after1 := late()
	held2, after2 := lateBefore()
	for _, tt := range []struct {
		name string
		plan []day
	}{
		{"the answer is lost", []day{answerLost}},
		{"the request is lost", []day{requestLost}},
		{"both are lost, again and again", []day{requestLost, requestLost, answerLost, answerLost, requestLost}},
		{"the answer is lost and then the store is away for a while", []day{answerLost, unavailable, unavailable}},
		{"the request is lost, and the next is refused because of it", []day{requestLost, busy, busy}},
		{"the write is refused because another is under way", []day{busy}},
		{"the write is refused although it was applied", []day{refusedThoughApplied}},
		{"the request lands after it was sent again", []day{held1, after1}},
		{"the request lands before it is sent again", []day{held2, after2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newScriptedStore(tt.plan...)
				m, _ := newManager(t, b)
				mustLock(t, m, "k", nil)
				mustBeDuplicate(t, m, "k")
			})
		})
	}
	t.Run("the store stays away", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _ := newManager(t, &scriptedStore{Store: memory.New(), always: requestLost})
			if _, locked, err := m.CheckLock(ctx, "k", nil); locked || !errors.Is(err, lease.ErrUnknownOutcome) {
				t.Errorf("locked is %t, error %v, want ErrUnknownOutcome", locked, err)
			}
		})
	})
	t.Run("the store cannot be asked", func(t *testing.T) {
		m, _ := newManager(t, &scriptedStore{Store: memory.New(), always: unavailable})
		if _, locked, err := m.CheckLock(ctx, "k", nil); locked || !errors.Is(err, lease.ErrUnavailable) {
			t.Errorf("locked is %t, error %v, want ErrUnavailable", locked, err)
		}
	})
}

// TestSettlingLocksAgainstOthers has another Manager come in between a lost answer and the next
// try.
func TestSettlingLocksAgainstOthers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before time.Duration // the key was locked for a minute, that long ago; 0: it was not
		first  day           // what happens to the write of ours, for a second
		after  time.Duration // until the other comes, by the clock
		drops  bool          // the store drops meanwhile what is over
		again  int           // how often others lock it
		locked bool
		err    error
	}{
		{"ours is lost, another locks: duplicate", 0, requestLost, 0, false, 1, false, nil},
		{"ours lands, is over and another locks: locked", 0, answerLost, time.Second, false, 1, true, nil},
		{"ours lands over an old one, is over and another locks: locked", time.Hour, answerLost, time.Second, false, 1, true, nil},
		{"ours is lost over an old one, and another locks: duplicate", time.Hour, requestLost, time.Second, false, 1, false, nil},
		{"ours lands, is over and dropped, and another locks: it cannot be told any more", 0, answerLost, time.Second, true, 1, false, lease.ErrUnknownOutcome},
		{"ours lands over an old one, is over and dropped, and another locks: it cannot be told any more", time.Hour, answerLost, time.Second, true, 1, false, lease.ErrUnknownOutcome},
		{"ours lands, is over, and two others lock: it cannot be told any more", 0, answerLost, time.Second, false, 2, false, lease.ErrUnknownOutcome},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				b := &scriptedStore{Store: store}
				m, clock := newManager(t, b)
				other, err := lease.NewManager(store, lease.WithClock(clock))
				if err != nil {
					t.Fatal(err)
				}
				if tt.before > 0 {
					mustLock(t, other, "k", &lease.LockOptions{TTL: time.Minute})
					mustBeDuplicate(t, m, "k") // so that it does not begin with a guess
					clock.Advance(tt.before)
				}
				b.plan = []day{func(w write) (uint64, error) {
					revision, err := tt.first(w)
					clock.Advance(tt.after)
					if tt.drops {
						e, err := store.Get(ctx, "default:lock/k")
						if err == nil {
							err = store.CompareAndDelete(ctx, e.Key, e.Revision)
						}
						if err != nil {
							t.Error(err)
						}
					}
					for i := range tt.again {
						clock.Advance(time.Duration(i) * time.Minute)
						mustLock(t, other, "k", &lease.LockOptions{TTL: time.Minute})
					}
					return revision, err
				}}
				l, locked, err := m.CheckLock(ctx, "k", &lease.LockOptions{TTL: time.Second})
				if locked != tt.locked || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Fatalf("locked is %t, error %v, lock %+v", locked, err, l)
				}
				if locked && l.TTL != time.Second {
					t.Errorf("it is not told of its own lock: %+v", l)
				}
				mustBeDuplicate(t, m, "k")
			})
		})
	}
}

// TestOneOfManyLocksOnABadDay: of the callers who are told, one locked the key, unless somebody was
// not told.
func TestOneOfManyLocksOnABadDay(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			faulty := conformance.NewFaulty(memory.New(), conformance.Faults{LostRequest: 0.2, LostAnswer: 0.2, Late: 0.1, Delay: 0.3, MaxDelay: 20 * time.Millisecond}, seed)
			var locked, unknown atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				m, _ := newManager(t, faulty)
				wg.Go(func() {
					_, ok, err := m.CheckLock(ctx, "k", nil)
					switch {
					case ok:
						locked.Add(1)
					case errors.Is(err, lease.ErrUnknownOutcome), errors.Is(err, lease.ErrUnavailable):
						unknown.Add(1)
					case err != nil:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			faulty.Heal() // what is late lands
			if n, u := locked.Load(), unknown.Load(); n > 1 || n == 0 && u == 0 {
				t.Errorf("seed %d: %d callers locked the key, %d were not told", seed, n, u)
			}
		})
	}
}

func TestALockAfterTheEndOfItsContextDoesNothing(t *testing.T) {
	b := newScriptedStore()
	m, _ := newManager(t, b)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, locked, err := m.CheckLock(ended, "k", nil); locked || !errors.Is(err, context.Canceled) || b.calls() != 0 {
		t.Errorf("locked is %t, error %v, after %d store calls", locked, err, b.calls())
	}
}
