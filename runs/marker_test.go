package runs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/internal/runlink"
	"github.com/ailease/lease/leasetest"
)

// onMemory is a Manager on a store of its own, by a clock that stands still.
func onMemory(t *testing.T) (*lease.Manager, runlink.Steps, *memory.Store, *leasetest.Clock) {
	t.Helper()
	store, clock := memory.New(), leasetest.NewClock(t0)
	t.Cleanup(func() { store.Close() })
	m, err := lease.NewManager(store, lease.WithClock(clock), lease.WithNamespace("team"))
	if err != nil {
		t.Fatal(err)
	}
	return m, runlink.Of(m), store, clock
}

func mustStart(t *testing.T, s runlink.Steps, key string, r runlink.Request) lease.Lease {
	t.Helper()
	r.Within = whole
	a, err := start(context.Background(), s, key, r)
	if err != nil || !a.Started {
		t.Fatalf("start: started is %t, error %v", a.Started, err)
	}
	return a.Lease.(lease.Lease)
}

func TestWhereMarkersLie(t *testing.T) {
	m, s, store, _ := onMemory(t)
	mustStart(t, s, "reports/2026", runlink.Request{})
	e, err := store.Get(context.Background(), "team:due/reports/2026")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"due":"2026-01-01T00:00:00Z"}`; string(e.Value) != want {
		t.Errorf("the marker is %s, want %s", e.Value, want)
	}
	n := 0
	for _, err := range m.List(context.Background(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("a listing of the namespace has %d leases, want the run alone", n)
	}
}

func TestAKeyThatIsTooLongForItsMarker(t *testing.T) {
	long := strings.Repeat("k", backend.MaxKeyBytes-len("team"+markerMark))
	if _, err := markerKey("team", long); err != nil {
		t.Errorf("the longest: %v", err)
	}
	_, err := markerKey("team", long+"k")
	if !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), "1272 bytes, limit 1271") || strings.Contains(err.Error(), "kk") {
		t.Errorf("one more: %v", err)
	}
	// No key that a Manager takes is too long: four bytes to each character, and the longest name.
	if most := 4*256 + 64 + len(markerMark); most > backend.MaxKeyBytes {
		t.Errorf("a marker's key may have %d bytes", most)
	}
}

// An overdue run whose marker is gone gets one from whoever asks for it.
func TestMissingMarkerOfAnOverdueRunIsRewritten(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		ask  func(s runlink.Steps) error
	}{
		{"by status", func(s runlink.Steps) error { _, err := status(ctx, s, key); return err }},
		{"by a start", func(s runlink.Steps) error {
			_, err := start(ctx, s, key, runlink.Request{Within: whole})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, s, store, clock := onMemory(t)
			mustStart(t, s, key, runlink.Request{Delay: time.Minute})
			erase := func() {
				m, err := loadMarker(ctx, s, key)
				if err == nil && m.revision != 0 {
					err = deleteMarker(ctx, s, m)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			marked := func() bool {
				_, err := store.Get(ctx, "team:due/"+key)
				return err == nil
			}
			erase()
			if err := tt.ask(s); err != nil || marked() {
				t.Errorf("before the run is due: marked is %t, error %v", marked(), err)
			}
			clock.Advance(time.Minute)
			if err := tt.ask(s); err != nil || !marked() {
				t.Errorf("a run that waits: marked is %t, error %v", marked(), err)
			}
			m, err := loadMarker(ctx, s, key)
			if err != nil || m.due.After(clock.Now()) {
				t.Fatalf("due at %v, error %v", m.due, err)
			}
			if l, err := look(ctx, s, m, "claim_1", time.Minute); err != nil || l.claim == nil {
				t.Fatalf("a worker finds %+v, error %v", l, err)
			}
			erase()
			clock.Advance(time.Minute)
			if err := tt.ask(s); err != nil || !marked() {
				t.Errorf("a run whose claim ran out: marked is %t, error %v", marked(), err)
			}
		})
	}
}

func TestAStartIsSafeToRepeat(t *testing.T) {
	ctx := context.Background()
	_, s, _, clock := onMemory(t)
	l := mustStart(t, s, key, runlink.Request{Nonce: "n", Task: "sum"})
	clock.Advance(time.Second)
	again, err := start(ctx, s, key, runlink.Request{Nonce: "n", Task: "sum", Within: whole})
	if got := again.Lease.(lease.Lease); err != nil || !again.Started || got.LeaseID != l.LeaseID || got.Version != 1 {
		t.Errorf("the same again: %+v, error %v", again, err)
	}
	another, err := start(ctx, s, key, runlink.Request{Nonce: "o", Within: whole})
	if got := another.Lease.(lease.Lease); err != nil || another.Started || got.LeaseID != l.LeaseID || got.State != lease.StateInProgress {
		t.Errorf("another: %+v, error %v", another, err)
	}
	if m, err := loadMarker(ctx, s, key); err != nil || m.revision == 0 {
		t.Errorf("marker %+v, error %v", m, err)
	}
}

func TestStartRefusesWhatIsOutsideItsLimits(t *testing.T) {
	_, s, store, _ := onMemory(t)
	for _, tt := range []struct {
		name string
		r    runlink.Request
		want string
	}{
		{"no deadline", runlink.Request{}, "within: 0s, must be from 1s"},
		{"delay", runlink.Request{Within: whole, Delay: -1}, "delay: -1ns, must be from 0s"},
		{"attempts", runlink.Request{Within: whole, Attempts: -1}, "attempts: -1, must not be negative"},
		{"input", runlink.Request{Within: whole, Input: []byte(`"` + strings.Repeat("x", 64<<10) + `"`)}, "input: 65538 bytes, limit 65536"},
		{"task", runlink.Request{Within: whole, Task: strings.Repeat("x", 257)}, "task: 257 bytes, limit 256"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := start(context.Background(), s, key, tt.r)
			if !errors.Is(err, lease.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			for e := range store.List(context.Background(), "") {
				t.Errorf("something was written: %s", e.Key)
			}
		})
	}
}

// A claim whose answer was lost is had by another look with its id, and by no other.
func TestAClaimOfUnknownOutcome(t *testing.T) {
	ctx := context.Background()
	_, s, _, _ := onMemory(t)
	mustStart(t, s, key, runlink.Request{})
	m, err := loadMarker(ctx, s, key)
	if err != nil {
		t.Fatal(err)
	}
	sight, err := s.Look(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, moved, err := s.Claim(ctx, sight, "claim_1", claimTTL); err != nil || moved || c.Lease == nil {
		t.Fatalf("claim %+v, moved is %t, error %v", c, moved, err)
	}
	if l, err := look(ctx, s, m, "claim_2", claimTTL); err != nil || l.claim != nil || !l.next.Equal(t0.Add(claimTTL)) {
		t.Errorf("another's look: %+v, error %v", l, err)
	}
	l, err := look(ctx, s, m, "claim_1", claimTTL)
	if err != nil || l.claim == nil || l.claim.Lease.(lease.Lease).LeaseID != "claim_1" {
		t.Errorf("its own: %+v, error %v", l, err)
	}
}
