package rest

import "github.com/prometheus/client_golang/prometheus"

// Metrics of a server. Requests and their time are counted by the gate, for all services. Labels are few: how records come or go.
type metrics struct {
	produced  *prometheus.CounterVec // by
	refused   *prometheus.CounterVec // by
	delivered *prometheus.CounterVec // by
	streams   *prometheus.GaugeVec   // as
}

// Values of the label "by".
const (
	byV2       = "v2"
	byV3       = "v3"
	byEvents   = "cloudevents"
	byWebhook  = "webhook"
	byConsumer = "consumer"
	byStream   = "stream"
)

// newMetrics registers the metrics, if there is a registerer. instances tells how many consumers there are.
func newMetrics(r prometheus.Registerer, instances func() int) *metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"by"})
	}
	m := &metrics{
		produced:  counter("weir_rest_records_produced_total", "Records that the REST proxy has written for its callers, by API."),
		refused:   counter("weir_rest_records_failed_total", "Records that callers sent to the REST proxy and that Kafka did not take, by API."),
		delivered: counter("weir_rest_records_delivered_total", "Records that the REST proxy has given to readers, by consumers of v2 and by streams."),
		streams:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "weir_rest_streams", Help: "Streams of records that are open, by their kind."}, []string{"as"}),
	}
	if r != nil {
		r.MustRegister(m.produced, m.refused, m.delivered, m.streams, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "weir_rest_consumers", Help: "Consumer instances of v2 that callers have in this REST proxy.",
		}, func() float64 { return float64(instances()) }))
	}
	return m
}

// wrote counts records that were sent to Kafka.
func (m *metrics) wrote(by string, errs ...error) {
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	m.produced.WithLabelValues(by).Add(float64(len(errs) - failed))
	m.refused.WithLabelValues(by).Add(float64(failed))
}

// opened counts a stream until closed is called.
func (m *metrics) opened(as string) (closed func()) {
	g := m.streams.WithLabelValues(as)
	g.Inc()
	return g.Dec
}
