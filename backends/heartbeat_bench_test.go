package backends_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends"
	"github.com/ailease/lease/internal/natstest"
)

// BenchmarkHeartbeat is the Extend of one holder on one processor, beside goroutines that compute.
// What counts is how long one takes, and not how many there are in a second.
func BenchmarkHeartbeat(b *testing.B) {
	for _, store := range []struct {
		name string
		url  func(b *testing.B) string
	}{
		{"memory", func(*testing.B) string { return "memory:" }},
		{"sqlite", func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "leases.db") }},
		{"nats", startServer},
	} {
		b.Run(store.name, func(b *testing.B) {
			url := store.url(b)
			for _, computing := range []int{0, 1, 5, 10} {
				b.Run(fmt.Sprintf("computing=%d", computing), func(b *testing.B) {
					took := heartbeat(b, url, computing)
					b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "p50-us")
					b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-us")
				})
			}
		})
	}
}

// mostTime bounds one benchmark. Beside ten goroutines that compute, a beat over the network takes
// a fifth of a second.
const mostTime = 4 * time.Second

// heartbeat extends a lease up to b.N times and returns how long each took, in order of size.
func heartbeat(b *testing.B, url string, computing int) []time.Duration {
	b.Helper()
	s, err := backends.Open(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	m, err := lease.NewManager(s)
	if err != nil {
		b.Fatal(err)
	}
	l, acquired, err := m.Acquire(b.Context(), fmt.Sprintf("key_%d_%d", computing, b.N), nil)
	if err != nil || !acquired {
		b.Fatal(acquired, err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer compute(computing)()
	var took []time.Duration
	b.ResetTimer()
	for first := time.Now(); len(took) < b.N && time.Since(first) < mostTime; {
		begin := time.Now()
		if _, err := m.Extend(b.Context(), l.Key, l.LeaseID, nil); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	b.StopTimer()
	slices.Sort(took)
	return took
}

// compute keeps n goroutines busy until end is called.
func compute(n int) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				for x := range 1000 {
					_ = x * x
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// serverEnv makes this test binary a NATS server, which keeps its files in the folder named there.
const serverEnv = "AILEASE_BACKENDS_TEST_SERVER"

func TestMain(m *testing.M) {
	dir := os.Getenv(serverEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	s, err := server.NewServer(natstest.Options(dir))
	if err != nil {
		panic(err)
	}
	s.Start()
	if s.ReadyForConnections(20 * time.Second) {
		fmt.Println(s.Addr())
	}
	io.Copy(io.Discard, os.Stdin) // until the parent ends, in whatever way
	natstest.Stop(s)
}

// startServer starts a NATS server in a process of its own. Computing goroutines of this one leave
// it alone.
func startServer(b *testing.B) (url string) {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), serverEnv+"="+b.TempDir())
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { stdin.Close(); c.Wait() })
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal("the server did not start: ", err)
	}
	return "nats://" + strings.TrimSpace(addr)
}
