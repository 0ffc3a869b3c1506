package coordinator

import "github.com/prometheus/client_golang/prometheus"

// metrics of all shards of a runtime together.
type metrics struct {
	batches prometheus.Counter
	records prometheus.Counter
	fenced  prometheus.Counter
	loads   prometheus.Histogram
	unknown prometheus.Counter
	active  prometheus.Gauge
}

func newMetrics(r prometheus.Registerer, name string) *metrics {
	labels := prometheus.Labels{"coordinator": name}
	m := &metrics{
		batches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_batches_total", ConstLabels: labels, Help: "Batches that coordinators appended to their topic.",
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_records_total", ConstLabels: labels, Help: "Records that coordinators appended to their topic.",
		}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_fenced_total", ConstLabels: labels, Help: "Times that a coordinator dropped its state after a failure and loaded it again.",
		}),
		loads: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_coordinator_load_seconds", ConstLabels: labels, Help: "Time to load one partition of a coordinator's topic.",
			Buckets: []float64{0.001, 0.01, 0.1, 1, 10, 100},
		}),
		unknown: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_coordinator_unknown_records_total", ConstLabels: labels, Help: "Records of a coordinator's topic of a kind that is not known here and was passed over.",
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_coordinator_partitions", ConstLabels: labels, Help: "Partitions of a coordinator's topic that this broker has loaded and serves.",
		}),
	}
	if r != nil {
		r.MustRegister(m.batches, m.records, m.fenced, m.loads, m.unknown, m.active)
	}
	return m
}
