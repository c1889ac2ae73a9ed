package lease_test

import (
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// TestWaitingCallersHoldNoCheckpoint: many may wait for one lease, and its checkpoint may be long.
func TestWaitingCallersHoldNoCheckpoint(t *testing.T) {
	const checkpoint, callers = 64 << 10, 300
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // empties the pools too
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	synctest.Test(t, func(t *testing.T) {
		m, err := lease.NewManager(memory.New())
		if err != nil {
			t.Fatal(err)
		}
		l, _, err := m.Acquire(t.Context(), "k", nil)
		if err != nil {
			t.Fatal(err)
		}
		long := json.RawMessage(`"` + strings.Repeat("x", checkpoint-2) + `"`)
		if _, err := m.Extend(t.Context(), "k", l.LeaseID, &lease.ExtendOptions{Checkpoint: long}); err != nil {
			t.Fatal(err)
		}
		before := heap()
		var all sync.WaitGroup
		for range callers {
			all.Go(func() {
				if l, err := m.Wait(t.Context(), "k"); err != nil || l.State != lease.StateCompleted {
					t.Errorf("%v, %v", l.State, err)
				}
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		held := int64(heap()) - int64(before)
		if held < callers || held > callers*checkpoint/4 {
			t.Errorf("%d callers hold %d bytes, and the checkpoint has %d", callers, held, checkpoint)
		}
		if _, err := m.Complete(t.Context(), "k", l.LeaseID, lease.Completion{}); err != nil {
			t.Fatal(err)
		}
		all.Wait()
	})
}
