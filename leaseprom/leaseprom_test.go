package leaseprom_test

import (
	"context"
	"fmt"
	"log"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ailease/lease"
	"github.com/ailease/lease/backends/memory"
	"github.com/ailease/lease/leaseprom"
	"github.com/ailease/lease/leasetest"
)

func Example() {
	registry := prometheus.NewRegistry() // or prometheus.DefaultRegisterer
	observe, err := leaseprom.New(registry)
	if err != nil {
		log.Fatal(err)
	}
	clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	m, err := lease.NewManager(memory.New(), lease.WithObserver(observe), lease.WithClock(clock))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for _, chat := range []string{"chat_1", "chat_2", "chat_1"} {
		answer, err := lease.Do(ctx, m, chat, &lease.DoOptions{TTL: time.Hour}, func(context.Context) (string, error) {
			clock.Advance(30 * time.Second) // the work
			return "answered", nil
		})
		if err != nil {
			log.Fatal(err)
		}
		_ = answer
	}

	m.Flush(ctx)                       // metrics may be a moment late, and this program ends at once
	families, err := registry.Gather() // or promhttp.Handler() in a server
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch {
			case len(m.GetLabel()) == 0:
				fmt.Println(f.GetName(), m.GetCounter().GetValue())
			case m.GetCounter() != nil:
				fmt.Println(f.GetName(), m.GetLabel()[0].GetValue(), m.GetCounter().GetValue())
			case m.GetHistogram() != nil:
				fmt.Println(f.GetName(), m.GetLabel()[0].GetValue(), m.GetHistogram().GetSampleSum())
			}
		}
	}
	// Output:
	// lease_events_dropped_total 0
	// lease_events_total acquired 2
	// lease_events_total completed 2
	// lease_held_duration_seconds completed 60
}

// gathered is every metric by its name and labels. That of a histogram is its sum.
func gathered(t *testing.T, r prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "lease_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return all
}

// TestEveryKindIsALabel: the kinds of events, and for which of them the lease had been held.
func TestEveryKindIsALabel(t *testing.T) {
	registry := prometheus.NewRegistry()
	observe, err := leaseprom.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	clock := leasetest.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	m, err := lease.NewManager(memory.New(), lease.WithClock(clock), lease.WithNamespace("ns"),
		lease.WithObserver(func(lease.Event) { own++ }), lease.WithObserver(observe))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	acquire := func(key string, opts *lease.AcquireOptions) string {
		t.Helper()
		l, acquired, err := m.Acquire(ctx, key, opts)
		if err != nil || !acquired {
			t.Fatalf("acquire %s: %t, %v", key, acquired, err)
		}
		return l.LeaseID
	}
	must := func(_ lease.Lease, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	id := acquire("a", nil)
	must(m.Extend(ctx, "a", id, nil))
	clock.Advance(time.Second)
	must(m.Release(ctx, "a", id))
	id = acquire("a", nil) // taken over
	clock.Advance(2 * time.Second)
	must(m.Fail(ctx, "a", id, lease.Failure{Code: "e", Retryable: true}))
	acquire("a", &lease.AcquireOptions{InputHash: "old"})
	id = acquire("a", &lease.AcquireOptions{InputHash: "new", Replace: true})
	clock.Advance(4 * time.Second)
	must(m.Complete(ctx, "a", id, lease.Completion{}))
	if err := m.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	want := map[string]float64{
		"events_dropped_total":               0,
		"events_total acquired ns":           2,
		"events_total extended ns":           1,
		"events_total released ns":           1,
		"events_total taken_over ns":         1,
		"events_total failed ns":             1,
		"events_total replaced ns":           1,
		"events_total completed ns":          1,
		"held_duration_seconds released ns":  1,
		"held_duration_seconds failed ns":    2,
		"held_duration_seconds completed ns": 4,
	}
	if got := gathered(t, registry); !maps.Equal(got, want) {
		t.Errorf("metrics are\n%v, want\n%v", got, want)
	}
	if own != 8 {
		t.Errorf("the observer beside this one saw %d events, want 8", own)
	}
}

func TestOneObserverServesSeveralManagers(t *testing.T) {
	registry := prometheus.NewRegistry()
	observe, err := leaseprom.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, namespace := range []string{"one", "two"} {
		m, err := lease.NewManager(memory.New(), lease.WithObserver(observe), lease.WithNamespace(namespace))
		if err != nil {
			t.Fatal(err)
		}
		if _, acquired, err := m.Acquire(t.Context(), "k", nil); err != nil || !acquired {
			t.Fatalf("%t, %v", acquired, err)
		}
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got := gathered(t, registry)
	if got["events_total acquired one"] != 1 || got["events_total acquired two"] != 1 {
		t.Errorf("metrics are %v", got)
	}
}

func TestDroppedEventsAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	observe, err := leaseprom.New(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{0, 3, 0, 4} {
		observe(lease.Event{Kind: lease.EventAcquired, Namespace: "ns", Dropped: n})
	}
	if got := gathered(t, registry); got["events_dropped_total"] != 7 || got["events_total acquired ns"] != 4 {
		t.Errorf("metrics are %v", got)
	}
}

func TestNewTwiceOnOneRegistry(t *testing.T) {
	r := prometheus.NewRegistry()
	if _, err := leaseprom.New(r); err != nil {
		t.Fatal(err)
	}
	if _, err := leaseprom.New(r); err == nil {
		t.Error("no error")
	}
}
