package natskv_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

var ctx = context.Background()

func set(t testing.TB, s natstest.Store, key string, expected uint64, value string, keep time.Duration) uint64 {
	t.Helper()
	revision, err := natstest.Patient{Store: s}.CompareAndSet(ctx, key, expected, []byte(value), keep)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// bucketOf returns what others see of a bucket.
func bucketOf(t testing.TB, url, bucket string) (jetstream.JetStream, jetstream.Stream) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	return js, stream
}

// nothingLeft fails the test if what was started since before goes on. It is patient: the server in
// this process also ends what it has begun.
func nothingLeft(t *testing.T, before goleak.Option) {
	t.Helper()
	left := goleak.Find(before)
	for end := time.Now().Add(30 * time.Second); left != nil && time.Now().Before(end); {
		left = goleak.Find(before) // takes almost half a second
	}
	if left != nil {
		t.Error(left)
	}
}

// TestKeep looks at what is sent to the server: whole seconds, never fewer than asked for, with
// every write.
func TestKeep(t *testing.T) {
	t.Parallel() // it waits for entries to expire
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	js, _ := bucketOf(t, url, "leases")
	sent, err := js.Conn().SubscribeSync("$KV.leases.>") // what the stream has is gone in a second
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		keep time.Duration
		want string
	}{
		{time.Hour, "3600s"},
		{1500 * time.Millisecond, "2s"},
		{time.Nanosecond, "1s"},
		{0, ""},
		{time.Minute + 1, "61s"},
		{1<<63 - 1, ""},
	} {
		key := fmt.Sprint(i)
		set(t, s, key, set(t, s, key, 0, "v", 2*time.Hour), "v", tt.keep)
		for _, want := range []string{"7200s", tt.want} {
			m, err := sent.NextMsg(20 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if got := m.Header.Get(jetstream.MsgTTLHeader); got != want {
				t.Errorf("keep %v: %q is sent, want %q", tt.keep, got, want)
			}
		}
	}
	revision := set(t, s, "k", 0, "v", time.Second)
	natstest.Eventually(t, "the server drops an entry whose keep has ended", func() bool {
		_, err := s.Get(ctx, "k")
		return errors.Is(err, backend.ErrNotFound)
	})
	if next := set(t, s, "k", 0, "v", 0); next <= revision {
		t.Errorf("revision %d after %d", next, revision)
	}
}

func TestLongestKeys(t *testing.T) {
	o := natstest.Options(t.TempDir())
	o.MaxPayload = 0 // as servers are that nobody has configured
	s := open(t, natstest.Start(t, o).ClientURL(), natskv.WithBucket(strings.Repeat("b", 64)))
	key := strings.Repeat("é", backend.MaxKeyBytes/2)
	states, err := s.Watch(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	<-states
	revision := set(t, s, key, 0, "v", time.Hour)
	if e := <-states; e.Revision != revision || e.Key != key {
		t.Errorf("the watch sent revision %d of a key of %d bytes", e.Revision, len(e.Key))
	}
	for e, err := range s.List(ctx, key[:100]) {
		if err != nil || e.Key != key {
			t.Errorf("list: a key of %d bytes, %v", len(e.Key), err)
		}
	}
}

func TestForeignNamesAreNotListed(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	s := open(t, url)
	set(t, s, "ours", 0, "v", 0)
	js, _ := bucketOf(t, url, "leases")
	if _, err := js.Publish(ctx, "$KV.leases.not.ours.either", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for e, err := range s.List(ctx, "") {
		if err != nil || e.Key != "ours" {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	url := natstest.Alone(t).ClientURL()
	open(t, url) // so that the bucket is there, with what the server does for it
	before := goleak.IgnoreCurrent()
	s, err := natskv.Open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	revision := set(t, s, "k", 0, "v", 0)
	states, err := s.Watch(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if e, ok := <-states; !ok || e.Revision != revision {
		t.Errorf("%+v, %t", e, ok)
	}
	if _, ok := <-states; ok {
		t.Error("the watch is still open")
	}
	for what, call := range map[string]func() error{
		"get":    func() error { _, err := s.Get(ctx, "k"); return err },
		"set":    func() error { _, err := s.CompareAndSet(ctx, "k", revision, nil, 0); return err },
		"delete": func() error { return s.CompareAndDelete(ctx, "k", revision) },
		"watch":  func() error { _, err := s.Watch(ctx, "k"); return err },
		"list": func() (err error) {
			for _, err = range s.List(ctx, "") {
			}
			return err
		},
	} {
		if err := call(); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	nothingLeft(t, before)
}
