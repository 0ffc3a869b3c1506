package app

import (
	"math"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Settings of log compaction.
var (
	CleanerEnable = config.Bool("log.cleaner.enable", true,
		"Whether topics with cleanup.policy=compact are compacted.")
	CleanerBackoff = config.Millis("log.cleaner.backoff.ms", 15*time.Second, config.AtLeast(0), config.Dynamic,
		"Time between looks for logs to compact when there is none.")
	CleanerMapBytes = config.Long("log.cleaner.dedupe.buffer.size", 128<<20, config.AtLeast(1<<20), config.Dynamic,
		"Memory, in bytes, for the keys of a compaction: 24 bytes a key. A log with more keys is compacted in several goes.")
	CleanerMapFullness = config.Double("log.cleaner.io.buffer.load.factor", 0.9, config.Dynamic,
		"Part of the memory for keys that is used before a go ends; at most 1.")
	CleanerBytesPerSecond = config.Double("log.cleaner.io.max.bytes.per.second", math.MaxFloat64, config.Dynamic,
		"Bytes a second that compaction reads and writes together.")
)

// leastFullness lets a compaction go on by some keys whatever the setting says.
const leastFullness = 0.01

// cleanerOptions reads the settings as they are now.
func cleanerOptions(v *config.Values) shard.CleanerOptions {
	o := shard.CleanerOptions{
		Disabled: !CleanerEnable.Get(v), Backoff: max(CleanerBackoff.Get(v), time.Millisecond), MapBytes: CleanerMapBytes.Get(v),
		MapFullness: min(max(CleanerMapFullness.Get(v), leastFullness), 1), // Kafka takes any number
	}
	if rate := CleanerBytesPerSecond.Get(v); rate < math.MaxFloat64 {
		o.BytesPerSecond = max(rate, 1)
	}
	return o
}

// segmentBytesOf is the size of the virtual segments of a topic. Those of topics that coordinators replay are kept small: what is
// in the active one is not compacted, and virtual segments cost nothing.
func segmentBytesOf(name string, c *topics.LogConfig) int64 {
	if kafka.IsInternalTopic(name) {
		return min(int64(c.SegmentBytes), internalSegmentBytes)
	}
	return int64(c.SegmentBytes)
}

const internalSegmentBytes = 4 << 20
