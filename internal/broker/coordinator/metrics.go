package coordinator

import "github.com/prometheus/client_golang/prometheus"

// metrics of all shards together.
type metrics struct {
	batches prometheus.Counter
	records prometheus.Counter
	fenced  prometheus.Counter
	loads   prometheus.Histogram
	unknown prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		batches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_batches_total", Help: "Batches that group coordinators appended to the offsets topic.",
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_records_total", Help: "Records that group coordinators appended to the offsets topic.",
		}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_fenced_total", Help: "Times that a group coordinator dropped its state after a failure and loaded it again.",
		}),
		loads: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_coordinator_load_seconds", Help: "Time to load one partition of the offsets topic.",
			Buckets: []float64{0.001, 0.01, 0.1, 1, 10, 100},
		}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_unknown_records_total", Help: "Records of the offsets topic of a kind that is not known here and was passed over.",
		}),
	}
	if r != nil {
		r.MustRegister(m.batches, m.records, m.fenced, m.loads, m.unknown)
	}
	return m
}
