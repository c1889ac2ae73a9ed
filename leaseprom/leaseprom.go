// Package leaseprom counts and times the events of leases for Prometheus.
//
//	observe, err := leaseprom.New(prometheus.DefaultRegisterer)
//	...
//	m, err := lease.NewManager(store, lease.WithObserver(observe))
//
// The metrics:
//
//	lease_events_total                how many events there were
//	lease_operation_duration_seconds  how long the operations took that caused them, with the store
//	lease_held_duration_seconds       how long a lease had been held when it was completed, failed,
//	                                  released or lost
//	lease_events_dropped_total        how many events are missing from the others, because an
//	                                  observer was slow
//
// All but the last have the labels namespace and kind. A kind is a [lease.EventKind] such as
// "acquired" or "taken_over". The key is no label, because there are too many keys. To follow a
// single lease use [lease.WithLogger], or an observer of your own beside this one.
package leaseprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ailease/lease"
)

// New registers the metrics with r and returns an observer for [lease.WithObserver]. One observer
// serves any number of Managers. It is safe for concurrent use.
//
// The error is that of r, for example because the metrics are registered already.
func New(r prometheus.Registerer) (observe func(lease.Event), err error) {
	labels := []string{"namespace", "kind"}
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lease_events_total",
		Help: "Events of leases.",
	}, labels)
	dropped := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "lease_events_dropped_total",
		Help: "Events of leases that were not counted, because an observer was slow.",
	})
	took := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lease_operation_duration_seconds",
		Help:    "How long the operations took that caused the events.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 4, 10), // 50 µs, a memory store, to 13 s, an outage
	}, labels)
	held := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lease_held_duration_seconds",
		Help:    "How long a lease had been held when it was completed, failed, released or lost.",
		Buckets: prometheus.ExponentialBuckets(0.1, 4, 10), // to 7 hours
	}, labels)
	for _, c := range []prometheus.Collector{events, dropped, took, held} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return func(e lease.Event) {
		kind := string(e.Kind)
		events.WithLabelValues(e.Namespace, kind).Inc()
		dropped.Add(float64(e.Dropped))
		if e.Took > 0 {
			took.WithLabelValues(e.Namespace, kind).Observe(e.Took.Seconds())
		}
		switch e.Kind {
		case lease.EventCompleted, lease.EventFailed, lease.EventReleased, lease.EventLost:
			if e.Held > 0 {
				held.WithLabelValues(e.Namespace, kind).Observe(e.Held.Seconds())
			}
		}
	}, nil
}
