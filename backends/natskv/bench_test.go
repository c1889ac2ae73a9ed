package natskv_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/natskv"
	"github.com/ailease/lease/internal/natstest"
)

// The benchmarks run ours and its raw twin in turns, a slice of the work each, on one server that
// syncs every write, and report how many times the twin's throughput ours has as x-raw.

const recordBytes = 400 // as the record of a fresh lease has

// alternate runs b.N operations by callers on each of the two, in slices; i is never given twice to
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
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "$KV.raw.default/chat_" + strconv.Itoa(i), Data: value},
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

// BenchmarkAcquire is the acquire of fresh keys through a Manager.
func BenchmarkAcquire(b *testing.B) {
	perCallers(b, func(b *testing.B, callers int) {
		url := natstest.Alone(b).ClientURL()
		m, err := lease.NewManager(open(b, url))
		if err != nil {
			b.Fatal(err)
		}
		alternate(b, callers, func(i int) error {
			_, acquired, err := m.Acquire(ctx, "chat_"+strconv.Itoa(i), nil)
			if err == nil && !acquired {
				return context.Canceled
			}
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
