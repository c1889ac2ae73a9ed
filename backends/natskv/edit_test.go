package natskv_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestReplicasAreEdited adds replicas to a bucket of one under readers and writers, and takes them
// away.
// No write is lost, and no read shows what was replaced.
func TestReplicasAreEdited(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("while it adds replicas, the server reads a field of the stream without its lock, which the race detector reports")
	}
	c := natstest.StartCluster(t)
	var stores []*natskv.Store
	for i := range 3 {
		stores = append(stores, open(t, c.URLOf(i), natskv.WithTimeout(2*time.Second)))
	}
	js, stream := bucketOf(t, c.URL(), "leases")
	done := make(chan struct{})
	var all sync.WaitGroup
	end := sync.OnceFunc(func() { close(done); all.Wait() })
	defer end()
	var applied, reads atomic.Int64
	for i, s := range stores {
		all.Go(func() {
			w := soleWriter{t: t, store: s, key: fmt.Sprintf("default/k%d", i)}
			for w.ok(done) {
				if w.write() == wasApplied {
					applied.Add(1)
				}
				least := w.revision
				e, err := stores[(i+1)%3].Get(ctx, w.key)
				switch {
				case err != nil && !errors.Is(err, backend.ErrNotFound):
				case e.Revision < least:
					t.Errorf("%s was at revision %d before, and reads as %d", w.key, least, e.Revision)
					return
				default:
					reads.Add(1)
				}
			}
		})
	}
	for _, edit := range []struct {
		replicas int
		seconds  int // until all Stores have asked again, and new replicas have answered
	}{{3, 3}, {1, 1}} {
		natstest.Eventually(t, "the edit", func() bool {
			info, err := stream.Info(ctx)
			if err != nil {
				return false
			}
			config := info.Config
			config.Replicas = edit.replicas
			_, err = js.UpdateStream(ctx, config)
			return err == nil
		})
		for range edit.seconds {
			more, read := applied.Load()+100, reads.Load()+100
			natstest.Eventually(t, "calls go well", func() bool { return applied.Load() >= more && reads.Load() >= read })
			time.Sleep(time.Second)
		}
	}
	end()
	t.Logf("%d writes and %d reads", applied.Load(), reads.Load())
}

// TestWithoutDirectReads: a replicated bucket made by others, whose replicas answer no reads, is
// read by comparing.
func TestWithoutDirectReads(t *testing.T) {
	t.Parallel() // it waits for elections
	c := natstest.StartCluster(t)
	patience := natskv.WithTimeout(time.Minute) // servers may elect
	open(t, c.URL(), natskv.WithBucket("other"), patience)
	js, _ := bucketOf(t, c.URL(), "other")
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "KV_leases", Subjects: []string{"$KV.leases.>"}, Replicas: 3, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowMsgTTL: true,
	}); err != nil {
		t.Fatal(err)
	}
	stores := []*natskv.Store{open(t, c.URLOf(0), patience), open(t, c.URLOf(1), patience)}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			w := soleWriter{t: t, store: stores[i%2], key: fmt.Sprintf("default/k%d", i)}
			for range 50 {
				if w.write(); w.broken {
					return
				}
				e, err := stores[(i+1)%2].Get(ctx, w.key)
				if err == nil && e.Revision < w.revision {
					t.Errorf("%s was at revision %d before, and reads as %d", w.key, w.revision, e.Revision)
				}
			}
		})
	}
	all.Wait()
	natstest.Eventually(t, "all are listed", func() bool {
		n := 0
		for _, err := range stores[0].List(ctx, "default/") {
			if err != nil {
				return false
			}
			n++
		}
		return n == 4
	})
}
