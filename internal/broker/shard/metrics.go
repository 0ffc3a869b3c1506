package shard

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	recovery    prometheus.Gauge
	checkpoint  prometheus.Histogram
	cuts        prometheus.Counter
	merges      prometheus.Counter
	objectBytes prometheus.Counter
	retained    prometheus.Counter
	extents     prometheus.Gauge
	corrupt     prometheus.Counter
	cleaner     *cleanerMetrics
	tier        *tierMetrics
}

func newMetrics(r prometheus.Registerer, now func() time.Time) *metrics {
	m := &metrics{
		cleaner:     newCleanerMetrics(r, now),
		tier:        newTierMetrics(r),
		recovery:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_storage_recovery_seconds", Help: "Time that the last start needed to recover storage."}),
		checkpoint:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "weir_storage_checkpoint_seconds", Help: "Time of a checkpoint of all shards.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
		cuts:        prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_cuts_total", Help: "L1 objects cut from the write-ahead log."}),
		merges:      prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_merges_total", Help: "Merges and rewrites of objects."}),
		objectBytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_object_written_bytes_total", Help: "Bytes written to L1 and L2 objects; with those of the write-ahead log they give the write amplification."}),
		retained:    prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_retention_total", Help: "Times that retention raised a log start offset."}),
		extents:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_storage_extents", Help: "L0 extents in the index."}),
		corrupt:     prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_storage_corrupt_total", Help: "Damaged stretches found and quarantined."}),
	}
	if r != nil {
		r.MustRegister(m.recovery, m.checkpoint, m.cuts, m.merges, m.objectBytes, m.retained, m.extents, m.corrupt)
	}
	return m
}
