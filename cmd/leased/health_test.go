package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
)

func newTestHealth(t *testing.T, s *scripted, log *slog.Logger) *health {
	t.Helper()
	m, err := lease.NewManager(s)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHealth(m, log)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestAFullDiskIsNotHealthy: the store reads, and takes no writes.
func TestAFullDiskIsNotHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		var log bytes.Buffer
		h := newTestHealth(t, s, slog.New(slog.NewTextHandler(&log, nil)))
		for _, step := range []struct {
			after   time.Duration
			full    bool
			healthy bool
			lines   int
		}{
			{0, false, true, 0}, {2 * time.Second, false, true, 0}, {2 * time.Second, true, false, 1}, {2 * time.Second, true, false, 1},
			{2 * time.Second, false, true, 2}, {10 * time.Minute, false, true, 2}, {30 * 24 * time.Hour, false, true, 2}, {2 * time.Second, true, false, 3},
		} {
			time.Sleep(step.after)
			s.full.Store(step.full)
			before := s.sets.Load()
			err := h.check(t.Context())
			if healthy := err == nil; healthy != step.healthy || strings.Count(log.String(), "\n") != step.lines || s.sets.Load() == before {
				t.Errorf("%+v: %v, %d writes, logged\n%s", step, err, s.sets.Load()-before, log.String())
			}
		}
	})
}

// TestNobodyCausesManyHealthChecks: one write a second, however many ask.
func TestNobodyCausesManyHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		h := newTestHealth(t, s, quiet())
		const seconds = 10
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for range seconds * 100 {
					if err := h.check(t.Context()); err != nil {
						t.Error(err)
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		all.Wait()
		if n := s.sets.Load(); n < seconds/2 || n > seconds {
			t.Errorf("%d writes in %d seconds", n, seconds)
		}
	})
}

// TestOneWhoHangsUpEndsNoCheckOfOthers.
func TestOneWhoHangsUpEndsNoCheckOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHealth(t, newScripted(), quiet())
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		h.check(gone)
		synctest.Wait()
		if err := h.check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
