package memory_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/conformance"
)

func TestConformance(t *testing.T) {
	// A store in memory has one handle, which all share.
	same := func(_ *testing.T, first backend.Backend) backend.Backend { return first }
	conformance.Run(t, func(t *testing.T) backend.Backend { return memory.New() }, conformance.WithSecondHandle(same))
}

// TestCloseEndsWatches: also one whose context ends at the same time, or has ended before.
func TestCloseEndsWatches(t *testing.T) {
	s := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	first, err := s.Watch(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	go cancel()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, states := range []<-chan backend.Entry{first, second} {
		for range states { // ends when the channel is closed
		}
	}
}

// TestCloseUnderWriters: a writer that races with Close succeeds or gets ErrClosed, and is never
// stuck.
func TestCloseUnderWriters(t *testing.T) {
	s := memory.New()
	var begun, ended sync.WaitGroup
	for caller := range 8 {
		begun.Add(1)
		ended.Go(func() {
			for n := 0; ; n++ {
				_, err := s.CompareAndSet(t.Context(), fmt.Sprint(caller, "/", n), 0, nil, time.Hour)
				if n == 0 {
					begun.Done()
				}
				if err != nil {
					if !errors.Is(err, backend.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	begun.Wait()
	s.Close()
	ended.Wait()
}
