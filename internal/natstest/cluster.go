package natstest

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Cluster is three servers that agree.
type Cluster struct {
	Servers []*server.Server
	options []*server.Options
	links   [size][size]*link // between the one that dials and the other
}

const size = 3

// StartCluster starts three servers, and waits until they are one cluster.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{}
	for i := range size {
		o := Options(t.TempDir())
		o.ServerName = fmt.Sprintf("server%d", i)
		o.Port = FreePort(t)
		// They find each other by the links alone, and tell nobody of a way around them.
		o.Cluster = server.ClusterOpts{Name: "leases", Host: "127.0.0.1", Port: FreePort(t), Advertise: "127.0.0.1:1"}
		c.options = append(c.options, o)
	}
	for i, o := range c.options {
		for j, other := range c.options {
			if i != j {
				c.links[i][j] = newLink(t, other.Cluster.Port)
				o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: c.links[i][j].listener.Addr().String()})
			}
		}
		c.Servers = append(c.Servers, Start(t, o))
	}
	c.await(t)
	return c
}

// URL names all servers.
func (c *Cluster) URL() string {
	list := ""
	for _, o := range c.options {
		list += fmt.Sprintf("nats://127.0.0.1:%d,", o.Port)
	}
	return list[:len(list)-1]
}

// URLOf names server i alone.
func (c *Cluster) URLOf(i int) string { return fmt.Sprintf("nats://127.0.0.1:%d", c.options[i].Port) }

// Restart starts server i again, where it was, and waits until the others count on it.
func (c *Cluster) Restart(t testing.TB, i int) {
	t.Helper()
	c.Servers[i] = Start(t, c.options[i])
	c.await(t)
}

// Cut parts server i from the two others. Clients still reach all three.
func (c *Cluster) Cut(i int) {
	for j := range size {
		if j != i {
			c.links[i][j].cut(true)
			c.links[j][i].cut(true)
		}
	}
}

// Slow lets no more than so many bytes a second pass between server i and each of the others, in
// each direction. 0 lifts the limit.
func (c *Cluster) Slow(i int, bytesPerSecond int64) {
	for j := range size {
		if j != i {
			c.links[i][j].rate.Store(bytesPerSecond)
			c.links[j][i].rate.Store(bytesPerSecond)
		}
	}
}

// CompactLog has server i, which leads the bucket's stream, replace its log by a snapshot of the
// stream, as it does by itself after 8 MiB or 65 536 writes.
func (c *Cluster) CompactLog(t testing.TB, i int, bucket string) {
	t.Helper()
	if err := c.Servers[i].JetStreamSnapshotStream(server.DEFAULT_GLOBAL_ACCOUNT, "KV_"+bucket); err != nil {
		t.Fatal(err)
	}
}

// Heal joins what was cut, and waits until all three count on each other.
func (c *Cluster) Heal(t testing.TB) {
	t.Helper()
	c.Join()
	c.await(t)
}

// Join joins what was cut.
func (c *Cluster) Join() {
	for i := range size {
		for j := range size {
			if j != i {
				c.links[i][j].cut(false)
			}
		}
	}
}

// await waits until three replicas can be placed.
func (c *Cluster) await(t testing.TB) {
	t.Helper()
	nc, err := nats.Connect(c.URL(), nats.RetryOnFailedConnect(true))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	patience := time.Second // without a leader nobody answers; with a slow disk it takes longer each time, and never ends if it is always begun anew
	Eventually(t, "the cluster places three replicas", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "probe", Subjects: []string{"probe"}, Replicas: size})
		if err == nil {
			err = js.DeleteStream(ctx, "probe")
		}
		if ctx.Err() != nil {
			patience = min(2*patience, 16*time.Second)
		}
		return err == nil
	})
}

// Leader is the number of the server that leads the bucket's stream.
func (c *Cluster) Leader(t testing.TB, bucket string) int {
	t.Helper()
	found := -1
	Eventually(t, "the bucket has a leader", func() bool {
		for i, s := range c.Servers {
			if s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, "KV_"+bucket) {
				found = i
			}
		}
		return found >= 0
	})
	return found
}

// Current waits until every server has a way to each of the others, and all of the bucket's stream.
func (c *Cluster) Current(t testing.TB, bucket string) {
	t.Helper()
	for i, s := range c.Servers {
		Eventually(t, fmt.Sprintf("server %d reaches the others", i), func() bool {
			routes, err := s.Routez(nil)
			if err != nil {
				return false
			}
			others := map[string]bool{}
			for _, r := range routes.Routes {
				others[r.RemoteID] = true
			}
			return len(others) == size-1
		})
	}
	for i, s := range c.Servers {
		Eventually(t, fmt.Sprintf("server %d is current", i), func() bool {
			return s.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, "KV_"+bucket)
		})
	}
}

// LastNumber returns the number of the last message of the bucket's stream that server i has.
func (c *Cluster) LastNumber(t testing.TB, i int, bucket string) uint64 {
	t.Helper()
	info, err := c.Servers[i].Jsz(&server.JSzOptions{Streams: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if stream.Name == "KV_"+bucket {
				return stream.State.LastSeq
			}
		}
	}
	return 0
}
