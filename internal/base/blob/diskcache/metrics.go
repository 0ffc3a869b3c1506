package diskcache

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	hits, misses, damaged, failures prometheus.Counter
	bytes, off                      prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_segment_cache_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_segment_cache_" + name, Help: help})
	}
	m := &metrics{
		hits:     counter("hits_total", "Blocks of segments that were read from the cache on the local disk."),
		misses:   counter("misses_total", "Blocks of segments that were read from the object store."),
		damaged:  counter("damaged_total", "Blocks in the cache on the local disk that were not what was written there; they were not used."),
		failures: counter("failures_total", "Failures of the disk of the segment cache."),
		bytes:    gauge("bytes", "Bytes that the segment cache holds on the local disk."),
		off:      gauge("off", "1 when the segment cache was switched off because its disk failed."),
	}
	if r != nil {
		r.MustRegister(m.hits, m.misses, m.damaged, m.failures, m.bytes, m.off)
	}
	return m
}
