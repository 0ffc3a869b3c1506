package shard

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/broker/compaction"
)

// cleanerMetrics are those of log compaction. The ones that begin with kafka_ have the names and meanings that dashboards for
// Kafka know.
type cleanerMetrics struct {
	runs, readBytes, removedBytes, removedRecords prometheus.Counter

	seconds, recopied, mapUsed, delay, dirty, uncleanable, uncleanableBytes prometheus.Gauge

	// lookedAt is when logs were last looked at, in ms, 0 before the first time.
	lookedAt atomic.Int64
}

// cleanerLook is what a look at all logs has found.
type cleanerLook struct {
	at               time.Time
	ratio            float64
	overdue          time.Duration
	uncleanable      int
	uncleanableBytes int64
}

func newCleanerMetrics(r prometheus.Registerer, now func() time.Time) *cleanerMetrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_compaction_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "kafka_log_" + name, Help: help})
	}
	m := &cleanerMetrics{
		runs:           counter("runs_total", "Cleanings of compacted partitions."),
		readBytes:      counter("read_bytes_total", "Bytes of batches that cleanings have filtered."),
		removedBytes:   counter("removed_bytes_total", "Bytes of batches that cleanings have removed."),
		removedRecords: counter("removed_records_total", "Records that cleanings have removed."),

		seconds:          gauge("logcleaner_max_clean_time_secs", "Seconds that the last cleaning took."),
		recopied:         gauge("logcleaner_cleaner_recopy_percent", "Percent of the bytes that the last cleaning kept."),
		mapUsed:          gauge("logcleaner_max_buffer_utilization_percent", "Percent of the memory for keys that the last cleaning used."),
		delay:            gauge("logcleaner_max_compaction_delay_secs", "Longest time by which a partition's compaction is later than max.compaction.lag.ms."),
		dirty:            gauge("logcleanermanager_max_dirty_percent", "Dirty part of the dirtiest compacted partition, in percent."),
		uncleanable:      gauge("logcleanermanager_uncleanable_partitions_count", "Compacted partitions that are not cleaned any more, since damage was met."),
		uncleanableBytes: gauge("logcleanermanager_uncleanable_bytes", "Bytes of these partitions that wait for a cleaning."),
	}
	if r == nil {
		return m
	}
	r.MustRegister(m.runs, m.readBytes, m.removedBytes, m.removedRecords, m.seconds, m.recopied, m.mapUsed, m.delay, m.dirty, m.uncleanable, m.uncleanableBytes,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{ //nolint:promlinter // the name that dashboards for Kafka know
			Name: "kafka_log_logcleanermanager_time_since_last_run_ms", Help: "Milliseconds since the cleaner last looked for something to do.",
		}, func() float64 {
			at := m.lookedAt.Load()
			if at == 0 {
				return 0
			}
			return float64(now().UnixMilli() - at)
		}))
	return m
}

func (m *cleanerMetrics) looked(l cleanerLook) {
	m.lookedAt.Store(l.at.UnixMilli())
	m.dirty.Set(100 * l.ratio)
	m.delay.Set(l.overdue.Seconds())
	m.uncleanable.Set(float64(l.uncleanable))
	m.uncleanableBytes.Set(float64(l.uncleanableBytes))
}

func (m *cleanerMetrics) mapFull(part float64) { m.mapUsed.Set(100 * part) }

func (m *cleanerMetrics) cleaned(took time.Duration, s compaction.Stats) {
	m.runs.Inc()
	m.readBytes.Add(float64(s.Bytes))
	m.removedBytes.Add(float64(max(0, s.Bytes-s.BytesKept)))
	m.removedRecords.Add(float64(s.Records - s.RecordsKept))
	m.seconds.Set(took.Seconds())
	if s.Bytes > 0 {
		m.recopied.Set(100 * float64(s.BytesKept) / float64(s.Bytes))
	}
}
