package api

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts requests and, by topic, what they carried. The kafka_server_* names are those of the dashboards that
// people have for Kafka.
type metrics struct {
	requests *prometheus.HistogramVec

	messagesIn, bytesIn, bytesOut  *prometheus.CounterVec
	produceRequests, fetchRequests *prometheus.CounterVec
	failedProduces, failedFetches  *prometheus.CounterVec

	mu      sync.RWMutex
	byTopic map[string]*topicMetrics
}

// topicMetrics are the counters of one topic, found once.
type topicMetrics struct {
	messagesIn, bytesIn, bytesOut, produces, fetches, failedProduces, failedFetches prometheus.Counter
}

func newMetrics(r prometheus.Registerer) *metrics {
	byTopic := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kafka_server_brokertopicmetrics_" + name + "_total", Help: help}, []string{"topic"})
	}
	m := &metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "weir_api_request_seconds", Help: "Time from decoding a request to its answer, waits included.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"api"}),
		messagesIn:      byTopic("messagesin", "Records produced."),
		bytesIn:         byTopic("bytesin", "Bytes of batches produced."),
		bytesOut:        byTopic("bytesout", "Bytes of batches fetched."),
		produceRequests: byTopic("totalproducerequests", "Produce requests that named the topic."),
		fetchRequests:   byTopic("totalfetchrequests", "Partitions of the topic answered to fetches."),
		failedProduces:  byTopic("failedproducerequests", "Produce requests refused for the topic."),
		failedFetches:   byTopic("failedfetchrequests", "Partitions of the topic answered to fetches with an error."),
		byTopic:         map[string]*topicMetrics{},
	}
	if r != nil {
		r.MustRegister(m.requests, m.messagesIn, m.bytesIn, m.bytesOut, m.produceRequests, m.fetchRequests, m.failedProduces, m.failedFetches)
	}
	return m
}

func (m *metrics) topic(name string) *topicMetrics {
	m.mu.RLock()
	t := m.byTopic[name]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t = m.byTopic[name]; t == nil {
		t = &topicMetrics{
			m.messagesIn.WithLabelValues(name), m.bytesIn.WithLabelValues(name), m.bytesOut.WithLabelValues(name), m.produceRequests.WithLabelValues(name),
			m.fetchRequests.WithLabelValues(name), m.failedProduces.WithLabelValues(name), m.failedFetches.WithLabelValues(name),
		}
		m.byTopic[name] = t
	}
	return t
}

// forget drops the series of a deleted topic.
func (m *metrics) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byTopic, name)
	for _, v := range []*prometheus.CounterVec{m.messagesIn, m.bytesIn, m.bytesOut, m.produceRequests, m.fetchRequests, m.failedProduces, m.failedFetches} {
		v.DeleteLabelValues(name)
	}
}

func (m *metrics) produced(topic string, records, bytes int64, failed bool) {
	t := m.topic(topic)
	t.produces.Inc()
	t.messagesIn.Add(float64(records))
	t.bytesIn.Add(float64(bytes))
	if failed {
		t.failedProduces.Inc()
	}
}

func (m *metrics) fetched(topic string, bytes int64, failed bool) {
	t := m.topic(topic)
	t.fetches.Inc()
	t.bytesOut.Add(float64(bytes))
	if failed {
		t.failedFetches.Inc()
	}
}

// Forget drops the series of deleted topics.
func (s *Server) Forget(topics []string) {
	for _, t := range topics {
		s.metrics.forget(t)
	}
	if s.contracts != nil {
		s.contracts.Forget(topics)
	}
}
