package leaseprom_test

import (
	"context"
	"fmt"
	"log"
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
	for _, chat := range []string{"chat_1", "chat_2", "chat_1"} {
		answer, err := lease.Do(context.Background(), m, chat, func(context.Context, *lease.Held) (string, error) {
			clock.Advance(30 * time.Second) // the work
			return "answered", nil
		})
		if err != nil {
			log.Fatal(err)
		}
		_ = answer
	}

	families, err := registry.Gather() // or promhttp.Handler() in a server
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			kind := m.GetLabel()[0].GetValue()
			switch {
			case m.GetCounter() != nil:
				fmt.Println(f.GetName(), kind, m.GetCounter().GetValue())
			case m.GetHistogram() != nil:
				fmt.Println(f.GetName(), kind, m.GetHistogram().GetSampleSum())
			}
		}
	}
	// Output:
	// lease_events_total acquired 2
	// lease_events_total completed 2
	// lease_held_duration_seconds completed 60
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
