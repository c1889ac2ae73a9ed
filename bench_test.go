package lease_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
)

// The benchmarks run on the memory backend, by one caller. Each compares with a twin in the same
// run; x-raw is the time divided by the twin's.

// BenchmarkAcquireComplete is a lease's whole life, with metadata and a result, on a fresh key each
// time. Its twin is the two compare-and-sets alone, on the same bytes.
func BenchmarkAcquireComplete(b *testing.B) {
	ctx := context.Background()
	f := newBench(b)
	opts := &lease.AcquireOptions{TTL: time.Hour, Metadata: json.RawMessage(`{"customer_id":"c_1","priority":"high"}`)}
	done := lease.Completion{Result: json.RawMessage(`{"messages":15,"resolution":"password reset"}`)}
	life := func(key string) {
		l := f.acquire(b, key, opts)
		if _, err := f.m.Complete(ctx, key, l.LeaseID, done); err != nil {
			b.Fatal(err)
		}
	}
	life("sample")
	sample := f.value(b, "sample")
	compare(b, life, func(key string) {
		f.set(b, key, f.set(b, key, 0, sample), sample)
	}, func(key string) {
		f.remove(b, key)
		f.remove(b, "default/"+key)
	})
}

// BenchmarkPoll is the acquire of a key that another holds, as a poller repeats it. Its twin is the
// read alone.
func BenchmarkPoll(b *testing.B) {
	ctx := context.Background()
	f := newBench(b)
	f.acquire(b, "k", nil)
	compare(b, func(string) {
		if _, acquired, err := f.m.Acquire(ctx, "k", nil); err != nil || acquired {
			b.Fatal(acquired, err)
		}
	}, func(string) {
		f.value(b, "k")
	}, func(string) {})
}

// BenchmarkExtend is the heartbeat of a holder. Its twin is the compare-and-set alone.
func BenchmarkExtend(b *testing.B) {
	ctx := context.Background()
	f := newBench(b)
	l := f.acquire(b, "k", nil)
	sample := f.value(b, "k")
	revision := f.set(b, "raw", 0, sample)
	compare(b, func(string) {
		if _, err := f.m.Extend(ctx, "k", l.LeaseID, nil); err != nil {
			b.Fatal(err)
		}
	}, func(string) {
		revision = f.set(b, "raw", revision, sample)
	}, func(string) {})
}

// BenchmarkRelease is a lease that is taken and given back, on one key. So each acquire is a
// takeover. Its twin is the two compare-and-sets and the read between them.
func BenchmarkRelease(b *testing.B) {
	ctx := context.Background()
	f := newBench(b)
	turn := func(string) {
		l := f.acquire(b, "k", nil)
		if _, err := f.m.Release(ctx, "k", l.LeaseID); err != nil {
			b.Fatal(err)
		}
	}
	turn("") // the first is no takeover
	turn("")
	sample := f.value(b, "k")
	revision := f.set(b, "default/raw", 0, sample)
	compare(b, turn, func(string) {
		f.value(b, "raw")
		revision = f.set(b, "default/raw", f.set(b, "default/raw", revision, sample), sample)
	}, func(string) {})
}

// BenchmarkDo is Do around a function that returns at once, on a fresh key each time. Its twin is
// the Acquire and Complete that one would write by hand.
func BenchmarkDo(b *testing.B) {
	ctx := context.Background()
	f := newBench(b)
	type answer struct {
		Messages   int    `json:"messages"`
		Resolution string `json:"resolution"`
	}
	compare(b, func(key string) {
		if _, err := lease.Do(ctx, f.m, key, nil, func(context.Context) (answer, error) { return answer{15, "password reset"}, nil }); err != nil {
			b.Fatal(err)
		}
	}, func(key string) {
		key = "by hand " + key
		l := f.acquire(b, key, nil)
		if _, err := f.m.Complete(ctx, key, l.LeaseID, lease.Completion{Result: answer{15, "password reset"}}); err != nil {
			b.Fatal(err)
		}
	}, func(key string) {
		for _, k := range []string{key, "by hand " + key} {
			if err := f.m.Forget(ctx, k); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// bench is a Manager on a store of its own.
type bench struct {
	store *memory.Store
	m     *lease.Manager
}

func newBench(b *testing.B) bench {
	b.Helper()
	store := memory.New()
	m, err := lease.NewManager(store)
	if err != nil {
		b.Fatal(err)
	}
	return bench{store, m}
}

func (f bench) acquire(b *testing.B, key string, opts *lease.AcquireOptions) lease.Lease {
	l, acquired, err := f.m.Acquire(context.Background(), key, opts)
	if err != nil || !acquired {
		b.Fatal(acquired, err)
	}
	return l
}

// value reads what the store holds for a lease.
func (f bench) value(b *testing.B, key string) []byte {
	e, err := f.store.Get(context.Background(), "default/"+key)
	if err != nil {
		b.Fatal(err)
	}
	return e.Value
}

func (f bench) set(b *testing.B, storeKey string, expected uint64, value []byte) (revision uint64) {
	revision, err := f.store.CompareAndSet(context.Background(), storeKey, expected, value, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	return revision
}

func (f bench) remove(b *testing.B, storeKey string) {
	e, err := f.store.Get(context.Background(), storeKey)
	if err != nil {
		b.Fatal(err)
	}
	if err := f.store.CompareAndDelete(context.Background(), storeKey, e.Revision); err != nil {
		b.Fatal(err)
	}
}

// compare times ours and its raw twin in alternating runs of a thousand keys. So both see the same
// machine. It clears up after each run, so that the growth of a map is not what is measured.
func compare(b *testing.B, ours, raw, clear func(key string)) {
	b.ReportAllocs()
	var twin time.Duration
	keys := make([]string, 0, 1000)
	for n := 0; n < b.N; n += len(keys) {
		b.StopTimer()
		keys = keys[:0]
		for i := n; i < b.N && len(keys) < cap(keys); i++ {
			keys = append(keys, strconv.Itoa(i))
		}
		begun := time.Now()
		for _, key := range keys {
			raw(key)
		}
		twin += time.Since(begun)
		b.StartTimer()
		for _, key := range keys {
			ours(key)
		}
		b.StopTimer()
		for _, key := range keys {
			clear(key)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(twin), "x-raw")
}
