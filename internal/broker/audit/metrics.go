package audit

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	events            *prometheus.CounterVec
	dropped, failures prometheus.Counter
}

func newMetrics(r prometheus.Registerer, waiting func() float64) *metrics {
	m := &metrics{
		events:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_audit_events_total", Help: "Audit events that are durable, by category."}, []string{"category"}),
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_audit_dropped_total", Help: "Audit events that were dropped because too many were waiting."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_audit_failures_total", Help: "Tries to write audit events that failed."}),
	}
	if r != nil {
		r.MustRegister(m.events, m.dropped, m.failures, prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Name: "weir_audit_waiting_events", Help: "Audit events that wait to be written."}, waiting,
		))
	}
	return m
}
