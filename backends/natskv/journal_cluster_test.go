package natskv_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

const journalStream = "JOURNAL_leases"

// journalLeader is the number of the server that leads the journal's stream.
func journalLeader(t *testing.T, c *natstest.Cluster) int {
	t.Helper()
	return journalLeaderBut(t, c, -1)
}

// journalLeaderBut is another server than this one: one that was cut off may not know yet that it
// leads no more.
func journalLeaderBut(t *testing.T, c *natstest.Cluster, not int) int {
	t.Helper()
	leader := -1
	natstest.Eventually(t, "the journal has a leader", func() bool {
		for i, s := range c.Servers {
			if i != not && s.Running() && s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, journalStream) {
				leader = i
			}
		}
		return leader >= 0
	})
	return leader
}

// journalNumber is the number of the last message that server i has.
func journalNumber(t *testing.T, c *natstest.Cluster, i int) uint64 {
	t.Helper()
	info, err := c.Servers[i].Jsz(&server.JSzOptions{Streams: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			if stream.Name == journalStream {
				return stream.State.LastSeq
			}
		}
	}
	return 0
}

func journalCurrent(t *testing.T, c *natstest.Cluster) {
	t.Helper()
	for i, s := range c.Servers {
		natstest.Eventually(t, fmt.Sprintf("server %d is current", i), func() bool {
			return s.JetStreamIsStreamCurrent(server.DEFAULT_GLOBAL_ACCOUNT, journalStream)
		})
	}
}

// TestJournalBehind reads at a replica that lacks the newest entries: because its links are slow,
// or because it catches up from what the leader has. Every read has all that was acknowledged.
func TestJournalBehind(t *testing.T) {
	t.Parallel() // it waits most of the time
	for name, fallBehind := range map[string]func(t *testing.T, c *natstest.Cluster, leader, behind int, grow func(n int)){
		"slow links": func(t *testing.T, c *natstest.Cluster, _, behind int, grow func(n int)) {
			c.Slow(behind, 1<<20)
			grow(12)
		},
		"catching up": func(t *testing.T, c *natstest.Cluster, leader, behind int, grow func(n int)) {
			c.Cut(behind)
			grow(16)
			if err := c.Servers[leader].JetStreamSnapshotStream(server.DEFAULT_GLOBAL_ACCOUNT, journalStream); err != nil {
				t.Fatal(err)
			}
			grow(12)
			c.Slow(behind, 1<<20)
			c.Join()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := natstest.StartCluster(t)
			connect := func(url string) natstest.Store {
				return natstest.Patient{Store: open(t, url, natskv.WithReplicas(3), natskv.WithTimeout(time.Minute),
					natskv.WithConnectOptions(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(50*time.Millisecond)))}
			}
			add(t, connect(c.URL()), entry("default/run", "e0", ""), entry("other/run", "e0", ""))
			journalCurrent(t, c)
			leader := journalLeader(t, c)
			behind := (leader + 1) % 3
			writer, reader := connect(c.URLOf(leader)), connect(c.URLOf(behind))
			entries := 1
			grow := func(n int) {
				t.Helper()
				for range n {
					filler := make([]byte, backend.MaxJournalDataBytes)
					rand.Read(filler) // servers compress what they send
					add(t, writer, entry("default/run", fmt.Sprint("e", entries), string(filler)),
						entry(fmt.Sprintf("default/run%d", entries), "", "x"))
					entries++
				}
			}
			fallBehind(t, c, leader, behind, grow)
			met := 0 // reads that began while the replica lacked entries
			for n := 0; ; n++ {
				last := journalNumber(t, c, leader)
				has := journalNumber(t, c, behind)
				if has >= last || n == 12 {
					break
				}
				met++
				read, err := reader.ReadStream(ctx, "default/run", 0, backend.MaxJournalBatch)
				if err != nil || len(read) != entries {
					t.Errorf("%d entries, %v, want %d, while the replica lacked %d", len(read), err, entries, last-has)
				}
				newest, err := reader.ReadNewest(ctx, "default/", 0, 1)
				if want := fmt.Sprintf("default/run%d", entries-1); err != nil || newest[0].Stream != want {
					t.Errorf("the newest is of %s, %v, want %s", newest[0].Stream, err, want)
				}
				page, total, err := reader.Streams(ctx, "default/", 0, 1)
				if err != nil || total != entries || page[0].Last.Position != newest[0].Position {
					t.Errorf("%d streams, the newest at %d, %v, want %d, at %d", total, page[0].Last.Position, err, entries, newest[0].Position)
				}
				if n == 3 {
					c.Slow(behind, 0)
				}
				grow(1)
			}
			if met == 0 {
				t.Error("the replica was never behind")
			}
			t.Logf("%d rounds of reads while the replica was behind", met)
		})
	}
}

// TestJournalOutages stops the journal's leader, or cuts it off, under those who append. What was
// acknowledged is there, once, and in the order of each call.
func TestJournalOutages(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	for name, outage := range map[string]func(t *testing.T, c *natstest.Cluster, healthy func()){
		"the leader stops": func(t *testing.T, c *natstest.Cluster, healthy func()) {
			i := journalLeader(t, c)
			natstest.Stop(c.Servers[i])
			journalLeader(t, c)
			healthy()
			c.Restart(t, i)
		},
		"the leader is cut off": func(t *testing.T, c *natstest.Cluster, healthy func()) {
			i := journalLeader(t, c)
			c.Cut(i)
			journalLeaderBut(t, c, i)
			healthy()
			c.Join()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := natstest.StartCluster(t)
			first := open(t, c.URL(), natskv.WithReplicas(3))
			add(t, natstest.Patient{Store: first}, entry("first", "", ""))
			const writers = 6
			var stores []*natskv.Store
			for i := range writers {
				stores = append(stores, open(t, c.URLOf(i%3), natskv.WithTimeout(2*time.Second), natskv.WithConnectOptions(nats.ReconnectWait(50*time.Millisecond))))
			}
			done := make(chan struct{})
			var acknowledged [writers][]string // ids, in order
			var count, unknown, refused atomic.Int64
			var all sync.WaitGroup
			stop := sync.OnceFunc(func() { close(done); all.Wait() })
			defer stop()
			for w := range writers {
				all.Go(func() {
					for n := 0; ; n++ {
						var batch []backend.JournalEntry
						var ids []string
						for i := range 4 {
							id := fmt.Sprintf("w%d_%d_%d", w, n, i)
							ids = append(ids, id)
							batch = append(batch, entry(fmt.Sprint("run/", w), id, ""), entry("others/run", "", id))
						}
						for ok := false; !ok; {
							select {
							case <-done:
								return
							default:
							}
							err := stores[w].Append(ctx, batch)
							switch {
							case err == nil:
								acknowledged[w] = append(acknowledged[w], ids...)
								count.Add(1)
								ok = true
								time.Sleep(5 * time.Millisecond) // a replica that was away has to catch up
							case errors.Is(err, backend.ErrUnavailable):
								refused.Add(1)
								time.Sleep(5 * time.Millisecond)
							case errors.Is(err, backend.ErrInvalid), errors.Is(err, backend.ErrClosed):
								t.Errorf("writer %d: %v", w, err)
								return
							default: // entries with an id can be sent again
								unknown.Add(1)
							}
						}
					}
				})
			}
			healthy := func() {
				t.Helper()
				goal := count.Load() + 10*writers
				natstest.Eventually(t, "appending goes well", func() bool { return count.Load() >= goal })
			}
			healthy()
			outage(t, c, healthy)
			c.Current(t, "leases")
			journalCurrent(t, c)
			healthy()
			stop()
			t.Logf("%d appends acknowledged, %d refused, %d with unknown outcome", count.Load(), refused.Load(), unknown.Load())
			j := natstest.Patient{Store: first}
			for w := range writers {
				place := map[string]int{}
				var after uint64
				for {
					page, err := j.ReadStream(ctx, fmt.Sprint("run/", w), after, backend.MaxJournalBatch)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range page {
						if _, twice := place[e.ID]; twice {
							t.Errorf("%s is there twice", e.ID)
						}
						place[e.ID] = len(place)
						after = e.Position
					}
					if len(page) < backend.MaxJournalBatch {
						break
					}
				}
				last := -1
				for _, id := range acknowledged[w] {
					at, ok := place[id]
					if !ok {
						t.Errorf("%s was acknowledged, and is not there", id)
					} else if at < last && unknown.Load() == 0 {
						t.Errorf("%s stands before an entry that was added earlier", id)
					}
					last = at
				}
			}
		})
	}
}

// TestJournalSameID has many callers append calls with the same ids at the same time, each with
// entries after them.
func TestJournalSameID(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, open func() natstest.Store) {
		const callers, rounds = 8, 15
		var stores []natstest.Store
		for range 2 {
			stores = append(stores, open())
		}
		add(t, stores[0], entry("first", "", ""))
		for n := range rounds {
			stream := fmt.Sprint("default/run", n)
			var all sync.WaitGroup
			for c := range callers {
				all.Go(func() {
					add(t, stores[c%2], entry(stream, "start", "1"), entry(stream, "", "2"), entry(stream, "middle", "3"), entry(stream, "", "4"), entry(stream, "end", "5"))
				})
			}
			all.Wait()
			read, err := stores[0].ReadStream(ctx, stream, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			before := map[string]int{}
			for i, e := range read {
				counts[string(e.Data)]++
				if counts[string(e.Data)] == 1 {
					before[string(e.Data)] = i
				}
			}
			want := map[string]int{"1": 1, "2": callers, "3": 1, "4": callers, "5": 1}
			for data, n := range want {
				if counts[data] != n {
					t.Errorf("%s: %d entries %s, want %d", stream, counts[data], data, n)
				}
			}
			// Whoever added an entry with an id added what stands before it in the call before it.
			for _, pair := range []string{"12", "23", "34", "45"} {
				if before[pair[:1]] > before[pair[1:]] {
					t.Errorf("%s: %s stands after %s: %s", stream, pair[:1], pair[1:], shownEntries(read))
				}
			}
		}
	})
}

// TestJournalCanceled: a call whose context ends returns its error.
func TestJournalCanceled(t *testing.T) {
	s := open(t, natstest.Alone(t).ClientURL())
	add(t, s, entry("a", "", "1"))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Append(ended, []backend.JournalEntry{entry("a", "", "2")}); !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.ReadStream(ended, "a", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("read stream: %v", err)
	}
	if _, err := s.ReadNewest(ended, "a", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("read newest: %v", err)
	}
	if _, _, err := s.Streams(ended, "a", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("streams: %v", err)
	}
	wantStream(t, s, "a", "a::1")
}
