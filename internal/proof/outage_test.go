package proof

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/nats-io/nats.go"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/conformance"
	"github.com/ailease/lease/internal/natstest"
)

// spread sends each operation's calls through one of several handles, each bound to a server of its
// own.
type spread []backend.Backend

func (s spread) of(ctx context.Context) backend.Backend {
	return s[askedOf(ctx).Operation%len(s)]
}

func (s spread) Get(ctx context.Context, key string) (backend.Entry, error) {
	return s.of(ctx).Get(ctx, key)
}

func (s spread) CompareAndSet(ctx context.Context, key string, expected uint64, value []byte, keep time.Duration) (uint64, error) {
	return s.of(ctx).CompareAndSet(ctx, key, expected, value, keep)
}

func (s spread) CompareAndDelete(ctx context.Context, key string, expected uint64) error {
	return s.of(ctx).CompareAndDelete(ctx, key, expected)
}

// each returns a handle for each server of the cluster, that knows no other.
func each(t *testing.T, c *natstest.Cluster) spread {
	t.Helper()
	var s spread
	for i := range c.Servers {
		store, err := natskv.Open(t.Context(), c.URLOf(i), natskv.WithReplicas(len(c.Servers)), natskv.WithTimeout(time.Second),
			natskv.WithConnectOptions(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(50*time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() })
		s = append(s, store)
	}
	return s
}

// TestOutages has clients of all three servers of a cluster work while it loses its leader, and
// while it is cut in two. What the store took is known only to the store here; what the clients
// were told is checked.
func TestOutages(t *testing.T) {
	t.Parallel() // it waits for elections most of the time
	for name, outage := range map[string]func(t *testing.T, c *natstest.Cluster, whole spread){
		"the leader is stopped and comes back": func(t *testing.T, c *natstest.Cluster, _ spread) {
			i := c.Leader(t, "leases")
			natstest.Stop(c.Servers[i])
			c.Leader(t, "leases")
			c.Restart(t, i)
		},
		"the leader is cut off, and the cut heals": func(t *testing.T, c *natstest.Cluster, whole spread) {
			i := c.Leader(t, "leases")
			c.Cut(i)
			majority, minority := parts(t, whole, i)
			natstest.Eventually(t, "the majority goes on", func() bool {
				_, acquired, err := majority.Acquire(t.Context(), fmt.Sprint("majority", time.Now().UnixNano()), nil)
				return err == nil && acquired
			})
			_, acquired, err := minority.Acquire(t.Context(), "minority", nil)
			if acquired || !errors.Is(err, lease.ErrUnknownOutcome) && !errors.Is(err, lease.ErrUnavailable) {
				t.Errorf("the minority does not refuse: acquired %t, %v", acquired, err)
			}
			c.Heal(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := natstest.StartCluster(t)
			stores := each(t, c)
			var began atomic.Bool
			over := make(chan struct{})
			w := Workload{Seed: max(*seed, 1), Clients: 4, Keys: 6, Each: 60, Faults: conformance.Faults{Delay: 0.5, MaxDelay: 30 * time.Millisecond}}
			w.Disturb = func(*conformance.Faulty, *Recorder) {
				if !began.Swap(true) {
					go func() {
						defer close(over)
						outage(t, c, stores)
					}()
				}
			}
			h, err := w.Do(NewRecorder(stores))
			if err != nil {
				t.Fatal(err)
			}
			<-over
			told(t, h)
		})
	}
}

// parts returns a Manager on the handle of server i, and one on that of another.
func parts(t *testing.T, whole spread, i int) (majority, minority *lease.Manager) {
	t.Helper()
	var err, err2 error
	majority, err = lease.NewManager(whole[(i+1)%len(whole)])
	minority, err2 = lease.NewManager(whole[i])
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return majority, minority
}

// told checks what the clients were told.
func told(t *testing.T, h *History) {
	t.Helper()
	if broken, _ := CheckKept(t.Context(), h.Manager, h.Operations); len(broken) > 0 {
		t.Fatalf("%v\n%s", broken, show(h))
	}
	if r := Linearizable(h.again(), time.Minute); r != porcupine.Ok {
		t.Fatalf("the history is %s\n%s", r, show(h))
	}
	good, unknown, refused := 0, 0, 0
	for _, o := range h.Operations {
		switch {
		case open(&o):
			unknown++
		case errors.Is(o.Err, lease.ErrUnavailable):
			refused++
		default:
			good++
		}
	}
	if good == 0 {
		t.Errorf("none of %d operations was answered", len(h.Operations))
	}
	t.Logf("%d operations: %d answered, %d with unknown outcome, %d refused; %d takeovers", len(h.Operations), good, unknown, refused, h.Takeovers)
}
