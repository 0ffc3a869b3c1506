package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/sim/cost"
)

// report is what a run found.
type report struct {
	o                     *options
	brokers               int
	created, elapsed      time.Duration
	before, after, loaded sizes // metadata without topics, with them, after the load
	objects               sizes
	from, to              metrics
	acks                  []time.Duration // sorted
}

// since is how much a counter went up, a second.
func (r *report) since(name string) float64 { return (r.to[name] - r.from[name]) / r.elapsed.Seconds() }

func (r *report) write(w io.Writer) {
	partitions := float64(r.o.topics * r.o.partitions)
	line := func(what, format string, values ...any) {
		fmt.Fprintf(w, "| %s | %s |\n", what, fmt.Sprintf(format, values...))
	}
	line(fmt.Sprintf("%d brokers, %d topics of %d partitions, %d records of %d B a second, evenly, for %.0f s", r.brokers, r.o.topics, r.o.partitions, r.o.rate, r.o.bytes, r.elapsed.Seconds()), "")
	fmt.Fprintln(w, "|---|---|")
	line("all topics created in", "%.1f s", r.created.Seconds())
	line("metadata in etcd after the load", "%.1f KB: %s", kilo(r.loaded.sum()), r.loaded.by(partitions))
	line("a partition's share of it; of what creating topics added", "%.1f B; %.1f B", float64(r.loaded.sum())/partitions, float64(r.after.sum()-r.before.sum())/partitions)
	line("objects at the end", "%s", r.objects.by(partitions))

	frames, body := r.since("weir_wal_frames_total"), r.since("weir_wal_group_bytes_sum")
	put := r.since("weir_wal_sync_seconds_sum") / frames
	line("PUTs of the log a second", "%.1f, %.1f a broker; one takes %.1f ms on average", frames, frames/float64(r.brokers), put*1000)
	line("bytes of batches in one, and around them for each batch", "%.0f, %.0f", body/frames, (r.since("weir_wal_bytes_total")-body)/float64(r.o.rate))
	line("requests a second", "%s", r.requests())
	line("resident memory of a broker", "%.0f MiB", r.to["process_resident_memory_bytes"]/float64(r.brokers)/(1<<20))
	at := func(q float64) time.Duration {
		return r.acks[int(q*float64(len(r.acks)-1))].Round(100 * time.Microsecond)
	}
	line("acknowledged after, p50, p99, p99.9", "%v, %v, %v", at(0.5), at(0.99), at(0.999))
	r.extrapolate(line, (r.since("weir_wal_bytes_total")-body)/float64(r.o.rate), float64(r.after.sum()-r.before.sum())/partitions)
}

func kilo(n int64) float64 { return float64(n) / 1000 }

// by lists the parts of s, with what a partition has of each.
func (s sizes) by(partitions float64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s)) {
		parts = append(parts, fmt.Sprintf("%s %d with %.1f KB (%.1f B)", name, s[name].count, kilo(s[name].bytes), float64(s[name].bytes)/partitions))
	}
	return strings.Join(parts, ", ")
}

func (r *report) requests() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.to)) {
		if op, ok := strings.CutPrefix(name, "weir_objects_requests_total "); ok && r.since(name) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.2f", op, r.since(name)))
		}
	}
	return strings.Join(parts, ", ")
}

// extrapolate puts what was measured of a partition into the cluster of docs/design/0020 with a million of them.
func (r *report) extrapolate(line func(what, format string, values ...any), footer, metadata float64) {
	prices := cost.DefaultPrices()
	for _, brokers := range []int{100, 10} {
		c := cost.Reference()
		c.Brokers, c.Partitions = brokers, 1_000_000
		if brokers == 10 {
			c.Shards = 256
		}
		b := c.Price(prices)
		line(fmt.Sprintf("1 GB/s, 1,000,000 partitions, %d brokers, by internal/sim/cost", brokers),
			"PUTs a second: log %.0f, L1 %.0f, L2 %.0f, checkpoints %.0f: %.0f dollars a month; %.0f B of a partition in an object, %.0f %% more for footers; %.1f MB in etcd for topics",
			b.WALPutsPerSecond, b.L1PutsPerSecond, b.L2PutsPerSecond, b.CheckpointPutsPerSecond, b.WALPuts+b.L1Puts+b.L2Puts+b.CheckpointPuts,
			c.FlushBytesPerPartition(), 100*footer/c.FlushBytesPerPartition(), metadata)
	}
}
