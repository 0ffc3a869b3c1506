package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/telemetry"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

func pid() int { return os.Getpid() }

// decompressedBytesMax bounds what one batch may expand to where its records must be looked at.
const decompressedBytesMax = 256 << 20

// logTopics tells storage of topics.
type logTopics struct{ store *topics.Store }

func (l logTopics) LogConfig(id kafka.TopicID) (*partition.Config, int32, bool) {
	t, ok := l.store.View().ByID(id)
	if !ok {
		return nil, 0, false
	}
	c := l.store.LogConfig(t)
	return &partition.Config{
		MaxMessageBytes: int32(c.MaxMessageBytes), LogAppendTime: c.LogAppendTime, TimestampBeforeMaxMs: c.TimestampBeforeMaxMs,
		TimestampAfterMaxMs: c.TimestampAfterMaxMs, Recompress: !c.KeepCompression, Codec: c.Compression, Level: c.Levels.Of(c.Compression),
		SegmentBytes: segmentBytesOf(t.Name, &c), SegmentMs: c.SegmentMs, RetentionMs: c.RetentionMs, RetentionBytes: c.RetentionBytes,
		Delete: c.CleanupPolicy.Delete, Compact: c.CleanupPolicy.Compact, DecompressedBytesMax: decompressedBytesMax,
		DeleteRetentionMs: c.DeleteRetentionMs, MinCompactionLagMs: c.MinCompactionLagMs, MaxCompactionLagMs: c.MaxCompactionLagMs, MinDirtyRatio: c.MinCleanableDirtyRatio,
	}, t.Partitions, true
}

func (l logTopics) Sync(ctx context.Context) error { return l.store.Refresh(ctx) }

func (l logTopics) Shard(id kafka.TopicID, index int32) int32 { return l.store.Shard(id, index) }

// internalTopic is the topic of a coordinator as that sees it.
type internalTopic struct {
	store   *topics.Store
	storage *shard.Store
	moves   *moves
	spec    topics.Spec
}

func newOffsetsTopic(store *topics.Store, storage *shard.Store, moves *moves, partitions int) internalTopic {
	return internalTopic{store, storage, moves, topics.Spec{
		Name: kafka.GroupMetadataTopic, Partitions: int32(partitions), ReplicationFactor: -1,
		Configs: map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"},
	}}
}

func (i internalTopic) Lookup() (int32, bool) {
	t, ok := i.store.View().ByName(i.spec.Name)
	if !ok {
		return 0, false
	}
	return t.Partitions, true
}

func (i internalTopic) Ensure(ctx context.Context) (int32, error) {
	if n, ok := i.Lookup(); ok {
		return n, nil
	}
	if _, err := i.store.Create(ctx, i.spec, false); err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return 0, fmt.Errorf("create %s: %w", i.spec.Name, err)
	}
	n, ok := i.Lookup()
	if !ok {
		return 0, kafka.CoordinatorNotAvailable
	}
	return n, nil
}

func (i internalTopic) Open(index int32) (coordinator.Log, error) {
	t, ok := i.store.View().ByName(i.spec.Name)
	if !ok {
		return nil, kafka.UnknownTopicOrPartition
	}
	l, err := i.storage.Log(t.ID, index)
	if err != nil {
		return nil, err
	}
	return coordinatorLog{l}, nil
}

// Owned asks storage, which knows: it has the log of a partition for as long as this broker owns the shard.
func (i internalTopic) Owned(index int32) (int32, bool) {
	t, ok := i.store.View().ByName(i.spec.Name)
	if !ok {
		return 0, false
	}
	l, err := i.storage.Log(t.ID, index)
	if err != nil {
		return 0, false
	}
	return l.Offsets().LeaderEpoch, true
}

func (i internalTopic) Changed() <-chan struct{} { return i.moves.changed() }

// coordinatorLog is a partition as a coordinator writes and replays it.
type coordinatorLog struct{ log *partition.Log }

func (c coordinatorLog) Append(_ context.Context, batch []byte) (func(context.Context) error, error) {
	a, err := c.log.AppendInternal(batch)
	if err != nil {
		return nil, lost(err)
	}
	return func(ctx context.Context) error { return lost(a.Ticket.Wait(ctx)) }, nil
}

// lost says of the error of a log that was closed what that means to a coordinator: the partition is another broker's, or
// was deleted, which it is told alike.
func lost(err error) error {
	if errors.Is(err, partition.ErrClosed) {
		return fmt.Errorf("%w: %w", kafka.NotLeaderOrFollower, err)
	}
	return err
}

// replayBytes is how much of a log is read at once in a replay.
const replayBytes = 4 << 20

func (c coordinatorLog) Replay(ctx context.Context, visit func(batch []byte) error) error {
	o := c.log.Offsets()
	for offset := o.LogStart; offset < o.HighWatermark; {
		b, next, err := c.log.ReadBytes(ctx, offset, replayBytes)
		if err != nil {
			return lost(err)
		}
		if err := eachBatch(b, visit); err != nil {
			return err
		}
		if next <= offset {
			return fmt.Errorf("replay of %s stopped at offset %d of %d", c.log.Identity(), offset, o.HighWatermark)
		}
		offset = next
	}
	return nil
}

// followQuotas keeps the quotas of clients in force as they are changed.
func followQuotas(t *topics.Store, quotas *quota.Manager) {
	quotas.Load(api.QuotasOf(t.View()))
	t.OnChange(func(before, after *topics.View) {
		if !after.SameQuotas(before) {
			quotas.Load(api.QuotasOf(after))
		}
	})
}

// followClientMetrics keeps the subscriptions to clients' metrics in force as they are changed.
func followClientMetrics(t *topics.Store, r *telemetry.Receiver) {
	load := func(v *topics.View) {
		var rules []telemetry.Rule
		for _, name := range v.ClientMetrics() {
			c := v.ClientMetricsConfig(name)
			rules = append(rules, telemetry.Rule{
				Metrics: topics.MetricsNames.Get(c), Interval: time.Duration(topics.MetricsInterval.Get(c)) * time.Millisecond, Match: telemetry.ParseMatch(topics.MetricsMatch.Get(c)),
			})
		}
		r.Load(rules)
	}
	load(t.View())
	t.OnChange(func(before, after *topics.View) {
		if !after.SameClientMetrics(before) {
			load(after)
		}
	})
}

// eachBatch visits the batches that lie one after another in b.
func eachBatch(b []byte, visit func([]byte) error) error {
	for len(b) > 0 {
		h, err := record.ParseHeader(b)
		if err != nil {
			return fmt.Errorf("split batches: %w", err)
		}
		if h.Size() > int64(len(b)) {
			return record.ErrTruncated
		}
		if err := visit(b[:h.Size()]); err != nil {
			return err
		}
		b = b[h.Size():]
	}
	return nil
}
