package lease

import (
	"context"
	"encoding/json"
	"sync"
)

// looseHolder is a lease that no Manager has granted, for tests of functions that work under one.
type looseHolder struct {
	around context.Context

	mu    sync.Mutex
	lease Lease
}

func (h *looseHolder) within() context.Context { return h.around }
func (h *looseHolder) ticket() string          { return "" }
func (h *looseHolder) ended() error            { return nil }

func (h *looseHolder) snapshot() Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lease
}

func (h *looseHolder) save(ctx context.Context, v json.RawMessage) error {
	if err := ctx.Err(); err != nil && h.around.Err() == nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease.Checkpoint = v
	return nil
}

func (h *looseHolder) note(v json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lease.Progress = v
}
