package topics

import (
	"errors"
	"math"

	"github.com/weir-stream/weir/internal/base/config"
)

// Settings of topics themselves.
var (
	NumPartitions = config.Int("num.partitions", 1, config.AtLeast(1),
		"Partitions of a topic that is created without saying how many.")
	DefaultReplicationFactor = config.Int("default.replication.factor", 1,
		"Replication factor of a topic that is created without one. Weir leaves copies to its store, so only 1 can be had.")
	DeleteTopicEnable = config.Bool("delete.topic.enable", true, "Whether clients may delete topics.")
	MaxPartitions     = config.Int("max.partitions.per.broker", 200_000, config.AtLeast(1),
		"Most partitions of all topics together, divided by the number of brokers. Weir's own.")
)

// Settings that are the defaults of topic configs. Their names, defaults and limits are Kafka's.
var (
	LogSegmentBytes = config.Int("log.segment.bytes", 1<<30, config.AtLeast(1<<20), config.Topic("segment.bytes"), config.Dynamic,
		"Size, in bytes, at which retention and compaction treat a stretch of a partition's log as finished.")
	LogRollHours = config.Int("log.roll.hours", 24*7, config.AtLeast(1), "Age of a finished stretch of the log, in hours.")
	LogRollMs    = config.Long("log.roll.ms", 0, config.NoDefault, config.Fallback(LogRollHours, hourMs), config.Topic("segment.ms"), config.Dynamic,
		"Age, in milliseconds, after which a stretch of the log counts as finished even if it is small.")
	LogRollJitterHours = config.Int("log.roll.jitter.hours", 0, config.AtLeast(0), "Most hours by which the age is shortened at random.")
	LogRollJitterMs    = config.Long("log.roll.jitter.ms", 0, config.NoDefault, config.Fallback(LogRollJitterHours, hourMs),
		config.Topic("segment.jitter.ms"), config.Dynamic, "Most milliseconds by which the age is shortened at random, so that logs do not finish at the same time.")
	LogRetentionHours   = config.Int("log.retention.hours", 24*7, "Hours that records are kept; -1 is for ever.")
	LogRetentionMinutes = config.Int("log.retention.minutes", 0, config.NoDefault, config.Fallback(LogRetentionHours, 60), "Minutes that records are kept; -1 is for ever.")
	LogRetentionMs      = config.Long("log.retention.ms", 0, config.NoDefault, config.Fallback(LogRetentionMinutes, minuteMs),
		config.Fallback(LogRetentionHours, hourMs), config.Topic("retention.ms"), config.Dynamic, "Milliseconds that records are kept; -1 is for ever.")
	LogRetentionBytes = config.Long("log.retention.bytes", -1, config.Topic("retention.bytes"), config.Dynamic,
		"Bytes that a partition keeps before it drops its oldest records; -1 is without limit.")
	LogCleanupPolicy = config.List("log.cleanup.policy", []string{"delete"}, config.OneOf("compact", "delete"), config.Topic("cleanup.policy"), config.Dynamic,
		"What happens to old records: delete drops them by age and size, compact keeps the last of each key, none keeps all.")
	LogCompressionType = config.String("compression.type", "producer", compressionTypes, config.Topic("compression.type"), config.Dynamic,
		"Compression of stored batches; producer leaves them as they come.")
	LogGzipLevel = config.Int("compression.gzip.level", -1, gzipLevels, config.Topic("compression.gzip.level"), config.Dynamic,
		"Effort of gzip where compression.type asks for it; -1 is the codec's own choice.")
	LogLZ4Level = config.Int("compression.lz4.level", 9, config.Range(1, 17), config.Topic("compression.lz4.level"), config.Dynamic,
		"Effort of lz4 where compression.type asks for it.")
	LogZstdLevel = config.Int("compression.zstd.level", 3, config.Range(-131072, 22), config.Topic("compression.zstd.level"), config.Dynamic,
		"Effort of zstd where compression.type asks for it.")
	MessageMaxBytes = config.Int("message.max.bytes", 1<<20+12, config.AtLeast(0), config.Topic("max.message.bytes"), config.Dynamic,
		"Largest batch of records, in bytes, compressed and with its header.")
	LogTimestampType = config.String("log.message.timestamp.type", "CreateTime", timestampTypes, config.Topic("message.timestamp.type"), config.Dynamic,
		"Whose clock gives a record its time: the producer's (CreateTime) or the broker's (LogAppendTime).")
	LogTimestampBefore = config.Long("log.message.timestamp.before.max.ms", math.MaxInt64, config.AtLeast(0),
		config.Topic("message.timestamp.before.max.ms"), config.Dynamic, "Milliseconds by which a producer's time may lie in the past.")
	LogTimestampAfter = config.Long("log.message.timestamp.after.max.ms", hourMs, config.AtLeast(0),
		config.Topic("message.timestamp.after.max.ms"), config.Dynamic, "Milliseconds by which a producer's time may lie in the future.")
	LogDeleteRetention = config.Long("log.cleaner.delete.retention.ms", 24*hourMs, config.AtLeast(0), config.Topic("delete.retention.ms"), config.Dynamic,
		"Milliseconds that a tombstone of a compacted topic stays readable.")
	LogMinCompactionLag = config.Long("log.cleaner.min.compaction.lag.ms", 0, config.AtLeast(0), config.Topic("min.compaction.lag.ms"), config.Dynamic,
		"Milliseconds that a record stays before compaction may drop it.")
	LogMaxCompactionLag = config.Long("log.cleaner.max.compaction.lag.ms", math.MaxInt64, config.AtLeast(1),
		config.Topic("max.compaction.lag.ms"), config.Dynamic, "Milliseconds after which a record is compacted however clean the log is.")
	LogMinCleanableRatio = config.Double("log.cleaner.min.cleanable.ratio", 0.5, config.Range(0, 1), config.Topic("min.cleanable.dirty.ratio"), config.Dynamic,
		"Share of a log that must be new before compaction goes over it.")
	LogFileDeleteDelay = config.Long("log.segment.delete.delay.ms", minuteMs, config.AtLeast(0), config.Topic("file.delete.delay.ms"), config.Dynamic,
		"Milliseconds between the end of data's life and the return of its space.")
	MinInsyncReplicas = config.Int("min.insync.replicas", 1, config.AtLeast(1), config.Topic("min.insync.replicas"), config.Dynamic,
		"Copies that acks=all waits for. Kept for Kafka's tools: in Weir every acknowledged record is durable.")
)

const (
	minuteMs = 60_000
	hourMs   = 60 * minuteMs
)

// Options that several declarations share.
var (
	compressionTypes = config.OneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")
	timestampTypes   = config.OneOf("CreateTime", "LogAppendTime")
	gzipLevels       = config.Check("[1,...,9] or -1", func(v any) error {
		if n, ok := v.(int64); ok && n != -1 && (n < 1 || n > 9) {
			return errors.New("Value must be between 1 and 9 or equal to -1") //nolint:staticcheck // Kafka's words, capital included
		}
		return nil
	})
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return append(shareSettings(), []config.Declared{
		NumPartitions, DefaultReplicationFactor, DeleteTopicEnable, MaxPartitions,
		LogSegmentBytes, LogRollHours, LogRollMs, LogRollJitterHours, LogRollJitterMs, LogRetentionHours, LogRetentionMinutes, LogRetentionMs,
		LogRetentionBytes, LogCleanupPolicy, LogCompressionType, LogGzipLevel, LogLZ4Level, LogZstdLevel, MessageMaxBytes, LogTimestampType,
		LogTimestampBefore, LogTimestampAfter, LogDeleteRetention, LogMinCompactionLag, LogMaxCompactionLag, LogMinCleanableRatio,
		LogFileDeleteDelay, MinInsyncReplicas,
	}...)
}
