package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestServerRestarts: while the server is away, every call fails soon and says that nothing was
// written. When it is back, what was acknowledged is there, revisions rise, and a watch goes on.
func TestServerRestarts(t *testing.T) {
	t.Parallel() // it waits for a server
	o := natstest.Options(t.TempDir())
	o.SyncAlways = true
	o.Port = natstest.FreePort(t)
	server := natstest.Start(t, o)
	s := open(t, server.ClientURL())
	revision := set(t, s, "k", 0, "before", time.Hour)
	states, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	<-states

	natstest.Stop(server)
	natstest.Eventually(t, "the client notices", func() bool { _, err := s.Get(ctx, "k"); return errors.Is(err, backend.ErrUnavailable) })
	_, err = s.CompareAndSet(ctx, "k", revision, []byte("meanwhile"), 0)
	if !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a write without a server: %v", err)
	}
	natstest.Start(t, o)
	natstest.Eventually(t, "the store answers again", func() bool { _, err := s.Get(ctx, "k"); return err == nil })
	e, err := s.Get(ctx, "k")
	if err != nil || e.Revision != revision || string(e.Value) != "before" {
		t.Fatalf("after the restart: %+v, %v", e, err)
	}
	after := set(t, s, "k", revision, "after", time.Hour)
	if after <= revision {
		t.Errorf("revision %d after %d", after, revision)
	}
	timeout := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-states:
			if !ok || e.Revision == after {
				return // closed is allowed too: then one watches again
			}
		case <-timeout:
			t.Fatal("the watch neither went on nor closed")
		}
	}
}

// TestNothingAcknowledgedIsLost stops a server under writers, gracefully, as for an upgrade. It
// checks what the store has told each of them.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	for name, setup := range map[string]func(t *testing.T) (s *natskv.Store, outage func()){
		"the only server restarts": func(t *testing.T) (*natskv.Store, func()) {
			o := natstest.Options(t.TempDir())
			o.SyncAlways = true
			o.Port = natstest.FreePort(t)
			server := natstest.Start(t, o)
			return open(t, server.ClientURL()), func() { natstest.Stop(server); natstest.Start(t, o) }
		},
		"a cluster loses its leader": func(t *testing.T) (*natskv.Store, func()) {
			c := natstest.StartCluster(t)
			s := open(t, c.URL(), natskv.WithReplicas(3))
			return s, func() {
				i := c.Leader(t, "leases")
				natstest.Stop(c.Servers[i])
				c.Leader(t, "leases")
				c.Restart(t, i)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, outage := setup(t)
			const writers = 8
			type write struct {
				number int
				err    error
			}
			tried := make([][]write, writers)
			done := make(chan struct{})
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					key := fmt.Sprint("k", w)
					for n := 1; ; n++ {
						select {
						case <-done:
							return
						default:
						}
						ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
						var revision uint64
						e, err := s.Get(ctx, key)
						if err == nil {
							revision = e.Revision
						}
						if err == nil || errors.Is(err, backend.ErrNotFound) {
							_, err = s.CompareAndSet(ctx, key, revision, fmt.Append(nil, n), 0)
							tried[w] = append(tried[w], write{n, err})
						} else {
							time.Sleep(time.Millisecond) // the store is away
						}
						cancel()
					}
				})
			}
			natstest.Eventually(t, "writing goes well", func() bool { _, err := s.Get(ctx, "k0"); return err == nil })
			outage()
			natstest.Eventually(t, "writing goes well again", func() bool {
				_, err := s.CompareAndSet(ctx, "probe", 0, nil, time.Second)
				return err == nil
			})
			close(done)
			wg.Wait()
			unknown, refused := 0, 0
			for w, all := range tried {
				got := 0 // none: the outage may meet a writer's first write, and the end its second
				natstest.Eventually(t, "the store answers", func() bool {
					e, err := s.Get(ctx, fmt.Sprint("k", w))
					fmt.Sscan(string(e.Value), &got)
					return err == nil || errors.Is(err, backend.ErrNotFound)
				})
				// The value is that of the last acknowledged write, or of an unknown one since:
				// never of an older one, nor of one that was said not to be written.
				for i := len(all) - 1; i >= 0; i-- {
					certain := all[i].err == nil || errors.Is(all[i].err, backend.ErrUnavailable) || errors.Is(all[i].err, backend.ErrConflict)
					if all[i].number == got {
						if all[i].err != nil && certain {
							t.Errorf("write %d of k%d is there, but got the error %v", got, w, all[i].err)
						}
						break
					}
					if all[i].err == nil {
						t.Errorf("write %d of k%d was acknowledged and is lost, the value is %d", all[i].number, w, got)
						break
					}
				}
				for _, w := range all {
					switch {
					case w.err == nil:
					case errors.Is(w.err, backend.ErrUnavailable), errors.Is(w.err, backend.ErrConflict):
						refused++
					default:
						unknown++
					}
				}
			}
			t.Logf("%d writes with unknown outcome, %d that were refused", unknown, refused)
		})
	}
}
