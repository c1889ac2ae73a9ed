package lease_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// take is what Watch yields, one line each.
func take(l lease.Lease, err error) string {
	if err != nil {
		return "error"
	}
	return strings.Join([]string{string(l.State), string(l.Metadata), string(l.Result)}, " ")
}

func TestWatchYieldsEachState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newScriptedStore()
		m := host(t, b)
		held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute, Metadata: json.RawMessage(`{"a":1}`)})
		var got []lease.Lease
		ended := false
		go func() {
			for l, err := range m.Watch(t.Context(), "k") {
				if err != nil {
					t.Error(err)
				}
				clear(l.Metadata) // it is a copy
				got = append(got, l)
			}
			ended = true
		}()
		count := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(got) != n || ended {
				t.Fatalf("Watch has yielded %+v, ended is %t, want %d", got, ended, n)
			}
		}
		count(1)
		time.Sleep(30 * time.Second)
		count(1)
		if _, err := m.Extend(bg, "k", held.LeaseID, &lease.ExtendOptions{TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		count(2)
		if got[0].Version != 1 || got[1].Version != 2 || got[1].TTLLeft != time.Hour || got[1].State != lease.StateInProgress {
			t.Errorf("Watch has yielded %+v", got)
		}
		if l, err := m.Status(bg, "k"); err != nil || string(l.Metadata) != `{"a":1}` {
			t.Errorf("status is %+v, %v", l, err)
		}
		time.Sleep(time.Minute)
		if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{Result: json.RawMessage(`7`)}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !ended || len(got) != 3 || got[2].State != lease.StateCompleted || string(got[2].Result) != "7" {
			t.Errorf("Watch has yielded %+v, ended is %t", got, ended)
		}
		if b.watching.Load() != 0 {
			t.Error("a watch goes on")
		}
	})
}

func TestWatchEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, m *lease.Manager, store *scriptedStore, held lease.Lease)
		want []string
	}{
		{"with an expiry", func(*testing.T, *lease.Manager, *scriptedStore, lease.Lease) {}, []string{"in_progress  ", "expired  "}},
		{"with a release", func(t *testing.T, m *lease.Manager, _ *scriptedStore, held lease.Lease) {
			if _, err := m.Release(bg, "k", held.LeaseID); err != nil {
				t.Error(err)
			}
		}, []string{"in_progress  ", "expired  "}},
		{"with an absence", func(t *testing.T, m *lease.Manager, _ *scriptedStore, _ lease.Lease) {
			if err := m.Forget(bg, "k"); err != nil {
				t.Error(err)
			}
		}, []string{"in_progress  ", "not_found  "}},
		{"with a failure", func(t *testing.T, m *lease.Manager, _ *scriptedStore, held lease.Lease) {
			if _, err := m.Cancel(bg, "k", held.LeaseID, ""); err != nil {
				t.Error(err)
			}
		}, []string{"in_progress  ", "failed  "}},
		{"with an error", func(_ *testing.T, _ *lease.Manager, store *scriptedStore, _ lease.Lease) { store.away.Store(true) }, []string{"in_progress  ", "error"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newScriptedStore()
				m := host(t, store)
				held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
				time.AfterFunc(time.Second, func() { tt.do(t, m, store, held) })
				var got []string
				for l, err := range m.Watch(t.Context(), "k") {
					got = append(got, take(l, err))
					var e *lease.Error
					if err != nil && (!errors.Is(err, lease.ErrUnavailable) || !errors.As(err, &e) || e.Op != "watch" || l.Key != "") {
						t.Errorf("with %+v came %v", l, err)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("Watch yielded %q, want %q", got, tt.want)
				}
			})
		})
	}
	t.Run("at once when nothing is in progress, with that", func(t *testing.T) {
		m := host(t, memory.New())
		var got []string
		for l, err := range m.Watch(bg, "k") {
			got = append(got, take(l, err))
		}
		if !slices.Equal(got, []string{"not_found  "}) {
			t.Errorf("Watch yielded %q", got)
		}
	})
	t.Run("at once with an error for a key that cannot be", func(t *testing.T) {
		n := 0
		for l, err := range host(t, memory.New()).Watch(bg, "") {
			n++
			mustNameField(t, err, "key")
			if l.State != "" {
				t.Errorf("with the error came %+v", l)
			}
		}
		if n != 1 {
			t.Errorf("%d were yielded", n)
		}
	})
	t.Run("when its caller has seen enough, at any state", func(t *testing.T) {
		for enough := range 3 {
			synctest.Test(t, func(t *testing.T) {
				b := newScriptedStore()
				m := host(t, b)
				held := mustTake(t, m, "k", nil)
				time.AfterFunc(time.Second, func() {
					if _, err := m.Extend(bg, "k", held.LeaseID, nil); err != nil {
						t.Error(err)
					}
				})
				time.AfterFunc(2*time.Second, func() {
					if err := m.Forget(bg, "k"); err != nil {
						t.Error(err)
					}
				})
				n := 0
				for range m.Watch(t.Context(), "k") {
					if n == enough {
						break
					}
					n++
				}
				synctest.Wait()
				if n != enough || b.watching.Load() != 0 {
					t.Errorf("%d states, want %d; %d watches go on", n, enough, b.watching.Load())
				}
				time.Sleep(2 * time.Second)
			})
		}
	})
	t.Run("with the context's error", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := host(t, memory.New())
			mustTake(t, m, "k", nil)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var last error
			n := 0
			for _, last = range m.Watch(ctx, "k") {
				n++
			}
			if n != 2 || !errors.Is(last, context.DeadlineExceeded) {
				t.Errorf("%d yielded, the last with %v", n, last)
			}
		})
	})
}

// TestWatchYieldsAReplacement: the lease of newer input is one more state of the key.
func TestWatchYieldsAReplacement(t *testing.T) {
	bubble(t, "and goes on", func(t *testing.T, store *memory.Store) {
		m := host(t, store)
		mustTake(t, m, "k", &lease.AcquireOptions{InputHash: "older"})
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for l, err := range m.Watch(t.Context(), "k") {
				if err != nil {
					t.Error(err)
				}
				got = append(got, stands(l)+" "+l.InputHash)
			}
		}()
		time.Sleep(time.Minute)
		newer := mustTake(t, m, "k", &lease.AcquireOptions{InputHash: "newer", Replace: true})
		time.Sleep(time.Minute)
		if _, err := m.Release(bg, "k", newer.LeaseID); err != nil {
			t.Fatal(err)
		}
		<-done
		if want := []string{"in_progress 1 older", "in_progress 2 newer", "released 2 newer"}; !slices.Equal(got, want) {
			t.Errorf("Watch has yielded %q, want %q", got, want)
		}
	})
}

// TestWatchWithinTheClockSkew: past its deadline a lease is in progress until another may take it
// over.
func TestWatchWithinTheClockSkew(t *testing.T) {
	bubble(t, "it is still held", func(t *testing.T, store *memory.Store) {
		m := host(t, store, lease.WithClockSkew(time.Minute))
		held := mustTake(t, m, "k", &lease.AcquireOptions{TTL: time.Minute})
		time.Sleep(90 * time.Second)
		var got []string
		for l, err := range m.Watch(bg, "k") {
			got = append(got, take(l, err))
			if len(got) == 1 {
				if _, err := m.Complete(bg, "k", held.LeaseID, lease.Completion{}); err != nil {
					t.Error(err)
				}
			}
		}
		if want := []string{"in_progress  ", "completed  "}; !slices.Equal(got, want) {
			t.Errorf("Watch has yielded %q, want %q", got, want)
		}
	})
}
