package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

func TestOpenRefuses(t *testing.T) {
	good := natstest.Alone(t).ClientURL()
	without := natstest.Options(t.TempDir())
	without.JetStream = false
	locked := natstest.Options(t.TempDir())
	locked.Authorization = "secret_token"
	for _, tt := range []struct {
		name string
		url  string
		opts []natskv.Option
		is   error
		says string
	}{
		{"no server", fmt.Sprintf("nats://user:hunter2@127.0.0.1:%d", natstest.FreePort(t)), nil, nats.ErrNoServers, "is nats-server running there"},
		{"no JetStream", natstest.Start(t, without).ClientURL(), nil, nil, "start it with --jetstream"},
		{"no credentials", natstest.Start(t, locked).ClientURL(), nil, nats.ErrAuthorization, "refuses the credentials"},
		{"too many replicas for one server", good, []natskv.Option{natskv.WithBucket("three"), natskv.WithReplicas(3)}, nil, "3 replicas need as many servers"},
		{"no bucket", good, []natskv.Option{natskv.WithBucket("")}, backend.ErrInvalid, "0 bytes, must be from 1 to 64"},
		{"a bucket's name with a dot", good, []natskv.Option{natskv.WithBucket("a.b")}, backend.ErrInvalid, "character other than"},
		{"a bucket's name too long", good, []natskv.Option{natskv.WithBucket(strings.Repeat("b", 65))}, backend.ErrInvalid, "65 bytes"},
		{"six replicas", good, []natskv.Option{natskv.WithReplicas(6)}, backend.ErrInvalid, "replicas is 6, must be from 1 to 5"},
		{"no time", good, []natskv.Option{natskv.WithTimeout(0)}, backend.ErrInvalid, "timeout is 0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			s, err := natskv.Open(ctx, tt.url, tt.opts...)
			switch {
			case err == nil:
				s.Close()
				t.Error("it opened")
			case tt.is != nil && !errors.Is(err, tt.is), !strings.Contains(err.Error(), tt.says), strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%v, want one that says %q", err, tt.says)
			}
		})
	}
}

// TestUnsuitableBuckets: buckets of others that would lose leases are refused, with what to do, and
// left as they are.
func TestUnsuitableBuckets(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		name   string
		change func(c *jetstream.StreamConfig)
		says   string // "": it is suitable
	}{
		{"as we make it, but by hand", func(c *jetstream.StreamConfig) {}, ""},
		{"with limit markers", func(c *jetstream.StreamConfig) { c.AllowRollup, c.SubjectDeleteMarkerTTL = true, time.Minute }, ""},
		{"in memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "it is kept in memory"},
		{"with a history", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 }, "--max-msgs-per-subject=1"},
		{"that refuses to replace", func(c *jetstream.StreamConfig) { c.DiscardNewPerSubject = true }, "it refuses to replace an entry"},
		{"that acknowledges too early", func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "persist mode async"},
		{"without a TTL for each message", func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false }, ""},
		{"read from any replica", func(c *jetstream.StreamConfig) { c.AllowDirect = true }, ""},
		{"of too small messages", func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 << 10 }, "--max-msg-size=-1"},
		{"with a maximum age", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "drops every entry after 1h0m0s"},
		{"a ring", func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 10 }, "--discard=new"},
		{"a work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, "retention policy"},
		{"with other subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"other." + c.Name} }, "its subjects are"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bucket := fmt.Sprint("bucket", i)
			c := jetstream.StreamConfig{Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, AllowMsgTTL: true}
			tt.change(&c)
			if _, err := js.CreateStream(ctx, c); err != nil {
				t.Fatal(err)
			}
			s, err := natskv.Open(ctx, url, natskv.WithBucket(bucket))
			if tt.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				set(t, s, "k", set(t, s, "k", 0, "v", time.Minute), "w", time.Minute)
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want one that says %q", err, tt.says)
			}
		})
	}
}

func TestManyOpenAtOnce(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := natskv.Open(ctx, url)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}

func TestNewLeavesTheConnectionOpen(t *testing.T) {
	nc, err := nats.Connect(natstest.Alone(t).ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s, err := natskv.New(ctx, nc, natskv.WithBucket("mine"))
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, "k", 0, "v", 0)
	s.Close()
	if !nc.IsConnected() {
		t.Error("the connection is closed")
	}
	if _, err := natskv.New(ctx, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("without a connection: %v", err)
	}
}
