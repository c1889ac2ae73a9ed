package lease_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// What a watch tells may be late, and leave out what it may.

// telling is a store whose watch tells what the test has it tell.
type telling struct {
	*scriptedStore
	tell chan backend.Entry
}

// TestAWatchThatLags tells those who wait what is not so any more.
func TestAWatchThatLags(t *testing.T) {
	anew := func(t *testing.T, m *lease.Manager) lease.Lease {
		t.Helper()
		if err := m.Forget(bg, "k"); err != nil {
			t.Fatal(err)
		}
		return mustTake(t, m, "k", nil)
	}
	end := func(t *testing.T, m *lease.Manager, held lease.Lease) {
		t.Helper()
		if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease)
	}{
		{"an absence that is over ends nothing", func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease) {
			early := startWait(t.Context(), m, "k")
			early.mustWait(t)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			early.mustWait(t)
			late.mustWait(t)
			b.tell <- entry(t, b.scriptedStore)
			late.mustWait(t)
			end(t, m, second)
			b.tell <- entry(t, b.scriptedStore)
			for _, w := range []*waiter{early, late} {
				if l, err := w.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != second.Token {
					t.Errorf("Wait returned %+v, %v", l, err)
				}
			}
		}},
		{"a completion ends only who waited for that lease", func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease) {
			early := startWait(t.Context(), m, "k")
			early.mustWait(t)
			end(t, m, held)
			completed := entry(t, b.scriptedStore)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- completed
			if l, err := early.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != held.Token {
				t.Errorf("who waited for the first lease got %+v, %v", l, err)
			}
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			late.mustWait(t)
			end(t, m, second)
			b.tell <- entry(t, b.scriptedStore)
			if l, err := late.mustReturn(t); err != nil || l.Token != second.Token {
				t.Errorf("who waited for the second lease got %+v, %v", l, err)
			}
		}},
		{"who joins a watch that has seen the end of an older lease waits", func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease) {
			lazy := make(chan struct{}) // somebody who is busy with the first state keeps the watch
			busy := make(chan struct{})
			go func() {
				defer close(lazy)
				for range m.Watch(t.Context(), "k") {
					<-busy
				}
			}()
			first := startWait(t.Context(), m, "k")
			first.mustWait(t)
			b.tell <- entry(t, b.scriptedStore)
			end(t, m, held)
			b.tell <- entry(t, b.scriptedStore)
			first.mustReturn(t)
			second := anew(t, m)
			late := startWait(t.Context(), m, "k")
			late.mustWait(t)
			b.tell <- backend.Entry{Key: "default/k"}
			later := startWait(t.Context(), m, "k")
			late.mustWait(t)
			later.mustWait(t)
			end(t, m, second)
			b.tell <- entry(t, b.scriptedStore)
			for _, w := range []*waiter{late, later} {
				if l, err := w.mustReturn(t); err != nil || l.State != lease.StateCompleted || l.Token != second.Token {
					t.Errorf("Wait returned %+v, %v", l, err)
				}
			}
			close(busy)
			<-lazy
		}},
		// The watch need not tell the state between two absences, nor the second then.
		{"the second of two absences is found out", func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease) {
			w := startWait(t.Context(), m, "k")
			w.mustWait(t)
			anew(t, m)
			b.tell <- backend.Entry{Key: "default/k"}
			w.mustWait(t)
			if err := m.Forget(bg, "k"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if l, err := w.mustReturn(t); err != nil || l.State != lease.StateNotFound {
				t.Errorf("Wait returned %+v, %v", l, err)
			}
		}},
		// The watch has not told of the long lease when the store does, and never tells of it.
		{"a deadline that comes before the one that the store told of", func(t *testing.T, b *telling, m *lease.Manager, held lease.Lease) {
			if _, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
			first := startWait(t.Context(), m, "k")
			first.mustWait(t)
			b.tell <- entry(t, b.scriptedStore)
			if _, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: 24 * time.Hour}); err != nil {
				t.Fatal(err)
			}
			w := startWait(t.Context(), m, "k")
			w.mustWait(t)
			if _, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: 10 * time.Minute}); err != nil {
				t.Fatal(err)
			}
			b.tell <- entry(t, b.scriptedStore)
			w.mustWait(t)
			time.Sleep(10 * time.Minute)
			w.mustReturn(t)
			first.mustReturn(t)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &telling{newScriptedStore(), make(chan backend.Entry)}
				b.watch = tells(b.tell)
				m := host(t, b)
				tt.run(t, b, m, mustTake(t, m, "k", nil))
			})
		})
	}
}

// TestWaitNeitherMissesAnEndNorMakesOneUp has a lease go through all that may happen to it, while
// the watch lags, and checks each who waits: the key was free at some moment of the wait, and the
// wait does not go on when it has been free for a while.
func TestWaitNeitherMissesAnEndNorMakesOneUp(t *testing.T) {
	const notice = 3 * time.Second // enough for the lag, or the pause between questions, and a second if it has to be asked again
	for _, tt := range []struct {
		name string
		b    func(*memory.Store, *rand.Rand) backend.Backend
	}{
		{"pushed", func(s *memory.Store, _ *rand.Rand) backend.Backend { return s }},
		{"pushed late, with states left out", func(s *memory.Store, r *rand.Rand) backend.Backend { return &skipping{s, r} }},
		{"asked", func(s *memory.Store, _ *rand.Rand) backend.Backend { return threeMethods{s} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended := 0
			for seed := range uint64(300) {
				random := rand.New(rand.NewPCG(seed, 1))
				synctest.Test(t, func(t *testing.T) {
					store := memory.New()
					holder := host(t, store)
					m := host(t, tt.b(store, rand.New(rand.NewPCG(seed, 2))), lease.WithRetryAfter(time.Second))
					type free struct{ from, to time.Time }
					frees := []free{{time.Now(), time.Time{}}} // to is zero while it lasts
					var held lease.Lease
					var all []*waiter
					isFree := func() bool {
						last := frees[len(frees)-1]
						if last.to.IsZero() {
							return true
						}
						if time.Now().Before(held.ExpiresAt) {
							return false
						}
						frees = append(frees, free{from: held.ExpiresAt})
						return true
					}
					must := func(err error) {
						t.Helper()
						if err != nil {
							t.Fatalf("seed %d: %v", seed, err)
						}
					}
					for range 60 {
						switch action, isFree := random.IntN(8), isFree(); {
						case action == 0:
							all = append(all, startWait(t.Context(), m, "k"))
						case action == 1, isFree && action < 5:
							if err := holder.Forget(bg, "k"); err == nil && !isFree {
								frees = append(frees, free{from: time.Now()})
							}
							held = mustTake(t, holder, "k", &lease.AcquireOptions{TTL: []time.Duration{time.Second, time.Minute, time.Hour}[random.IntN(3)]})
							frees[len(frees)-1].to = time.Now()
						case isFree:
						case action <= 3:
							var err error
							held, err = holder.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: []time.Duration{time.Second, 5 * time.Second, time.Hour}[random.IntN(3)]})
							must(err)
						case action == 4:
							must(holder.Forget(bg, "k"))
							frees = append(frees, free{from: time.Now()})
						case action == 5:
							_, err := holder.Complete(bg, "k", held.LeaseID, lease.Completion{})
							must(err)
							frees = append(frees, free{from: time.Now()})
						case action == 6:
							_, err := holder.Release(bg, "k", held.LeaseID)
							must(err)
							frees = append(frees, free{from: time.Now()})
						}
						switch random.IntN(4) {
						case 0: // no time passes, nor does anybody else come to run
						case 1:
							synctest.Wait()
						case 2:
							time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
						case 3:
							time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
						}
						synctest.Wait()
						if isFreeNow := isFree(); isFreeNow && time.Since(frees[len(frees)-1].from) > notice {
							for i, w := range all {
								if !w.ended() {
									t.Fatalf("seed %d: waiter %d goes on, though the key has been free for %v", seed, i, time.Since(frees[len(frees)-1].from))
								}
							}
						}
					}
					if !isFree() {
						must(holder.Forget(bg, "k"))
						frees = append(frees, free{from: time.Now()})
					}
					time.Sleep(notice)
					frees[len(frees)-1].to = time.Now()
					for i, w := range all {
						if _, err := w.mustReturn(t); err != nil {
							t.Fatalf("seed %d: waiter %d: %v", seed, i, err)
						}
						if !slices.ContainsFunc(frees, func(f free) bool { return !f.from.After(w.to) && !f.to.Before(w.from) }) {
							t.Fatalf("seed %d: waiter %d, from %v to %v, returned %+v, but the key was never free: %v", seed, i, w.from, w.to, w.lease, frees)
						}
						if w.lease.State == lease.StateInProgress {
							t.Fatalf("seed %d: waiter %d returned %+v", seed, i, w.lease)
						}
						if w.to.After(w.from) {
							ended++
						}
					}
				})
			}
			if ended < 300 {
				t.Errorf("only %d waits had anything to wait for", ended)
			}
		})
	}
}

// skipping is a store whose watches are late, and leave out what they may: all but the newest
// state, and that too if it is an absence after another.
type skipping struct {
	*memory.Store
	random *rand.Rand // used by the one watch there is
}

func (s *skipping) Watch(ctx context.Context, key string) (<-chan backend.Entry, error) {
	fresh, err := s.Store.Watch(ctx, key)
	if err != nil {
		return nil, err
	}
	states := make(chan backend.Entry)
	late := make([]time.Duration, 64)
	for i := range late {
		late[i] = time.Duration(s.random.IntN(300)) * time.Millisecond
	}
	go func() {
		defer close(states)
		var last *backend.Entry
		for i := 0; ; i++ {
			time.Sleep(late[i%len(late)])
			e, ok := <-fresh
			if !ok {
				return
			}
			if last != nil && last.Revision == e.Revision {
				continue
			}
			last = &e
			states <- e
		}
	}()
	return states, nil
}
