package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leasetest"
	"github.com/ailease/lease/runs"
)

// TestInputsOfStarts: what a start gets, depending on the input of the run that stands.
func TestInputsOfStarts(t *testing.T) {
	own, stated, anyInput := &runs.StartOptions{}, &runs.StartOptions{InputHash: "a"}, &runs.StartOptions{AnyInput: true}
	for _, tt := range []struct {
		name          string
		first, second *runs.StartOptions
		in            int // of the second start; the first has 1
		started       bool
		err           error
	}{
		{"the same input", own, own, 1, false, nil},
		{"another input", own, own, 2, false, lease.ErrInputMismatch},
		{"any input, over its hash", own, anyInput, 2, false, nil},
		{"a hash, over any input", anyInput, own, 2, false, nil},
		{"any input, over any input", anyInput, anyInput, 2, false, nil},
		{"another input of the same stated hash", stated, stated, 2, false, nil},
		{"the same input of another stated hash", stated, &runs.StartOptions{InputHash: "b"}, 1, false, lease.ErrInputMismatch},
		{"the same input of another stated hash, to replace it", stated, &runs.StartOptions{InputHash: "b", Replace: true}, 1, true, nil},
		{"any input, to replace it", own, &runs.StartOptions{AnyInput: true, Replace: true}, 2, false, lease.ErrInvalid},
		{"any input and a stated hash", own, &runs.StartOptions{AnyInput: true, InputHash: "a"}, 2, false, lease.ErrInvalid},
		{"a stated hash too long", own, &runs.StartOptions{InputHash: strings.Repeat("x", 257)}, 1, false, lease.ErrInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, m *lease.Manager) {
				r := runs.New(m)
				first := mustStart(t, double, r, "k", request{1}, tt.first)
				l, started, err := double.Start(t.Context(), r, "k", request{tt.in}, tt.second)
				if started != tt.started || !errors.Is(err, tt.err) {
					t.Fatalf("started is %t, error %v, want %t, %v", started, err, tt.started, tt.err)
				}
				if same := l.LeaseID == first.LeaseID; err == nil && same == started {
					t.Errorf("the same ticket is %t", same)
				}
			})
		})
	}
}

// TestAStartOverALeaseByHand does not tell the holder's lease id, also not to who knows its nonce.
func TestAStartOverALeaseByHand(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		held, _, err := m.Acquire(t.Context(), "k", &lease.AcquireOptions{TTL: time.Minute, Nonce: "n"})
		if err != nil {
			t.Fatal(err)
		}
		for _, nonce := range []string{"", "n"} {
			l, started, err := double.Start(t.Context(), r, "k", request{1}, &runs.StartOptions{Nonce: nonce})
			if err != nil || started || l.State != lease.StateInProgress || l.LeaseID != "" || l.TTLLeft != time.Minute {
				t.Errorf("started is %t, %s with an id %t and %v left, error %v", started, l.State, l.LeaseID != "", l.TTLLeft, err)
			}
		}
		if _, err := m.Complete(t.Context(), "k", held.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		if l, started, err := double.Start(t.Context(), r, "k", request{1}, nil); err != nil || started || l.State != lease.StateCompleted {
			t.Errorf("started is %t, %s, error %v", started, l.State, err)
		}
	})
}

// TestInputsAreNotEscapedForHTML: as an escape, a '<' would have six bytes, and count as such.
func TestInputsAreNotEscapedForHTML(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		r := runs.New(m)
		tags := runs.Task[json.RawMessage, string]{Name: "tags"}
		var got string
		tags.Handle(r, func(_ context.Context, in json.RawMessage) (string, error) {
			got = string(in)
			return strings.Repeat("<", 200<<10), nil
		})
		defer work(t, r)()
		in := `"` + strings.Repeat("<", 64<<10-2) + `"`
		mustStart(t, tags, r, "k", json.RawMessage(in), nil)
		if out, err := tags.Wait(t.Context(), r, "k"); err != nil || len(out) != 200<<10 || got != in {
			t.Errorf("the input has %d bytes, the result %d, error %v", len(got), len(out), err)
		}
	})
}

// TestASlowStartBesideAFastWorker: the worker sees the marker long before the record. It waits for
// that before it fences the key, or the start would never get through.
func TestASlowStartBesideAFastWorker(t *testing.T) {
	for _, tt := range []struct {
		name  string
		delay time.Duration
		again bool // the runs stand, and have failed
	}{
		{"a new run", 10 * time.Millisecond, false},
		{"a new run, started very slowly", 400 * time.Millisecond, false},
		{"a run that has failed", 10 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plain := memory.New()
				defer plain.Close()
				slow := leasetest.NewStore(plain)
				slow.Delay(tt.delay)
				starter, err := lease.NewManager(slow)
				if err != nil {
					t.Fatal(err)
				}
				worker, err := lease.NewManager(plain)
				if err != nil {
					t.Fatal(err)
				}
				r := runs.New(worker)
				double.Handle(r, twice)
				defer work(t, r)()
				attempt := 1
				if tt.again {
					mustStart(t, double, r, "k", request{4}, &runs.StartOptions{Delay: time.Hour})
					if err := r.Cancel(t.Context(), "k", ""); err != nil {
						t.Fatal(err)
					}
					attempt = 2
				}
				time.Sleep(2 * time.Hour) // the worker is idle
				l := mustStart(t, double, runs.New(starter), "k", request{4}, &runs.StartOptions{RetryFailed: true})
				if l.Attempt != attempt {
					t.Errorf("the run begins with attempt %d, want %d", l.Attempt, attempt)
				}
				if got, err := double.Wait(t.Context(), r, "k"); err != nil || got.Double != 8 {
					t.Errorf("the result is %+v, error %v", got, err)
				}
			})
		})
	}
}

// TestForgottenRunsDoNotDelayOthers: no worker waits for the records of starts that are long over.
func TestForgottenRunsDoNotDelayOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, m *lease.Manager) {
		const forgotten = 100
		r := runs.New(m, runs.WithConcurrency(1))
		double.Handle(r, twice)
		for i := range forgotten {
			key := fmt.Sprint("forgotten", i)
			mustStart(t, double, r, key, request{1}, nil)
			if err := m.Forget(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		began := time.Now()
		mustStart(t, double, r, "k", request{21}, nil)
		defer work(t, r)()
		if _, err := double.Wait(t.Context(), r, "k"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the run has taken %v", took)
		}
	})
}
