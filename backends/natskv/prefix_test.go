package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

func watchPrefix(t *testing.T, s *natskv.Store, prefix string) <-chan backend.Entry {
	t.Helper()
	states, err := s.WatchPrefix(t.Context(), prefix)
	if err != nil {
		t.Fatal(err)
	}
	return states
}

// TestPrefixWatchIsOneConsumerOfItsNamespace: the server pushes what concerns the watch, and
// nothing of another namespace, however much is written there.
func TestPrefixWatchIsOneConsumerOfItsNamespace(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	_, stream := bucketOf(t, url, "leases")
	states := watchPrefix(t, s, "mine:due/")
	for i := range 100 {
		set(t, s, fmt.Sprint("others/", i), 0, "v", 0)
	}
	revision := set(t, s, "mine:due/k", 0, "v", 0)
	if e, ok := nextState(t, states, 5*time.Second); !ok || e.Key != "mine:due/k" || e.Revision != revision {
		t.Errorf("the watch sent %+v, %t", e, ok)
	}
	var consumers []*jetstream.ConsumerInfo
	list := stream.ListConsumers(ctx)
	for c := range list.Info() {
		consumers = append(consumers, c)
	}
	if list.Err() != nil || len(consumers) != 1 {
		t.Fatalf("%d consumers, %v", len(consumers), list.Err())
	}
	c := consumers[0]
	if want := []string{"$KV.leases.mine=3Adue.>", "$KV.leases.mine=3Adue/"}; !slices.Equal(c.Config.FilterSubjects, want) {
		t.Errorf("the consumer has %q, want %q", c.Config.FilterSubjects, want)
	}
	if c.Delivered.Consumer != 1 {
		t.Errorf("%d messages were pushed, want 1", c.Delivered.Consumer)
	}
}

// TestPrefixWatchEndsWithItsConnection: what was written while the connection was away may have
// been missed, so the channel is closed. A new watch goes on.
func TestPrefixWatchEndsWithItsConnection(t *testing.T) {
	t.Parallel() // it waits for a server
	o := natstest.Options(t.TempDir())
	o.Port = natstest.FreePort(t)
	server := natstest.Start(t, o)
	s := open(t, server.ClientURL())
	revision := set(t, s, "ns/k", 0, "v", 0)
	var lost []<-chan backend.Entry
	for _, prefix := range []string{"ns/", "ns", ""} {
		lost = append(lost, watchPrefix(t, s, prefix))
	}
	natstest.Stop(server)
	for _, states := range lost {
		if e, ok := nextState(t, states, 30*time.Second); ok {
			t.Errorf("the watch sent %+v", e)
		}
	}
	natstest.Eventually(t, "the client notices", func() bool {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := s.WatchPrefix(asking, "ns/")
		return errors.Is(err, backend.ErrUnavailable)
	})
	natstest.Start(t, o)
	natstest.Eventually(t, "the store answers again", func() bool { _, err := s.Get(ctx, "ns/k"); return err == nil })
	again := watchPrefix(t, s, "ns/")
	revision = set(t, s, "ns/k", revision, "after", 0)
	if e, ok := nextState(t, again, 30*time.Second); !ok || e.Revision != revision {
		t.Errorf("the new watch sent %+v, %t, want revision %d", e, ok, revision)
	}
}

// TestPrefixWatchEndsWithTheCallersConnection: it does not come back.
func TestPrefixWatchEndsWithTheCallersConnection(t *testing.T) {
	nc, err := nats.Connect(natstest.Alone(t).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	s, err := natskv.New(ctx, nc)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	states := watchPrefix(t, s, "")
	nc.Close()
	if e, ok := nextState(t, states, 5*time.Second); ok {
		t.Errorf("the watch sent %+v", e)
	}
}

// TestPrefixWatchAtAnotherReplica: a write is told that was acknowledged by another server than the
// one that pushes, and nothing that stood before is, although replicas may lag.
func TestPrefixWatchAtAnotherReplica(t *testing.T) {
	t.Parallel() // it waits for elections
	c := natstest.StartCluster(t)
	var stores []*natskv.Store
	for i := range 3 {
		stores = append(stores, open(t, c.URLOf(i), natskv.WithReplicas(3), natskv.WithTimeout(time.Minute)))
	}
	var stood uint64
	for round := range 20 {
		writer, watcher := stores[round%3], stores[(round+1)%3]
		for range 5 {
			stood = set(t, writer, "ns/k", stood, "before", 0)
		}
		states, err := natstest.Patient{Store: watcher}.WatchPrefix(t.Context(), "ns/")
		if err != nil {
			t.Fatal(err)
		}
		later := set(t, writer, "ns/k", stood, "after", 0)
		if e, ok := nextState(t, states, 30*time.Second); !ok || e.Revision != later {
			t.Fatalf("in round %d the watch sent revision %d, %t; the key stood at %d before, and is at %d", round, e.Revision, ok, stood, later)
		}
		stood = later
	}
}

// TestPrefixWatchesUnderWritesLeaveNothing ends watches that nobody reads: by their contexts, by
// more than may wait, and by Close, while more is pushed to them.
func TestPrefixWatchesUnderWritesLeaveNothing(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	open(t, url)
	before := goleak.IgnoreCurrent()
	s, err := natskv.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	long, cancel := context.WithCancel(ctx) // outlives the Store
	defer cancel()
	overrun, err := s.WatchPrefix(long, "")
	if err != nil {
		t.Fatal(err)
	}
	js, _ := bucketOf(t, url, "leases")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 4000 {
			if _, err := js.PublishAsync(fmt.Sprint("$KV.leases.ns.k", i%2000), []byte("v")); err != nil {
				t.Error(err)
				return
			}
		}
		<-js.PublishAsyncComplete()
	}()
	for range 20 {
		watched, end := context.WithCancel(ctx)
		w, err := s.WatchPrefix(watched, "ns/")
		if err != nil {
			t.Fatal(err)
		}
		end()
		for range w {
		}
		if _, err := s.WatchPrefix(long, "ns/"); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	states := 0
	for range overrun { // 2 000 keys are more than may wait
		states++
	}
	if states > backend.MaxWaiting {
		t.Errorf("%d states waited", states)
	}
	s.Close()
	js.Conn().Close()
	js.CleanupPublisher()
	nothingLeft(t, before)
}
