package etcd

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/metric"
)

type metrics struct {
	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	retries  prometheus.Counter
	restarts prometheus.Counter
	cutOff   prometheus.Counter
	renewal  prometheus.Histogram
}

// newMetrics registers with r, unless that is nil.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "weir_meta_requests_total",
			Help: "Operations on the metadata store in etcd by kind and outcome: ok, refused (etcd's or the caller's fault is in the answer), unknown, ended (the caller gave up) or failed.",
		}, []string{"operation", "outcome"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_meta_request_duration_seconds", Help: "Time of operations on the metadata store in etcd, with all tries.",
			Buckets: metric.SecondsBuckets(),
		}, []string{"operation"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_meta_retries_total", Help: "Tries of operations on the metadata store in etcd after the first.",
		}),
		restarts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_meta_watch_restarts_total", Help: "Watches of the metadata store in etcd that had to be begun anew; nothing is missed by that.",
		}),
		cutOff: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_meta_watches_cut_off_total", Help: "Watches of the metadata store in etcd that ended because their reader was too slow or the past was forgotten.",
		}),
		renewal: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_meta_lease_renewal_duration_seconds", Help: "Time of renewals of leases in etcd that succeeded.",
			Buckets: metric.SecondsBuckets(),
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, metric.Register(r, m.all()...)
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.latency, m.retries, m.restarts, m.cutOff, m.renewal}
}

func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range m.all() {
		r.Unregister(c)
	}
}

// observe counts an operation that ends; it is deferred when one begins.
func (m *metrics) observe(operation string, began time.Time, err *error) {
	outcome := "failed"
	switch e := *err; {
	case e == nil:
		outcome = "ok"
	case errors.Is(e, meta.ErrUnknown):
		outcome = "unknown"
	case errors.Is(e, meta.ErrNotFound):
		outcome = "ok"
	case errors.Is(e, meta.ErrInvalid), errors.Is(e, meta.ErrLeaseNotFound), errors.Is(e, meta.ErrNoSpace), errors.Is(e, meta.ErrCompacted):
		outcome = "refused"
	case errors.Is(e, context.Canceled), errors.Is(e, context.DeadlineExceeded), errors.Is(e, meta.ErrClosed):
		outcome = "ended"
	}
	m.requests.WithLabelValues(operation, outcome).Inc()
	m.latency.WithLabelValues(operation).Observe(time.Since(began).Seconds())
}
