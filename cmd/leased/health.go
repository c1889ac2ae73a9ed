package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/ailease/lease"
)

const (
	healthNamespace = "leased.healthz" // no API key may have it
	healthTTL       = time.Minute
	healthTimeout   = 2 * time.Second
	healthFresh     = time.Second // for so long an answer stands: nobody can cause more writes
)

// health finds out whether the store takes writes, by a lease of its own that it extends: a store
// on a full disk still reads.
type health struct {
	m   *lease.Manager
	key string
	log *slog.Logger

	mu      sync.Mutex
	running chan struct{} // closed when the check that is under way is over; nil if none is
	checked time.Time
	err     error  // of the last check
	leaseID string // used by one check at a time
}

func newHealth(m *lease.Manager, log *slog.Logger) (*health, error) {
	m, err := m.InNamespace(healthNamespace)
	return &health{m: m, key: rand.Text(), log: log}, err
}

// check returns how the last check ended, if that is recent, else how the next one does. Those who
// ask meanwhile share it.
func (h *health) check(ctx context.Context) error {
	h.mu.Lock()
	running := h.running
	if running == nil {
		if !h.checked.IsZero() && time.Since(h.checked) < healthFresh {
			defer h.mu.Unlock()
			return h.err
		}
		running = make(chan struct{})
		h.running = running
		go h.run(running)
	}
	h.mu.Unlock()
	select {
	case <-running:
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *health) run(over chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	err := h.write(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil && h.err == nil:
		h.log.Warn("health check fails", "err", err)
	case err == nil && h.err != nil:
		h.log.Info("health check succeeds again")
	}
	h.err, h.checked, h.running = err, time.Now(), nil
	close(over)
}

func (h *health) write(ctx context.Context) error {
	if h.leaseID != "" {
		_, err := h.m.Extend(ctx, h.key, h.leaseID, nil)
		if !errors.Is(err, lease.ErrNotFound) && !errors.Is(err, lease.ErrLost) && !errors.Is(err, lease.ErrFinished) {
			return err
		}
	}
	l, _, err := h.m.Acquire(ctx, h.key, &lease.AcquireOptions{TTL: healthTTL, Retention: healthTTL, Nonce: rand.Text()})
	h.leaseID = l.LeaseID
	return err
}

func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 { // nobody waits for a body that says nothing
		w.Header().Set("Connection", "close")
		http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
	w.Header().Set("Cache-Control", "no-store")
	if h.check(r.Context()) != nil {
		http.Error(w, "the store takes no writes", http.StatusServiceUnavailable)
		return
	}
	io.WriteString(w, "ok\n")
}
