package natskv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/internal/natstest"
)

// TestCatchUp reads at a replica that catches up from the leader's present store. What the replica
// then shows beside a fence is never older than the fence; but it does not show all.
func TestCatchUp(t *testing.T) {
	t.Parallel() // it waits most of the time
	c := natstest.StartCluster(t)
	ctx := t.Context()
	open := func(url string) *Store {
		t.Helper()
		s, err := Open(ctx, url, WithReplicas(3), WithTimeout(time.Minute),
			WithConnectOptions(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(50*time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	open(c.URL())
	leader := c.Leader(t, "leases")
	behind := (leader + 1) % 3
	writer, reader := open(c.URLOf(leader)), open(c.URLOf(behind))

	names := make([]string, 8)
	last := make([]uint64, len(names))
	for i := range names {
		names[i] = fmt.Sprintf("default.k%d", i)
	}
	write := func(name string, expected uint64, value []byte) uint64 {
		t.Helper()
		var number uint64
		natstest.Eventually(t, "a write", func() (ok bool) {
			var err error
			number, err = writer.apply(ctx, write{name: name, expected: expected, value: value})
			if err != nil && !errors.Is(err, backend.ErrUnavailable) {
				t.Fatal(err)
			}
			return err == nil
		})
		return number
	}
	writeAll := func() (lowest uint64) {
		t.Helper()
		for i, name := range names {
			last[i] = write(name, last[i], []byte("v"))
		}
		return last[0]
	}
	writeAll() // what the replica has of its own
	c.Cut(behind)
	natstest.Eventually(t, "the replica itself answers", func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := reader.snapshot(asking, names)
		return err == nil
	})
	least := writeAll()
	fence, err := writer.fence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	filler := make([]byte, 512<<10)
	rand.Read(filler)   // servers compress what they send
	for i := range 24 { // so that the fence is there long before the rest
		write(fmt.Sprintf("default.filler%d", i), 0, filler)
	}
	writeAll() // so that the leader's state has none that came before the fence
	c.CompactLog(t, leader, "leases")
	writeAll()            // so that the leader has none of those that its state has
	c.Slow(behind, 2<<20) // until it was seen catching up
	c.Join()

	// Any replica may answer: the one that catches up, or one that has all.
	gaps := 0 // answers that had the fence, but not all keys
	natstest.Eventually(t, "the replica has all again", func() bool {
		caughtUp := c.LastNumber(t, behind, "leases") >= last[len(last)-1]
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		found, err := reader.snapshot(asking, append(names[:len(names):len(names)], fenceName))
		if err != nil || found[fenceName].sequence < fence {
			return false
		}
		missing := ""
		for _, name := range names {
			if m, ok := found[name]; !ok {
				missing = name
			} else if m.sequence < least {
				t.Errorf("beside fence %d, which is not below %d, %s is shown as of %d, below %d",
					found[fenceName].sequence, fence, name, m.sequence, least)
			}
		}
		if missing == "" {
			return caughtUp
		}
		if gaps++; gaps == 10 {
			c.Slow(behind, 0)
		}
		// A read does not believe that, though it has a fence of its own.
		var state state
		natstest.Eventually(t, "a read is answered", func() bool { // the cluster may elect
			state, err = reader.read(ctx, missing)
			return !errors.Is(err, backend.ErrUnavailable)
		})
		if err != nil || !state.live() || state.sequence < least {
			t.Errorf("%s reads as of %d, %v, want %d at least", missing, state.sequence, err, least)
		}
		return false
	})
	if gaps == 0 {
		t.Error("no answer lacked a key: the replica was never seen catching up")
	}
	t.Logf("%d answers beside the fence lacked a key", gaps)
}
