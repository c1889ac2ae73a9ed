package natskv_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestReadsWhileACutHeals cuts the leader off from the others, who elect another, and heals the
// cut. The old one does not know at once that it leads no more: what it answers meanwhile must not
// be told, neither as a state nor as a conflict.
func TestReadsWhileACutHeals(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	c := natstest.StartCluster(t)
	open(t, c.URL(), natskv.WithReplicas(3))
	cut := c.Leader(t, "leases")
	only := []natskv.Option{natskv.WithReplicas(3), natskv.WithTimeout(2 * time.Second), natskv.WithConnectOptions(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(50*time.Millisecond))}
	here, there := open(t, c.URLOf(cut), only...), open(t, c.URLOf((cut+1)%3), only...)

	const readers = 8
	var mu sync.Mutex
	newest := make([]uint64, readers) // revisions that were acknowledged
	key := func(i int) string { return fmt.Sprint("k", i) }
	write := func(i int) error {
		mu.Lock()
		expected := newest[i]
		mu.Unlock()
		revision, err := there.CompareAndSet(ctx, key(i), expected, []byte("v"), 0)
		if errors.Is(err, backend.ErrConflict) {
			e, err := there.Get(ctx, key(i)) // of unknown outcome before
			if err != nil {
				return err
			}
			revision = e.Revision
		} else if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		newest[i] = revision
		return nil
	}
	for i := range readers {
		natstest.Eventually(t, "a first write", func() bool { return write(i) == nil })
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	var answered, refused [readers]int
	for i := range readers {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
				mu.Lock()
				least := newest[i]
				mu.Unlock()
				e, err := here.Get(ctx, key(i))
				switch {
				case errors.Is(err, backend.ErrUnavailable):
					refused[i]++
				case err != nil || e.Revision < least:
					t.Errorf("%s was at revision %d before, and reads as %d, %v", key(i), least, e.Revision, err)
					return
				default:
					answered[i]++
				}
			}
		})
	}
	c.Cut(cut)
	for i := range readers {
		natstest.Eventually(t, "the majority goes on", func() bool { return write(i) == nil })
	}
	c.Join()
	joined := time.Now()
	natstest.Eventually(t, "it is answered again", func() bool {
		for i := range readers {
			write(i)
		}
		_, err := here.Get(ctx, key(0))
		return err == nil && time.Since(joined) > 3*time.Second
	})
	close(done)
	all.Wait()
	t.Logf("reads answered and refused, by reader: %v, %v", answered, refused)
}
