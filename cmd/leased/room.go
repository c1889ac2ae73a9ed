package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ailease/lease/backend"
)

const (
	roomEvery   = time.Minute
	roomTimeout = 5 * time.Second
)

// roomChecker is a store that may have a limit, and knows how much of it is in use.
type roomChecker interface {
	CheckRoom(ctx context.Context) error
}

// watchRoom looks once a minute whether the store is nearly full, and logs it once until there is
// room again. It has looked for the first time when it returns. stop ends it.
func watchRoom(ctx context.Context, store backend.Backend, log *slog.Logger) (stop func()) {
	checker, ok := backend.As[roomChecker](store)
	if !ok {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	short := false
	look := func() {
		looking, cancel := context.WithTimeout(ctx, roomTimeout)
		defer cancel()
		switch err := checker.CheckRoom(looking); {
		case errors.Is(err, backend.ErrUnavailable), errors.Is(err, backend.ErrClosed):
		case err != nil && !short:
			short = true
			log.Warn("the store may soon take no writes", "err", err)
		case err == nil && short:
			short = false
			log.Info("the store has room again")
		}
	}
	look()
	var running sync.WaitGroup
	running.Go(func() {
		every := time.NewTicker(roomEvery)
		defer every.Stop()
		for {
			select {
			case <-every.C:
				look()
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}
