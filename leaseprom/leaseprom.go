// Package leaseprom counts and times the events of leases for Prometheus.
//
//	observe, err := leaseprom.New(prometheus.DefaultRegisterer)
//	...
//	m, err := lease.NewManager(store, lease.WithObserver(observe))
//
// The metrics, each by namespace and kind of [lease.Event] ("acquired", "taken over", "completed", ...):
//
//	lease_events_total                  how many events there were
//	lease_operation_duration_seconds    how long the operations took that brought them about, the store's time included
//	lease_held_duration_seconds         for how long a lease had been held when it was completed, failed or lost
//
// A key is no label: there are too many. For a trace of a single lease use [lease.WithLogger], or an observer of your own beside this one.
package leaseprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ailease/lease"
)

// New registers the metrics with r and returns what is to be given to [lease.WithObserver], of as many Managers as you like. It is safe for concurrent use. The error is r's: of
// metrics that are registered already, for example.
func New(r prometheus.Registerer) (observe func(lease.Event), err error) {
	labels := []string{"namespace", "kind"}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lease_events_total",
		Help: "Events of leases.",
	}, labels)
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lease_operation_duration_seconds",
		Help:    "How long the operations took that brought the events about.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10), // 50 µs, a store in memory, to 13 s, one that went away
	}, labels)
	held := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lease_held_duration_seconds",
		Help:    "For how long a lease had been held when it was completed, failed or lost.",
		Buckets: prometheus.ExponentialBuckets(0.1, 4, 10), // to 7 hours
	}, labels)
	for _, c := range []prometheus.Collector{events, took, held} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return func(e lease.Event) {
		kind := string(e.Kind)
		events.WithLabelValues(e.Namespace, kind).Inc()
		if e.Took > 0 {
			took.WithLabelValues(e.Namespace, kind).Observe(e.Took.Seconds())
		}
		switch e.Kind {
		case lease.EventCompleted, lease.EventFailed, lease.EventLost:
			if e.Held > 0 {
				held.WithLabelValues(e.Namespace, kind).Observe(e.Held.Seconds())
			}
		}
	}, nil
}
