package sharepartition

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/share"
)

// metrics are named as Kafka's, in the form that JMX exporters give them.
type metrics struct {
	acks     [share.AckRenew + 1]prometheus.Counter
	acquired prometheus.Counter
	expired  prometheus.Counter
	loads    prometheus.Histogram
}

func newMetrics(r prometheus.Registerer, m *Manager) *metrics {
	acks := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kafka_server_sharegroupmetrics_recordacknowledgements_total", Help: "Records that share consumers acknowledged, by what they said of them.",
	}, []string{"acktype"})
	out := &metrics{
		acquired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_share_records_acquired_total", Help: "Records handed out to share consumers, each time counted.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kafka_server_sharepartitionmetrics_acquisitionlocktimeout_total", Help: "Records that share consumers held for too long.",
		}),
		loads: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kafka_server_sharegroupmetrics_partitionload_seconds", Help: "Time to load the state of a share partition.",
			Buckets: []float64{0.001, 0.01, 0.1, 1, 10},
		}),
	}
	for i, name := range []string{"Gap", "Accept", "Release", "Reject", "Renew"} {
		out.acks[i] = acks.WithLabelValues(name)
	}
	if r != nil {
		r.MustRegister(acks, out.acquired, out.expired, out.loads, newCollector(m))
	}
	return out
}

// acknowledged counts acknowledgements that were taken.
func (m *metrics) acknowledged(acks []share.Ack) {
	for i := range acks {
		a := &acks[i]
		if len(a.Types) == 1 {
			m.acks[a.Types[0]].Add(float64(a.Last - a.First + 1))
			continue
		}
		for _, t := range a.Types {
			m.acks[t].Inc()
		}
	}
}

// collector gives at the time of a scrape what is in flight.
type collector struct {
	manager                               *Manager
	inFlight, batches, held               *prometheus.Desc
	sessions, sessionPartitions, windowed *prometheus.Desc
}

func newCollector(m *Manager) *collector {
	byPartition := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"group", "topic", "partition"}, nil)
	}
	return &collector{
		manager:           m,
		inFlight:          byPartition("kafka_server_sharepartitionmetrics_inflightmessagecount", "Records between a share partition's start offset and the last one that was handed out. The topic is named by its id."),
		batches:           byPartition("kafka_server_sharepartitionmetrics_inflightbatchcount", "Stretches of those records that are in one state. The topic is named by its id."),
		held:              byPartition("weir_share_records_held", "Records that share consumers hold. The topic is named by its id."),
		sessions:          prometheus.NewDesc("kafka_server_sharesessioncache_sharesessionscount", "Share sessions.", nil, nil),
		sessionPartitions: prometheus.NewDesc("kafka_server_sharesessioncache_sharepartitionscount", "Partitions of all share sessions.", nil, nil),
		windowed:          prometheus.NewDesc("weir_share_partitions", "Share partitions that are loaded.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.inFlight, c.batches, c.held, c.sessions, c.sessionPartitions, c.windowed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.manager.mu.Lock()
	windows := make([]*window, 0, len(c.manager.windows))
	for _, w := range c.manager.windows {
		windows = append(windows, w)
	}
	c.manager.mu.Unlock()
	for _, w := range windows {
		if !w.serves() {
			continue
		}
		w.mu.Lock()
		length, held := w.records.InFlight()
		spans := w.records.Spans()
		w.mu.Unlock()
		labels := []string{w.key.Group, w.key.Topic.String(), strconv.Itoa(int(w.key.Partition))}
		gauge(c.inFlight, float64(length), labels...)
		gauge(c.batches, float64(spans), labels...)
		gauge(c.held, float64(held), labels...)
	}
	sessions, partitions := c.manager.sessions.count()
	gauge(c.sessions, float64(sessions))
	gauge(c.sessionPartitions, float64(partitions))
	gauge(c.windowed, float64(len(windows)))
}
