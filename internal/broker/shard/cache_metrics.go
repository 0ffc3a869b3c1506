package shard

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/blockcache"
	"github.com/weir-stream/weir/internal/broker/segment"
)

// registerCaches shows what the caches of open objects and of blocks count themselves, as it is when metrics are asked for.
func registerCaches(r prometheus.Registerer, segments *segment.Cache, blocks *blockcache.Cache) {
	if r == nil {
		return
	}
	counter := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "weir_storage_" + name, Help: help}, func() float64 { return float64(value()) })
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_storage_" + name, Help: help}, func() float64 { return float64(value()) })
	}
	r.MustRegister(
		counter("block_cache_hits_total", "Reads of blocks that were in memory, or on their way there.", func() int64 { hits, _ := blocks.Stats(); return hits }),
		counter("block_cache_misses_total", "Reads of blocks that had to be fetched.", func() int64 { _, misses := blocks.Stats(); return misses }),
		counter("object_cache_hits_total", "Uses of objects that were open.", func() int64 { return segments.Stats().Hits }),
		counter("object_cache_misses_total", "Uses of objects that had to be opened.", func() int64 { return segments.Stats().Misses }),
		counter("object_cache_evictions_total", "Objects that were closed to make room for others.", func() int64 { return segments.Stats().Evictions }),
		gauge("objects_open", "Objects that are open.", func() int { return segments.Stats().Open }),
		gauge("objects_in_use", "Objects that are being read.", func() int { return segments.Stats().InUse }),
	)
}
