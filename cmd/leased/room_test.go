package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/memory"
)

// limited is a store that a test fills and empties.
type limited struct {
	*memory.Store
	full atomic.Bool
}

func (l *limited) CheckRoom(context.Context) error {
	if l.full.Load() {
		return errors.New("9 of 10 bytes")
	}
	return nil
}

// wrapper hides the type of a store, and keeps its capabilities.
type wrapper struct{ backend.Backend }

func (w wrapper) Unwrap() backend.Backend { return w.Backend }

// TestWatchRoom: a store that is nearly full is logged at once and then once, and so is its end.
func TestWatchRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &limited{Store: memory.New()}
		store.full.Store(true)
		var log output
		stop := watchRoom(t.Context(), wrapper{store}, slog.New(slog.NewTextHandler(&log, nil)))
		defer stop()
		lines := func(warnings, ends int) {
			t.Helper()
			if w, e := strings.Count(log.String(), "9 of 10 bytes"), strings.Count(log.String(), "has room again"); w != warnings || e != ends {
				t.Errorf("%d warnings and %d ends, want %d and %d: %s", w, e, warnings, ends, log.String())
			}
		}
		lines(1, 0)
		time.Sleep(3*roomEvery + time.Second)
		lines(1, 0)
		store.full.Store(false)
		time.Sleep(3 * roomEvery)
		synctest.Wait()
		lines(1, 1)
		store.full.Store(true)
		time.Sleep(roomEvery)
		synctest.Wait()
		lines(2, 1)
	})
}

// TestWatchRoomOfAnyStore: a store without a limit is left alone.
func TestWatchRoomOfAnyStore(t *testing.T) {
	var log output
	watchRoom(t.Context(), memory.New(), slog.New(slog.NewTextHandler(&log, nil)))()
	if log.String() != "" {
		t.Errorf("logged: %s", log.String())
	}
}
