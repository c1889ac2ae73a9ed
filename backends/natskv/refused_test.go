package natskv_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestRefusedIsNotWritten restarts a server under writers who write without looking first: so the
// outage meets writes, and not reads. What was refused with ErrUnavailable must never be there, and
// what was acknowledged never be lost. Each write of a key has a value of its own.
func TestRefusedIsNotWritten(t *testing.T) {
	t.Parallel() // it waits for a server
	o := natstest.Options(t.TempDir())
	o.SyncAlways = true
	o.Port = natstest.FreePort(t)
	srv := natstest.Start(t, o)
	s := open(t, srv.ClientURL(), natskv.WithTimeout(time.Second))
	const writers = 16
	var acknowledged, refused, unknown atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			key := fmt.Sprint("k", w)
			var revision uint64
			last := -1                 // the number of the last write that is known to be applied
			maybe := map[string]bool{} // values of unknown outcome since
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				value := fmt.Sprint(n)
				next, err := s.CompareAndSet(ctx, key, revision, []byte(value), 0)
				switch {
				case err == nil:
					acknowledged.Add(1)
					revision, last = next, n
					clear(maybe)
					continue
				case errors.Is(err, backend.ErrUnavailable):
					refused.Add(1)
					time.Sleep(time.Millisecond)
					continue
				case errors.Is(err, backend.ErrConflict) && len(maybe) > 0: // one of them was written
				case errors.Is(err, backend.ErrConflict):
					t.Errorf("write %d of %s at revision %d is a conflict, and nobody else writes", n, key, revision)
					return
				default:
					unknown.Add(1)
					maybe[value] = true
					continue
				}
				var e backend.Entry
				for {
					if e, err = s.Get(ctx, key); !errors.Is(err, backend.ErrUnavailable) {
						break
					}
				}
				if err != nil || !maybe[string(e.Value)] {
					t.Errorf("%s holds %q, %v: neither write %d, the last acknowledged, nor one of unknown outcome since", key, e.Value, err, last)
					return
				}
				fmt.Sscan(string(e.Value), &last)
				revision = e.Revision
				clear(maybe)
			}
		})
	}
	await := func(what string, writes *atomic.Int64, more int64) {
		t.Helper()
		goal := writes.Load() + more
		natstest.Eventually(t, what, func() bool { return writes.Load() >= goal })
	}
	await("writing goes well", &acknowledged, 200)
	for range 3 {
		natstest.Stop(srv)
		// A server that is back at once would meet none.
		await("the outage meets writes", &refused, writers)
		srv = natstest.Start(t, o)
		await("writing goes well again", &acknowledged, 200)
	}
	close(done)
	wg.Wait()
	t.Logf("%d writes acknowledged, %d refused, %d with unknown outcome", acknowledged.Load(), refused.Load(), unknown.Load())
}

// TestCallersConnection: a connection of the caller's may have a buffer for what is sent while it
// reconnects. Calls do not wait in there.
func TestCallersConnection(t *testing.T) {
	srv := natstest.Alone(t)
	nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const timeout = 10 * time.Second
	s, err := natskv.New(ctx, nc, natskv.WithTimeout(timeout))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refuses := func(says string) {
		t.Helper()
		begun := time.Now()
		_, err := s.CompareAndSet(ctx, "k", 0, nil, 0)
		if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), says) {
			t.Errorf("a write: %v, want one that says %q", err, says)
		}
		if _, err := s.Get(ctx, "k"); !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), says) {
			t.Errorf("a read: %v, want one that says %q", err, says)
		}
		if took := time.Since(begun); took > timeout/2 {
			t.Errorf("that took %v", took)
		}
	}
	natstest.Stop(srv)
	natstest.Eventually(t, "the client notices", func() bool { return !nc.IsConnected() })
	refuses("not connected to a server")
	nc.Close()
	refuses("the connection is closed")
}

// TestFullBucket: what the limits of a bucket refuse is not written, and says so.
func TestFullBucket(t *testing.T) {
	t.Parallel() // it waits for an election
	for name, setup := range map[string]func(t *testing.T) (url string, replicas int){
		"alone":   func(t *testing.T) (string, int) { return natstest.Alone(t).ClientURL(), 1 },
		"cluster": func(t *testing.T) (string, int) { return natstest.StartCluster(t).URL(), 3 },
	} {
		t.Run(name, func(t *testing.T) {
			url, replicas := setup(t)
			nc, err := nats.Connect(url)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)) // servers may elect
			if err != nil {
				t.Fatal(err)
			}
			_, err = js.CreateStream(ctx, jetstream.StreamConfig{
				Name: "KV_leases", Subjects: []string{"$KV.leases.>"}, Replicas: replicas,
				MaxMsgsPerSubject: 1, MaxMsgs: 2, MaxMsgSize: 330 << 10, Discard: jetstream.DiscardNew, AllowMsgTTL: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, url, natskv.WithTimeout(time.Minute))
			set(t, s, "k0", 0, "v", 0)
			set(t, s, "k1", 0, "v", 0)
			for key, want := range map[string]struct {
				value string
				is    error
				says  string
			}{
				"third": {"v", backend.ErrUnavailable, "the bucket is full"},
				"large": {strings.Repeat("v", 330<<10), backend.ErrInvalid, "this bucket takes"},
			} {
				if _, err := s.CompareAndSet(ctx, key, 0, []byte(want.value), 0); !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.says) {
					t.Errorf("%s: %v, want one that says %q", key, err, want.says)
				}
				if _, err := s.Get(ctx, key); !errors.Is(err, backend.ErrNotFound) {
					t.Errorf("%s was refused: %v", key, err)
				}
			}
		})
	}
}
