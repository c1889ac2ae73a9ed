package proof

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/leasetest"
)

// TestOneOfManyLocks has 64 callers ask for the same lock at once, each through a Manager of its
// own or one that it shares: one of them gets it, and the others are told of its lock.
func TestOneOfManyLocks(t *testing.T) {
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			stores := d.open(t)
			clock := leasetest.NewClock(epoch)
			managers := make([]*lease.Manager, 32)
			for i := range managers {
				managers[i] = managerOn(t, stores[i%len(stores)], lease.WithClock(clock))
			}
			for round := range 10 { // each after the lock of the one before is over
				var first atomic.Int64
				var callers sync.WaitGroup
				begin := make(chan struct{})
				for i := range 64 {
					metadata := fmt.Appendf(nil, `{"round":%d}`, round)
					callers.Go(func() {
						<-begin
						l, locked, err := managers[i%len(managers)].CheckLock(t.Context(), "k", &lease.LockOptions{Metadata: metadata})
						if err != nil || string(l.Metadata) != string(metadata) || !l.FirstSeenAt.Equal(clock.Now()) {
							t.Errorf("round %d: %+v, %v", round, l, err)
						}
						if locked {
							first.Add(1)
						}
					})
				}
				close(begin)
				callers.Wait()
				if n := first.Load(); n != 1 {
					t.Fatalf("round %d: %d callers locked the key", round, n)
				}
				clock.Advance(time.Hour) // the default TTL
			}
		})
	}
}
