package lease_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

func TestAClockThatIsWrongIsToldOfOnce(t *testing.T) {
	const hour = time.Hour
	for _, tt := range []struct {
		name  string
		ahead time.Duration // the clock that writes is ahead of the one that reads
		skew  time.Duration
		told  bool
	}{
		{"clocks that agree", 0, 0, false},
		{"a second ahead", time.Second, 0, false},
		{"more than a second ahead", time.Second + 1, 0, true},
		{"an hour ahead", hour, 0, true},
		{"as much ahead as clocks may differ", 10 * time.Second, 10 * time.Second, false},
		{"and a second more", 11 * time.Second, 10 * time.Second, false},
		{"and more than that", 11*time.Second + 1, 10 * time.Second, true},
		{"behind", -hour, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j journal
			store := memory.New()
			m, _ := newManager(t, store, lease.WithObserver(j.observe), lease.WithClockSkew(tt.skew))
			writer, clock := newManager(t, store, lease.WithClockSkew(tt.skew))
			clock.Advance(tt.ahead)
			mustAcquire(t, writer, "k", &lease.AcquireOptions{TTL: 24 * hour})
			mustLock(t, writer, "k", &lease.LockOptions{TTL: 24 * hour})
			for range 3 {
				l, err := m.Status(ctx, "k") // shown as it is
				if err != nil || l.TTLLeft != 24*hour+tt.ahead {
					t.Errorf("lease %+v, error %v", l, err)
				}
				if _, acquired, err := m.Acquire(ctx, "k", nil); err != nil || acquired {
					t.Errorf("acquired is %t, error %v", acquired, err)
				}
				if l := mustBeDuplicate(t, m, "k"); l.TTLLeft != 24*hour+tt.ahead {
					t.Errorf("lock %+v", l)
				}
			}
			events, _ := j.told(t, m)
			var suspects []lease.Event
			for _, e := range events {
				if e.Kind == lease.EventClockSuspect {
					suspects = append(suspects, e)
				}
			}
			if !tt.told {
				if len(suspects) != 0 {
					t.Errorf("told of %+v", suspects)
				}
				return
			}
			if len(suspects) != 2 || suspects[0].State != lease.StateInProgress || suspects[1].Key != "k" || suspects[1].Namespace != "default" || !contains(suspects[1].Err, "ForgetLock") {
				t.Fatalf("told of %+v, want the lease and the lock, once each", suspects)
			}
			// The remedy.
			if err := errors.Join(m.Forget(ctx, "k"), m.ForgetLock(ctx, "k")); err != nil {
				t.Fatal(err)
			}
			mustAcquire(t, m, "k", nil)
			mustLock(t, m, "k", nil)
			if again, _ := j.told(t, m); len(again) != len(events)+2 { // acquired and locked
				t.Errorf("then told of %+v", again[len(events):])
			}
		})
	}
}

func TestUnreadableRecordsAreToldOf(t *testing.T) {
	var j journal
	store := memory.New()
	m, _ := newManager(t, store, lease.WithObserver(j.observe), lease.WithLogger(j.logger(slog.LevelInfo)))
	for _, key := range []string{"default/k", "default:lock/k"} {
		if _, err := store.CompareAndSet(ctx, key, 0, json.RawMessage(`{"format":2}`), 0); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.Status(ctx, "k")
	_, _, err2 := m.CheckLock(ctx, "k", nil)
	if !errors.Is(err, lease.ErrUnreadable) || !errors.Is(err2, lease.ErrUnreadable) {
		t.Fatal(err, err2)
	}
	events, log := j.told(t, m)
	if len(events) != 2 {
		t.Fatalf("told of %+v, want both", events)
	}
	for _, e := range events {
		if e.Kind != lease.EventUnreadable || e.Namespace != "default" || e.Key != "k" || e.State != "" || !errors.Is(e.Err, lease.ErrUnreadable) {
			t.Errorf("told of %+v", e)
		}
	}
	if want := `level=ERROR msg="lease: unreadable" namespace=default key=k err="unreadable record: format 2, this version of the package reads up to 1: upgrade it"` + "\n"; log != want+want {
		t.Errorf("logged\n%s", log)
	}
}
