package gate

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of all gates of a process. Labels are the services, the routes of their tables, and classes of status.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_http_requests_total", Help: "Requests that platform services have answered, by service, route and status."}, []string{"service", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_http_request_seconds", Help: "Time from a request to the end of its answer, by service.", Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"service"}),
	}
	if r != nil {
		r.MustRegister(m.requests, m.seconds)
	}
	return m
}

func (m *Metrics) count(service, route string, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(service, route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(service).Observe(took.Seconds())
}
