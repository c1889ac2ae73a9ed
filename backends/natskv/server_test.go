package natskv_test

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ailease/lease/backends/natskv"
)

// options are those of every server that the tests start: real, on loopback, and with every write on disk before it is acknowledged.
func options(dir string) *server.Options {
	return &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: dir, SyncAlways: true,
		MaxPayload: 2 << 20, // 1 MiB, the default, is too little for a value of 1 MiB and its headers
		NoLog:      true, NoSigs: true,
	}
}

// start starts a server, and ends it with the test.
func start(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func alone(t testing.TB) *server.Server {
	t.Helper()
	return start(t, options(t.TempDir()))
}

// cluster is three servers that agree.
type cluster struct {
	options []*server.Options
	servers []*server.Server
}

func startCluster(t testing.TB) *cluster {
	t.Helper()
	const size = 3
	c := &cluster{}
	var routes []*url.URL
	for i := range size {
		o := options(t.TempDir())
		o.ServerName = fmt.Sprintf("server%d", i)
		o.Port = freePort(t)
		o.Cluster = server.ClusterOpts{Name: "leases", Host: "127.0.0.1", Port: freePort(t)}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
		c.options = append(c.options, o)
	}
	for _, o := range c.options {
		o.Routes = routes
		c.servers = append(c.servers, start(t, o))
	}
	eventually(t, "the cluster has a leader, and all its servers", func() bool {
		for _, s := range c.servers {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == size
			}
		}
		return false
	})
	return c
}

// url names all servers.
func (c *cluster) url() string {
	list := ""
	for _, o := range c.options {
		list += fmt.Sprintf("nats://127.0.0.1:%d,", o.Port)
	}
	return list[:len(list)-1]
}

// restart starts server i again, where it was, and waits until the others count on it.
func (c *cluster) restart(t testing.TB, i int) {
	t.Helper()
	c.servers[i] = start(t, c.options[i])
	eventually(t, "the cluster places three replicas again", func() bool {
		s, err := natskv.Open(t.Context(), c.url(), natskv.WithBucket(newBucket()), natskv.WithReplicas(len(c.servers)))
		if err == nil {
			s.Close()
		}
		return err == nil
	})
}

// leader is the number of the server that leads the bucket's stream.
func (c *cluster) leader(t testing.TB, bucket string) int {
	t.Helper()
	found := -1
	eventually(t, "the bucket has a leader", func() bool {
		for i, s := range c.servers {
			if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "KV_"+bucket) {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}

func open(t testing.TB, url string, opts ...natskv.Option) *natskv.Store {
	t.Helper()
	s, err := natskv.Open(t.Context(), url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
