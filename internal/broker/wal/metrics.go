package wal

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of one Log.
type metrics struct {
	bytes       prometheus.Counter
	frames      prometheus.Counter
	syncSeconds prometheus.Histogram
	groupBytes  prometheus.Histogram
	files       prometheus.Gauge
	spareFiles  prometheus.Gauge
	noSpace     prometheus.Counter
}

// newMetrics makes the metrics and registers them, unless reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_bytes_total",
			Help: "Bytes written to the write-ahead log, with headers, footers and padding.",
		}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_frames_total",
			Help: "Frames made durable; each is one write and one sync.",
		}),
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_wal_sync_seconds",
			Help: "Time to write and sync one frame.", Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}),
		groupBytes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "weir_wal_group_bytes",
			Help: "Record batch bytes in one frame.", Buckets: prometheus.ExponentialBuckets(256, 4, 10),
		}),
		files: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_wal_files",
			Help: "Files in the chain, with those prepared ahead.",
		}),
		spareFiles: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "weir_wal_spare_files",
			Help: "Trimmed files kept for reuse.",
		}),
		noSpace: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "weir_wal_no_space_refusals_total",
			Help: "Appends and admissions refused because no prepared file had room.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.bytes, m.frames, m.syncSeconds, m.groupBytes, m.files, m.spareFiles, m.noSpace)
	}
	return m
}
