package natskv_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestMarkersAreNotEntries: a deletion leaves a marker with a number of its own. It must never pass
// for an entry's revision: not for the Store that made it, nor for one that does not know of it.
func TestMarkersAreNotEntries(t *testing.T) {
	t.Parallel() // it waits for an election
	for name, setup := range map[string]func(t *testing.T) (url string, opts []natskv.Option){
		"alone": func(t *testing.T) (string, []natskv.Option) { return natstest.Alone(t).ClientURL(), nil },
		"cluster": func(t *testing.T) (string, []natskv.Option) {
			return natstest.StartCluster(t).URL(), []natskv.Option{natskv.WithReplicas(3), natskv.WithTimeout(time.Minute)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, opts := setup(t)
			s, other := open(t, url, opts...), open(t, url, opts...)
			first := set(t, s, "k", 0, "v", time.Hour)
			if err := s.CompareAndDelete(ctx, "k", first); err != nil {
				t.Fatal(err)
			}
			_, stream := bucketOf(t, url, "leases")
			info, err := stream.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			marker := info.State.LastSeq
			if marker <= first {
				t.Fatalf("the last number is %d, the entry's was %d", marker, first)
			}
			for _, b := range []*natskv.Store{s, other} {
				if _, err := b.CompareAndSet(ctx, "k", marker, nil, 0); !errors.Is(err, backend.ErrConflict) {
					t.Errorf("a compare-and-set that expects the marker: %v", err)
				}
				if err := b.CompareAndDelete(ctx, "k", marker); !errors.Is(err, backend.ErrNotFound) {
					t.Errorf("a compare-and-delete that expects the marker: %v", err)
				}
				if _, err := b.Get(ctx, "k"); !errors.Is(err, backend.ErrNotFound) {
					t.Errorf("get: %v", err)
				}
			}
			again := set(t, other, "k", 0, "w", time.Hour)
			if again <= marker {
				t.Errorf("revision %d after %d", again, marker)
			}
			if _, err := s.CompareAndSet(ctx, "k", 0, nil, 0); !errors.Is(err, backend.ErrConflict) {
				t.Errorf("creating it twice: %v", err)
			}
		})
	}
}

// TestDeletedByATool: what `nats kv del` and `nats kv purge` leave is a deletion too.
func TestDeletedByATool(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	js, _ := bucketOf(t, url, "leases")
	kv, err := js.KeyValue(ctx, "leases")
	if err != nil {
		t.Fatal(err)
	}
	for name, remove := range map[string]func() error{
		"del":   func() error { return kv.Delete(ctx, "k") },
		"purge": func() error { return kv.Purge(ctx, "k") },
	} {
		set(t, s, "k", 0, "v", 0)
		states, err := s.Watch(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		<-states
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if e := <-states; e.Revision != 0 {
			t.Errorf("%s: the watch sent %+v", name, e)
		}
		if _, err := s.Get(ctx, "k"); !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("%s: get: %v", name, err)
		}
	}
}

// TestLimitMarkers: in a bucket that marks what has expired, a marker is no entry, does not stand
// in the way of a write, and is told to watches.
func TestLimitMarkers(t *testing.T) {
	t.Parallel() // it waits for an entry to expire
	url := natstest.Alone(t).ClientURL()
	open(t, url, natskv.WithBucket("other"))
	js, _ := bucketOf(t, url, "other")
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "KV_leases", Subjects: []string{"$KV.leases.>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew,
		AllowRollup: true, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, url)
	revision := set(t, s, "k", 0, "v", time.Second)
	w, err := s.Watch(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	e, _ := nextState(t, w, 10*time.Second)
	if e.Revision == revision { // unless the second was over when the watch began
		e, _ = nextState(t, w, 10*time.Second)
	}
	if e.Revision != 0 {
		t.Errorf("the watch sent %+v", e)
	}
	if _, err := s.Get(ctx, "k"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("get: %v", err)
	}
	for e, err := range s.List(ctx, "") {
		t.Errorf("listed: %+v, %v", e, err)
	}
	if _, err := s.CompareAndSet(ctx, "k", revision+1, nil, 0); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("a write that expects the marker: %v", err)
	}
	if next := set(t, s, "k", 0, "w", time.Hour); next <= revision+1 {
		t.Errorf("revision %d after a marker's %d", next, revision+1)
	}
}

// TestNumbersGoOn: a bucket from which everything has expired goes on counting where it was, also
// after a restart. Otherwise revisions were no fencing tokens.
func TestNumbersGoOn(t *testing.T) {
	t.Parallel() // it waits for entries to expire
	o := natstest.Options(t.TempDir())
	o.Port = natstest.FreePort(t)
	srv := natstest.Start(t, o)
	s := open(t, srv.ClientURL(), natskv.WithTimeout(time.Second))
	newest := set(t, s, "k", 0, "v", time.Second)
	for round := range 2 {
		natstest.Eventually(t, "the entry expires", func() bool { _, err := s.Get(ctx, "k"); return errors.Is(err, backend.ErrNotFound) })
		if round == 1 {
			natstest.Stop(srv)
			natstest.Start(t, o)
			natstest.Eventually(t, "the store answers again", func() bool { _, err := s.Get(ctx, "k"); return errors.Is(err, backend.ErrNotFound) })
		}
		if _, err := s.CompareAndSet(ctx, "k", newest, nil, 0); !errors.Is(err, backend.ErrConflict) {
			t.Errorf("a write at the revision of an expired entry: %v", err)
		}
		next := set(t, s, "k", 0, "v", time.Second)
		if next <= newest {
			t.Errorf("revision %d after %d", next, newest)
		}
		newest = next
	}
}
