package natskv_test

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease/backend"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// BenchmarkCreate and BenchmarkGet run ours and a raw twin in turns, a slice of the work each, on
// one server that syncs every write. They report as x-raw how many times the twin's throughput
// ours has.

const recordBytes = 400 // as the record of a fresh lease has

// alternate runs b.N operations by callers on each of the two, in slices. No i is given twice to
// one of them.
func alternate(b *testing.B, callers int, ours, raw func(i int) error) {
	b.Helper()
	slice := max(100, 20*callers)
	var spent [2]time.Duration
	run := func(op func(int) error, from, n int) time.Duration {
		begin := time.Now()
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				for i := from + c; i < from+n; i += callers {
					if err := op(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(begin)
	}
	b.ResetTimer()
	for done, turn := 0, 0; done < b.N; turn++ {
		n := min(b.N-done, slice)
		for i := range 2 {
			if (i+turn)%2 == 0 {
				spent[0] += run(ours, done, n)
				continue
			}
			b.StopTimer()
			spent[1] += run(raw, done, n)
			b.StartTimer()
		}
		done += n
	}
	b.ReportMetric(float64(b.N)/spent[0].Seconds(), "ops/s")
	b.ReportMetric(float64(b.N)/spent[1].Seconds(), "raw-ops/s")
	b.ReportMetric(float64(spent[1])/float64(spent[0]), "x-raw")
}

// rawPublish is the bare message that creates a key, with an expected sequence and a TTL, to a
// stream like ours.
func rawPublish(b *testing.B, url string) func(i int) error {
	b.Helper()
	open(b, url, natskv.WithBucket("raw"))
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, recordBytes)
	return func(i int) error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "$KV.raw.default.chat_" + strconv.Itoa(i), Data: value},
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithMsgTTL(time.Hour))
		return err
	}
}

func perCallers(b *testing.B, f func(b *testing.B, callers int)) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			f(b, callers)
		})
	}
}

func BenchmarkCreate(b *testing.B) {
	perCallers(b, func(b *testing.B, callers int) {
		url := natstest.Alone(b).ClientURL()
		s := open(b, url)
		value := make([]byte, recordBytes)
		alternate(b, callers, func(i int) error {
			_, err := s.CompareAndSet(ctx, "default/chat_"+strconv.Itoa(i), 0, value, time.Hour)
			return err
		}, rawPublish(b, url))
	})
}

func BenchmarkGet(b *testing.B) {
	perCallers(b, func(b *testing.B, callers int) {
		url := natstest.Alone(b).ClientURL()
		s := open(b, url)
		set(b, s, "k", 0, string(make([]byte, recordBytes)), time.Hour)
		_, stream := bucketOf(b, url, "leases")
		alternate(b, callers, func(int) error {
			_, err := s.Get(ctx, "k")
			return err
		}, func(int) error {
			_, err := stream.GetLastMsgForSubject(ctx, "$KV.leases.k")
			return err
		})
	})
}

var others = flag.Int("natskv.others", 100_000, "how many entries of another namespace BenchmarkListNamespace lists beside")

// BenchmarkListNamespace lists ten entries of one namespace beside many of another.
func BenchmarkListNamespace(b *testing.B) {
	o := natstest.Options(b.TempDir())
	o.SyncAlways = false // or the many take minutes to write
	url := natstest.Start(b, o).ClientURL()
	s := open(b, url)
	for i := range 10 {
		set(b, s, fmt.Sprintf("default:due/chat_%d", i), 0, "v", time.Hour)
	}
	js, stream := bucketOf(b, url, "leases")
	value := make([]byte, recordBytes)
	for i := range *others {
		if _, err := js.PublishAsync(fmt.Sprintf("$KV.leases.default.chat_%d", i), value, jetstream.WithStallWait(time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	if info, err := stream.Info(ctx); err != nil || info.State.Msgs != uint64(*others)+10 {
		b.Fatalf("%d messages, %v", info.State.Msgs, err)
	}
	for b.Loop() {
		if n := len(keysOf(b, s, "default:due/")); n != 10 {
			b.Fatalf("%d entries are listed, want 10", n)
		}
	}
}

// BenchmarkCluster is what a Manager asks of three replicas: compare-and-set of entries that are
// extended, and reads of them, at any server.
func BenchmarkCluster(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := natstest.StartCluster(b)
			s := natstest.Patient{Store: open(b, c.URL(), natskv.WithReplicas(3))}
			value := make([]byte, recordBytes)
			key := func(caller int) string { return fmt.Sprintf("default/chat_%d", caller) }
			revisions := make([]uint64, callers)
			for i := range revisions {
				revisions[i] = set(b, s, key(i), 0, string(value), time.Hour)
			}
			for _, op := range []struct {
				name string
				call func(caller int) error
			}{
				{"extend", func(caller int) (err error) {
					revisions[caller], err = s.CompareAndSet(ctx, key(caller), revisions[caller], value, time.Hour)
					return err
				}},
				{"read", func(caller int) error { _, err := s.Get(ctx, key(caller)); return err }},
				{"read-one-key", func(int) error { _, err := s.Get(ctx, key(0)); return err }},
				{"read-absent", func(int) error {
					if _, err := s.Get(ctx, "default/absent"); !errors.Is(err, backend.ErrNotFound) {
						return fmt.Errorf("an absent key reads %w", err)
					}
					return nil
				}},
			} {
				b.Run(op.name, func(b *testing.B) {
					var all sync.WaitGroup
					for caller := range callers {
						all.Go(func() {
							for i := caller; i < b.N; i += callers {
								if err := op.call(caller); err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					all.Wait()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
				})
			}
		})
	}
}
