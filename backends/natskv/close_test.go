package natskv_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// TestClosedStoreOverTheCallersConnection: the connection stays open, and nothing more is sent over
// it.
func TestClosedStoreOverTheCallersConnection(t *testing.T) {
	srv := natstest.Alone(t)
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	s, err := natskv.New(ctx, nc)
	if err != nil {
		t.Fatal(err)
	}
	revision := set(t, s, "k", 0, "v", 0)
	for range 2 { // closing twice is harmless
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	sent := nc.Stats().OutMsgs
	_, getErr := s.Get(ctx, "k")
	_, setErr := s.CompareAndSet(ctx, "k", revision, []byte("late"), 0)
	_, createErr := s.CompareAndSet(ctx, "other", 0, []byte("late"), 0)
	_, watchErr := s.Watch(ctx, "k")
	var listErr error
	for _, err := range s.List(ctx, "") {
		listErr = err
	}
	for call, err := range map[string]error{
		"get": getErr, "set": setErr, "create": createErr, "watch": watchErr, "list": listErr,
		"delete": s.CompareAndDelete(ctx, "k", revision),
	} {
		if !errors.Is(err, backend.ErrClosed) || errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrClosed", call, err)
		}
	}
	if n := nc.Stats().OutMsgs - sent; n != 0 {
		t.Errorf("the closed store sent %d messages", n)
	}
	if e, err := open(t, srv.ClientURL()).Get(ctx, "k"); err != nil || e.Revision != revision {
		t.Errorf("the key is %+v, %v, want revision %d", e, err, revision)
	}
}

// TestCloseUnderAWrite: the server may have got the write, and its answer will not come. So the
// outcome is unknown, which ErrClosed would deny.
func TestCloseUnderAWrite(t *testing.T) {
	sink := swallow(t, natstest.Alone(t).Addr().String(), "$KV.leases.k ")
	s := open(t, "nats://"+sink.addr)
	answer := make(chan error, 1)
	go func() {
		_, err := s.CompareAndSet(context.Background(), "k", 0, []byte("v"), 0)
		answer <- err
	}()
	select {
	case <-sink.swallowed:
	case err := <-answer:
		t.Fatalf("the write was answered: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answer:
		for _, certain := range []error{backend.ErrClosed, backend.ErrUnavailable, backend.ErrConflict, backend.ErrInvalid} {
			if errors.Is(err, certain) {
				t.Errorf("the write returned %v, whose outcome is known", err)
			}
		}
		if err == nil {
			t.Error("the write succeeded")
		}
	case <-time.After(20 * time.Second):
		t.Error("the write did not return")
	}
}

// sink is a connection to a server through which what a client sends gets lost, from some bytes on.
type sink struct {
	addr      string
	swallowed chan struct{} // closed when the bytes came
}

func swallow(t *testing.T, server, from string) sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := sink{l.Addr().String(), make(chan struct{})}
	found := sync.OnceFunc(func() { close(s.swallowed) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go relay(client, to, nil, nil)
			go relay(to, client, []byte(from), found)
		}
	}()
	return s
}

// relay passes on what comes from src until it has seen the bytes stop. What comes then is lost.
func relay(dst, src net.Conn, stop []byte, found func()) {
	defer dst.Close()
	var seen []byte
	for buf := make([]byte, 32<<10); ; {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		if stop != nil {
			if seen = append(seen, buf[:n]...); bytes.Contains(seen, stop) {
				found()
				continue
			}
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}
