package quota

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives the rates of clients that have quotas, under the names that dashboards for Kafka ask for. There is a
// series for each rate that was used within its windows.
type Collector struct {
	manager *Manager
	now     func() time.Time

	rate, throttle *prometheus.Desc
}

// NewCollector returns the collector of a manager.
func NewCollector(m *Manager, now func() time.Time) *Collector {
	labels := []string{"resource", "user", "clientId"}
	return &Collector{
		manager: m, now: now,
		rate: prometheus.NewDesc("kafka_server_quota_rate", "What a client with a quota does a second: bytes of Produce and Fetch, "+
			"percent of a processor of Request, partitions of ControllerMutation.", labels, nil),
		throttle: prometheus.NewDesc("kafka_server_quota_throttle_time", "Milliseconds for which the last request of a client with a quota was held back.", labels, nil), //nolint:promlinter // the name that dashboards for Kafka know
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.rate
	ch <- c.throttle
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.manager.snapshot(c.now()) {
		labels := []string{s.key.kind.String(), s.key.sharer.User, s.key.sharer.ID}
		ch <- prometheus.MustNewConstMetric(c.rate, prometheus.GaugeValue, s.rate, labels...)
		ch <- prometheus.MustNewConstMetric(c.throttle, prometheus.GaugeValue, s.throttled, labels...)
	}
}

type sample struct {
	key             rateKey
	rate, throttled float64
}

// snapshot is what the rates of users and client ids are now.
func (m *Manager) snapshot(now time.Time) []sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	var out []sample
	for k, r := range m.rates {
		if k.ip != "" {
			continue
		}
		w := m.windows
		if k.kind == Mutation {
			w = m.mutationWindows
		}
		out = append(out, sample{k, r.rate.perSecond(w, now), r.throttled})
	}
	return out
}
