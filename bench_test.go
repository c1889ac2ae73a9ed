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

// BenchmarkAcquireComplete is a lease's whole life on the memory backend, by one caller with metadata and a result, on a fresh key each
// time. x-raw is its time divided by that of the two compare-and-sets alone, on the same bytes in the same run.
func BenchmarkAcquireComplete(b *testing.B) {
	store := memory.New()
	m, err := lease.NewManager(store)
	if err != nil {
		b.Fatal(err)
	}
	opt := lease.AcquireOptions{TTL: time.Hour, Metadata: json.RawMessage(`{"customer_id":"c_1","priority":"high"}`)}
	done := lease.Completion{Result: json.RawMessage(`{"messages":15,"resolution":"password reset"}`)}
	life := func(key string) {
		l, acquired, err := m.Acquire(ctx, key, opt)
		if err != nil || !acquired {
			b.Fatal(acquired, err)
		}
		if _, err := m.Complete(ctx, key, l.LeaseID, done); err != nil {
			b.Fatal(err)
		}
	}
	life("sample")
	sample, err := store.Get(ctx, "default/sample")
	if err != nil {
		b.Fatal(err)
	}
	raw := func(key string) {
		revision, err := store.CompareAndSet(ctx, key, 0, sample.Value, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := store.CompareAndSet(ctx, key, revision, sample.Value, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	compare(b, life, raw, func(key string) {
		for _, k := range []string{key, "default/" + key} {
			e, err := store.Get(ctx, k)
			if err != nil {
				b.Fatal(err)
			}
			if err := store.CompareAndDelete(ctx, k, e.Revision); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkPoll is the acquire of a key that another holds, as a poller repeats it.
func BenchmarkPoll(b *testing.B) {
	store := memory.New()
	m, err := lease.NewManager(store)
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := m.Acquire(ctx, "k", lease.AcquireOptions{}); err != nil {
		b.Fatal(err)
	}
	compare(b, func(string) {
		if _, acquired, err := m.Acquire(ctx, "k", lease.AcquireOptions{}); err != nil || acquired {
			b.Fatal(acquired, err)
		}
	}, func(string) {
		if _, err := store.Get(ctx, "default/k"); err != nil {
			b.Fatal(err)
		}
	}, func(string) {})
}

// BenchmarkDo is Do around a function that returns at once, on a fresh key each time; its twin is the Acquire and Complete that one would write by hand.
func BenchmarkDo(b *testing.B) {
	store := memory.New()
	m, err := lease.NewManager(store)
	if err != nil {
		b.Fatal(err)
	}
	type answer struct {
		Messages   int    `json:"messages"`
		Resolution string `json:"resolution"`
	}
	compare(b, func(key string) {
		if _, err := lease.Do(ctx, m, key, func(context.Context, *lease.Held) (answer, error) { return answer{15, "password reset"}, nil }); err != nil {
			b.Fatal(err)
		}
	}, func(key string) {
		key = "by hand " + key
		l, acquired, err := m.Acquire(ctx, key, lease.AcquireOptions{})
		if err != nil || !acquired {
			b.Fatal(acquired, err)
		}
		result, err := json.Marshal(answer{15, "password reset"})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Complete(ctx, key, l.LeaseID, lease.Completion{Result: result}); err != nil {
			b.Fatal(err)
		}
	}, func(key string) {
		for _, k := range []string{key, "by hand " + key} {
			if err := m.Forget(ctx, k); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// compare times ours and its raw twin in alternating runs of a thousand keys, so that both see the same machine, and
// clears up after each, so that it is not the growth of a map that is measured.
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
