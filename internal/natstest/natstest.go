// Package natstest starts real NATS servers in the test process, alone and as a cluster: on
// loopback, with every write on disk before it is acknowledged unless a package's tests do without.
package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// SyncAlways has the servers put every write on disk before they acknowledge it. Tests in which no
// server loses its power may do without, before they start the first: what a server has written
// also outlives its process.
var SyncAlways = true

// Options are those of every server that the tests start: real, on loopback, and with every write
// on disk before it is acknowledged, as [SyncAlways] says.
func Options(dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: dir, SyncAlways: SyncAlways,
		MaxPayload: 2 << 20, // 1 MiB, the default, is too little for a value of 1 MiB and its headers
		NoLog:      true, NoSigs: true,
	}
}

// Start starts a server, and ends it with the test.
func Start(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s
}

// Stop ends a server, gracefully.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Alone starts one server.
func Alone(t testing.TB) *server.Server {
	t.Helper()
	return Start(t, Options(t.TempDir()))
}

// nextPort begins anywhere, since the tests of several packages run at once.
var nextPort atomic.Int64

func init() { nextPort.Store(rand.Int64N(22_000)) }

// FreePort is a port that nobody uses just now, and that the system gives to nobody by itself: it
// gives those from 32768 on to whoever connects, and a server that restarts would find its own
// taken. Nor does it come twice in one process: several are asked for before the first is used, and
// a server that is stopped comes back to its own.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+nextPort.Add(1)%22_000))
		if err != nil {
			continue
		}
		l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("no port is free")
	return 0
}

// Eventually waits for what must become true, and fails the test if it does not: long enough for
// several elections, and for a slow disk.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after two minutes: %s", what)
		}
	}
}
