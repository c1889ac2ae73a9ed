package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// nextState waits for a state; ok is false once the watch has ended.
func nextState(t *testing.T, states <-chan backend.Entry, within time.Duration) (e backend.Entry, ok bool) {
	t.Helper()
	select {
	case e, ok = <-states:
		return e, ok
	case <-time.After(within):
		t.Fatalf("the watch sent nothing for %v", within)
		return e, false
	}
}

// TestWatchGoesOnAtOnce: a restarted server has lost the watch's consumer. The client library alone
// would notice that only after ten seconds and more.
func TestWatchGoesOnAtOnce(t *testing.T) {
	t.Parallel() // it waits for a server
	o := natstest.Options(t.TempDir())
	o.Port = natstest.FreePort(t)
	server := natstest.Start(t, o)
	s := open(t, server.ClientURL(), natskv.WithTimeout(time.Second))
	var states []<-chan backend.Entry
	revisions := make([]uint64, 20)
	for i := range revisions {
		revisions[i] = set(t, s, fmt.Sprint("k", i), 0, "before", time.Hour)
		w, err := s.Watch(t.Context(), fmt.Sprint("k", i))
		if err != nil {
			t.Fatal(err)
		}
		nextState(t, w, 5*time.Second)
		states = append(states, w)
	}
	for range 3 {
		natstest.Stop(server)
		server = natstest.Start(t, o)
		natstest.Eventually(t, "the store answers again", func() bool { _, err := s.Get(ctx, "k0"); return err == nil })
		for i := range revisions {
			if i%5 == 4 { // deleted and made again
				if err := s.CompareAndDelete(ctx, fmt.Sprint("k", i), revisions[i]); err != nil {
					t.Fatal(err)
				}
				revisions[i] = 0
			}
			revisions[i] = set(t, s, fmt.Sprint("k", i), revisions[i], "after", time.Hour)
		}
		for i, w := range states {
			for {
				e, ok := nextState(t, w, 8*time.Second) // not ten
				if !ok {
					t.Fatalf("the watch of k%d has ended", i)
				}
				if e.Revision == revisions[i] {
					break
				}
			}
		}
	}
}

// TestWatchEndsWithItsConnection: a connection that the caller closes does not come back.
func TestWatchEndsWithItsConnection(t *testing.T) {
	nc, err := nats.Connect(natstest.Alone(t).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	s, err := natskv.New(ctx, nc)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	nextState(t, w, 5*time.Second)
	nc.Close()
	if e, ok := nextState(t, w, 5*time.Second); ok {
		t.Errorf("the watch sent %+v", e)
	}
}

// TestWatchDuringAnOutage: nothing that ends a watch waits for the server.
func TestWatchDuringAnOutage(t *testing.T) {
	t.Parallel()                     // it waits for answers that do not come
	const timeout = 20 * time.Second // what waited for the server would take that long
	server := natstest.Alone(t)
	s := open(t, server.ClientURL(), natskv.WithTimeout(timeout))
	one, cancel := context.WithCancel(ctx)
	defer cancel()
	cancelled, err := s.Watch(one, "k")
	if err != nil {
		t.Fatal(err)
	}
	closed, err := s.Watch(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	nextState(t, cancelled, 5*time.Second)
	nextState(t, closed, 5*time.Second)
	natstest.Stop(server)
	natstest.Eventually(t, "the client notices", func() bool {
		// A request that was sent just before the connection broke is never answered.
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := s.Get(asking, "k")
		return errors.Is(err, backend.ErrUnavailable) && asking.Err() == nil
	})
	if _, err := s.Watch(ctx, "k"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("a watch without a server: %v", err)
	}
	cancel()
	if _, ok := nextState(t, cancelled, timeout/2); ok {
		t.Error("the watch goes on after its context has ended")
	}
	done := make(chan struct{})
	go func() { s.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(timeout / 2):
		t.Fatal("Close waits for the server")
	}
	if _, ok := nextState(t, closed, timeout/2); ok {
		t.Error("the watch goes on after Close")
	}
}

// TestWatchesUnderWritesLeaveNothing ends watches while more is pushed to them than anybody takes.
func TestWatchesUnderWritesLeaveNothing(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	open(t, url)
	before := goleak.IgnoreCurrent()
	s, err := natskv.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	long, cancel := context.WithCancel(ctx) // outlives the Store
	defer cancel()
	js, _ := bucketOf(t, url, "leases")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2000 {
			if _, err := js.PublishAsync("$KV.leases.k", []byte("v")); err != nil {
				t.Error(err)
				return
			}
		}
		<-js.PublishAsyncComplete()
	}()
	for range 20 {
		watched, end := context.WithCancel(ctx)
		w, err := s.Watch(watched, "k")
		if err != nil {
			t.Fatal(err)
		}
		nextState(t, w, 5*time.Second)
		end()
		for range w {
		}
		if _, err := s.Watch(long, "k"); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	s.Close()
	js.Conn().Close()
	js.CleanupPublisher()
	nothingLeft(t, before)
}
