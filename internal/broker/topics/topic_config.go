package topics

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// synonym is a broker setting that gives a topic config its default, in another unit perhaps.
type synonym struct {
	name  string
	scale int64
}

// topicConfig is one config of topics.
type topicConfig struct {
	setting  *config.Setting
	synonyms []synonym
	// own: Kafka has no such config. It is told of only where it is set or asked for by name.
	own bool
}

// The configs of topics that act in Weir, with Kafka's types and limits.
var (
	segmentBytes        = config.Int("segment.bytes", 1<<30, config.AtLeast(1<<20), LogSegmentBytes.Setting().Doc())
	segmentMs           = config.Long("segment.ms", 7*24*hourMs, config.AtLeast(1), LogRollMs.Setting().Doc())
	segmentJitterMs     = config.Long("segment.jitter.ms", 0, config.AtLeast(0), LogRollJitterMs.Setting().Doc())
	retentionBytes      = config.Long("retention.bytes", -1, LogRetentionBytes.Setting().Doc())
	retentionMs         = config.Long("retention.ms", 7*24*hourMs, config.AtLeast(-1), LogRetentionMs.Setting().Doc())
	maxMessageBytes     = config.Int("max.message.bytes", 1<<20+12, config.AtLeast(0), MessageMaxBytes.Setting().Doc())
	deleteRetention     = config.Long("delete.retention.ms", 24*hourMs, config.AtLeast(0), LogDeleteRetention.Setting().Doc())
	minCompactionLag    = config.Long("min.compaction.lag.ms", 0, config.AtLeast(0), LogMinCompactionLag.Setting().Doc())
	maxCompactionLag    = config.Long("max.compaction.lag.ms", math.MaxInt64, config.AtLeast(1), LogMaxCompactionLag.Setting().Doc())
	fileDeleteDelay     = config.Long("file.delete.delay.ms", minuteMs, config.AtLeast(0), LogFileDeleteDelay.Setting().Doc())
	minCleanableRatio   = config.Double("min.cleanable.dirty.ratio", 0.5, config.Range(0, 1), LogMinCleanableRatio.Setting().Doc())
	cleanupPolicy       = config.List("cleanup.policy", []string{"delete"}, config.OneOf("compact", "delete"), LogCleanupPolicy.Setting().Doc())
	minInsyncReplicas   = config.Int("min.insync.replicas", 1, config.AtLeast(1), MinInsyncReplicas.Setting().Doc())
	compressionType     = config.String("compression.type", "producer", compressionTypes, LogCompressionType.Setting().Doc())
	compressionGzip     = config.Int("compression.gzip.level", -1, gzipLevels, LogGzipLevel.Setting().Doc())
	compressionLZ4      = config.Int("compression.lz4.level", 9, config.Range(1, 17), LogLZ4Level.Setting().Doc())
	compressionZstd     = config.Int("compression.zstd.level", 3, config.Range(-131072, 22), LogZstdLevel.Setting().Doc())
	timestampType       = config.String("message.timestamp.type", "CreateTime", timestampTypes, LogTimestampType.Setting().Doc())
	timestampBefore     = config.Long("message.timestamp.before.max.ms", math.MaxInt64, config.AtLeast(0), LogTimestampBefore.Setting().Doc())
	timestampAfter      = config.Long("message.timestamp.after.max.ms", hourMs, config.AtLeast(0), LogTimestampAfter.Setting().Doc())
	remoteStorageEnable = config.Bool("remote.storage.enable", false,
		"Kafka's switch for tiered storage. It can only be false: where data lives is decided by the broker's store, for all topics.")
)

// topicConfigs are all configs of topics, in the order in which Kafka checks them.
func newTopicConfigs() []topicConfig {
	inert := func(d config.Declared, synonyms ...synonym) topicConfig {
		return topicConfig{setting: d.Setting(), synonyms: synonyms}
	}
	of := func(d config.Declared, names ...string) topicConfig {
		c := topicConfig{setting: d.Setting()}
		for _, n := range names {
			c.synonyms = append(c.synonyms, synonym{n, 1})
		}
		return c
	}
	throttled := func(name string) topicConfig {
		return inert(config.List(name, nil, throttledReplicas(name), config.Option(config.Unique), inertDoc))
	}
	return append([]topicConfig{
		of(segmentBytes, "log.segment.bytes"),
		inert(segmentMs, synonym{"log.roll.ms", 1}, synonym{"log.roll.hours", hourMs}),
		inert(segmentJitterMs, synonym{"log.roll.jitter.ms", 1}, synonym{"log.roll.jitter.hours", hourMs}),
		of(config.Int("segment.index.bytes", 10<<20, config.AtLeast(4), inertDoc), "log.index.size.max.bytes"),
		of(config.Long("flush.messages", math.MaxInt64, config.AtLeast(1), inertDoc), "log.flush.interval.messages"),
		of(config.Long("flush.ms", math.MaxInt64, config.AtLeast(0), inertDoc), "log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
		of(retentionBytes, "log.retention.bytes"),
		inert(retentionMs, synonym{"log.retention.ms", 1}, synonym{"log.retention.minutes", minuteMs}, synonym{"log.retention.hours", hourMs}),
		of(maxMessageBytes, "message.max.bytes"),
		of(config.Int("index.interval.bytes", 4096, config.AtLeast(0), inertDoc), "log.index.interval.bytes"),
		of(deleteRetention, "log.cleaner.delete.retention.ms"),
		of(minCompactionLag, "log.cleaner.min.compaction.lag.ms"),
		of(maxCompactionLag, "log.cleaner.max.compaction.lag.ms"),
		of(fileDeleteDelay, "log.segment.delete.delay.ms"),
		of(minCleanableRatio, "log.cleaner.min.cleanable.ratio"),
		of(cleanupPolicy, "log.cleanup.policy"),
		of(config.Bool("unclean.leader.election.enable", false, inertDoc), "unclean.leader.election.enable"),
		of(minInsyncReplicas, "min.insync.replicas"),
		of(compressionType, "compression.type"),
		of(compressionGzip, "compression.gzip.level"),
		of(compressionLZ4, "compression.lz4.level"),
		of(compressionZstd, "compression.zstd.level"),
		of(config.Bool("preallocate", false, inertDoc), "log.preallocate"),
		of(timestampType, "log.message.timestamp.type"),
		of(timestampBefore, "log.message.timestamp.before.max.ms"),
		of(timestampAfter, "log.message.timestamp.after.max.ms"),
		throttled("leader.replication.throttled.replicas"),
		throttled("follower.replication.throttled.replicas"),
		of(remoteStorageEnable),
		of(config.Long("local.retention.ms", -2, config.AtLeast(-2), inertDoc), "log.local.retention.ms"),
		of(config.Long("local.retention.bytes", -2, config.AtLeast(-2), inertDoc), "log.local.retention.bytes"),
		of(config.Bool("remote.log.copy.disable", false, inertDoc)),
		of(config.Bool("remote.log.delete.on.disable", false, inertDoc)),
	}, contractConfigs()...)
}

// throttledReplicas checks "*" or a list of partition:broker.
func throttledReplicas(name string) config.Option {
	const format = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
	return config.Check(format, func(v any) error {
		list, _ := v.([]string)
		if slices.Equal(list, []string{"*"}) {
			return nil
		}
		for _, pair := range list {
			partition, broker, ok := strings.Cut(pair, ":")
			if !ok || !digits(partition) || !digits(broker) {
				return errors.New(name + " must be the literal '*' or a list of replicas in the following format: " + format)
			}
		}
		return nil
	})
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// checkTopicConfigs parses the overrides of a topic and checks them, together with what the broker adds. Its errors are
// INVALID_CONFIG with Kafka's words.
func (c *catalogue) checkTopicConfigs(broker *config.Values, overrides map[string]string) (*config.Values, error) {
	for _, name := range sortedKeys(overrides) {
		if _, ok := c.topicSchema.Lookup(name); !ok {
			return nil, kafka.Errorf(kafka.InvalidConfig, "Unknown topic config name: %s", name)
		}
	}
	for _, t := range c.topics {
		if text, ok := overrides[t.setting.Name()]; ok {
			if _, err := t.setting.Parse(text); err != nil {
				return nil, kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
			}
		}
	}
	parsed, err := c.topicSchema.Defaults().With(config.FromDynamicBroker, overrides)
	if err != nil {
		return nil, kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
	}
	if remoteStorageEnable.Get(parsed) {
		return nil, kafka.Errorf(kafka.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	l := makeLogConfig(parsed, broker)
	if l.MinCompactionLagMs > l.MaxCompactionLagMs {
		return nil, kafka.Errorf(kafka.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)",
			l.MinCompactionLagMs, l.MaxCompactionLagMs)
	}
	return parsed, nil
}

// CleanupPolicy says what happens to old records. Neither is allowed: records then stay for ever.
type CleanupPolicy struct{ Delete, Compact bool }

// Levels are the efforts of the codecs that have one.
type Levels struct{ Gzip, LZ4, Zstd int }

// Of is the effort of a codec; 0 for those that have none.
func (l Levels) Of(c record.Codec) int {
	switch c {
	case record.Gzip:
		return l.Gzip
	case record.LZ4:
		return l.LZ4
	case record.Zstd:
		return l.Zstd
	}
	return 0
}

// LogConfig is what a topic's configs and the broker's settings together mean for its logs. Times are milliseconds.
type LogConfig struct {
	RetentionMs            int64 // -1: for ever
	RetentionBytes         int64 // of a partition; negative: no limit
	SegmentBytes           int
	SegmentMs              int64
	SegmentJitterMs        int64
	MaxMessageBytes        int
	LogAppendTime          bool // message.timestamp.type
	TimestampBeforeMaxMs   int64
	TimestampAfterMaxMs    int64
	KeepCompression        bool         // compression.type=producer
	Compression            record.Codec // else
	Levels                 Levels
	CleanupPolicy          CleanupPolicy
	DeleteRetentionMs      int64
	MinCompactionLagMs     int64
	MaxCompactionLagMs     int64
	MinCleanableDirtyRatio float64
	FileDeleteDelayMs      int64
	MinInsyncReplicas      int
}

// pick is the topic's own value, or else the broker's.
func pick[T any](topic, broker *config.Values, own, fallback config.Key[T]) T {
	if _, ok := topic.Explicit(own.Name()); ok {
		return own.Get(topic)
	}
	return fallback.Get(broker)
}

func makeLogConfig(topic, broker *config.Values) LogConfig {
	ms := func(own, fallback config.Key[int64]) int64 { return pick(topic, broker, own, fallback) }
	policy := pick(topic, broker, cleanupPolicy, LogCleanupPolicy)
	l := LogConfig{
		RetentionMs:          ms(retentionMs, LogRetentionMs),
		RetentionBytes:       pick(topic, broker, retentionBytes, LogRetentionBytes),
		SegmentBytes:         pick(topic, broker, segmentBytes, LogSegmentBytes),
		SegmentMs:            ms(segmentMs, LogRollMs),
		SegmentJitterMs:      ms(segmentJitterMs, LogRollJitterMs),
		MaxMessageBytes:      pick(topic, broker, maxMessageBytes, MessageMaxBytes),
		LogAppendTime:        pick(topic, broker, timestampType, LogTimestampType) == "LogAppendTime",
		TimestampBeforeMaxMs: ms(timestampBefore, LogTimestampBefore),
		TimestampAfterMaxMs:  ms(timestampAfter, LogTimestampAfter),
		Levels: Levels{
			Gzip: pick(topic, broker, compressionGzip, LogGzipLevel),
			LZ4:  pick(topic, broker, compressionLZ4, LogLZ4Level),
			Zstd: pick(topic, broker, compressionZstd, LogZstdLevel),
		},
		CleanupPolicy:          CleanupPolicy{Delete: slices.Contains(policy, "delete"), Compact: slices.Contains(policy, "compact")},
		DeleteRetentionMs:      ms(deleteRetention, LogDeleteRetention),
		MinCompactionLagMs:     ms(minCompactionLag, LogMinCompactionLag),
		MaxCompactionLagMs:     ms(maxCompactionLag, LogMaxCompactionLag),
		MinCleanableDirtyRatio: pick(topic, broker, minCleanableRatio, LogMinCleanableRatio),
		FileDeleteDelayMs:      ms(fileDeleteDelay, LogFileDeleteDelay),
		MinInsyncReplicas:      pick(topic, broker, minInsyncReplicas, MinInsyncReplicas),
	}
	codec, err := record.ParseCodec(pick(topic, broker, compressionType, LogCompressionType))
	l.Compression, l.KeepCompression = codec, err != nil // "producer" is the one word that names no codec
	return l
}
