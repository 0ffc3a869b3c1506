package s3

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/metric"
)

// metrics of a store. Labels: op is one of the op constants; code is a status of HTTP that S3 uses, or "other", "timeout",
// "canceled" or "network".
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	retries  *prometheus.CounterVec
	hedges   *prometheus.CounterVec
	bytes    *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_objects_requests_total", Help: "Requests to the object store that ended, by operation and status of HTTP, or what there was in its place."}, []string{"op", "code"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weir_objects_request_seconds", Help: "Time from the begin of a request to the object store to the first byte of its answer, by operation.", Buckets: metric.SecondsBuckets()}, []string{"op"}),
		retries:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_objects_retries_total", Help: "Requests to the object store that repeat one that failed, by operation."}, []string{"op"}),
		hedges:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_objects_hedges_total", Help: "Reads for which a second request was due because the first byte was late, by outcome: won, lost, or denied by the budget."}, []string{"outcome"}),
		bytes:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_objects_bytes_total", Help: "Bytes of bodies moved to (out) and from (in) the object store, by direction."}, []string{"direction"}),
	}
	return m, metric.Register(r, m.requests, m.seconds, m.retries, m.hedges, m.bytes)
}

// codeLabel keeps the values of a label few, whatever the peer sends.
func codeLabel(status int) string {
	switch status {
	case 200, 204, 206, 301, 304, 307, 400, 403, 404, 405, 408, 409, 411, 412, 416, 429, 500, 501, 502, 503, 504:
		return strconv.Itoa(status)
	}
	return "other"
}
