package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

// TestFaults shows what each kind of fault does to a write: what its caller is told, and what the
// store has at once, and in the end.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name             string
		faults           conformance.Faults
		err              error // what the error is; nil: success
		atOnce, inTheEnd bool  // whether it was applied
	}{
		{"none", conformance.Faults{}, nil, true, true},
		{"refused", conformance.Faults{Refused: 1}, backend.ErrUnavailable, false, false},
		{"lost request", conformance.Faults{LostRequest: 1}, conformance.ErrInjected, false, false},
		{"lost answer", conformance.Faults{LostAnswer: 1}, conformance.ErrInjected, true, true},
		{"late", conformance.Faults{Late: 1, MaxDelay: time.Second}, conformance.ErrInjected, false, true},
		{"false conflict", conformance.Faults{FalseConflict: 1}, backend.ErrConflict, true, true},
		{"duplicate", conformance.Faults{Duplicate: 1}, nil, true, true},
		{"delay", conformance.Faults{Delay: 1, MaxDelay: time.Second}, nil, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := memory.New()
				f := conformance.NewFaulty(store, tt.faults, 7)
				_, err := f.CompareAndSet(bg, "k", 0, []byte("v"), 0)
				if !errors.Is(err, tt.err) || errors.Is(err, backend.ErrUnavailable) != (tt.name == "refused") {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if got := current(store, "k") != 0; got != tt.atOnce {
					t.Errorf("applied at once: %t", got)
				}
				f.Heal()
				if got := current(store, "k") != 0; got != tt.inTheEnd {
					t.Errorf("applied in the end: %t", got)
				}
				if n := f.Injected()[tt.name]; n != 1 && tt.name != "none" {
					t.Errorf("%d faults were counted", n)
				}
				if _, err := f.Get(bg, "k"); (err == nil) != tt.inTheEnd {
					t.Errorf("healed: %v", err)
				}
			})
		})
	}
}

func TestStaleReads(t *testing.T) {
	store := memory.New()
	f := conformance.NewFaulty(store, conformance.Faults{Stale: 0.5}, 1)
	revision, wentBack := uint64(0), 0
	for i := range 100 {
		var err error
		if revision, err = f.CompareAndSet(bg, "k", revision, fmt.Append(nil, i), 0); err != nil {
			t.Fatal(err)
		}
		if e, err := f.Get(bg, "k"); err != nil || e.Revision < revision {
			wentBack++
		}
	}
	if wentBack == 0 {
		t.Error("no read was stale")
	}
}

func TestCrashLosesAnswersOfCallsUnderWay(t *testing.T) {
	store := memory.New()
	slow := &fork{Store: store}
	applied, goOn := make(chan struct{}), make(chan struct{})
	slow.set = func(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
		revision, err := store.CompareAndSet(ctx, key, expected, value, keep)
		close(applied)
		<-goOn
		return revision, err
	}
	f := conformance.NewFaulty(slow, conformance.Faults{}, 1)
	answer, crashed := make(chan error), make(chan struct{})
	go func() { _, err := f.CompareAndSet(bg, "k", 0, nil, 0); answer <- err }()
	<-applied
	go func() {
		f.Crash(func(backend.Backend) backend.Backend { return store })
		close(crashed)
	}()
	for f.Injected()["crash"] == 0 {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	if err := <-answer; !errors.Is(err, conformance.ErrInjected) {
		t.Errorf("the call under way: %v", err)
	}
	<-crashed
	if _, err := f.Get(bg, "k"); err != nil {
		t.Errorf("after the crash: %v", err)
	}
}

func TestNewFaultyRefusesNonsense(t *testing.T) {
	for _, faults := range []conformance.Faults{{Refused: -0.1}, {Late: 0.6, Delay: 0.6}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", faults)
				}
			}()
			conformance.NewFaulty(memory.New(), faults, 0)
		}()
	}
}
