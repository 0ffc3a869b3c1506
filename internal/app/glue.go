package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
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

func (l logTopics) Shard(id kafka.TopicID, index int32) int32 { return l.store.Shard(id, index) }

// internalTopic is the topic of a coordinator as that sees it.
type internalTopic struct {
	store   *topics.Store
	storage *shard.Store
	spec    topics.Spec
}

func newOffsetsTopic(store *topics.Store, storage *shard.Store, partitions int) internalTopic {
	return internalTopic{store, storage, topics.Spec{
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

// coordinatorLog is a partition as a coordinator writes and replays it.
type coordinatorLog struct{ log *partition.Log }

func (c coordinatorLog) Append(_ context.Context, batch []byte) (func(context.Context) error, error) {
	a, err := c.log.AppendInternal(batch)
	if err != nil {
		return nil, err
	}
	return a.Ticket.Wait, nil
}

// replayBytes is how much of a log is read at once in a replay.
const replayBytes = 4 << 20

func (c coordinatorLog) Replay(ctx context.Context, visit func(batch []byte) error) error {
	o := c.log.Offsets()
	for offset := o.LogStart; offset < o.HighWatermark; {
		b, next, err := c.log.ReadBytes(ctx, offset, replayBytes)
		if err != nil {
			return err
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

// follower carries changes of topics to those who keep something by topic: logs are closed and reconfigured before the
// change is answered, offsets of groups and metrics go soon after.
type follower struct {
	topics  *topics.Store
	storage *shard.Store
	groups  *coordinator.Groups
	server  *api.Server
	logger  *slog.Logger
	shares  *coordinator.Shares
	windows *sharepartition.Manager

	mu   sync.Mutex
	gone []group.DeletedTopic
	wake chan struct{}
}

func newFollower(t *topics.Store, storage *shard.Store, groups *coordinator.Groups, server *api.Server, logger *slog.Logger) *follower {
	f := &follower{topics: t, storage: storage, groups: groups, server: server, logger: logger, wake: make(chan struct{}, 1)}
	t.OnChange(f.changed)
	return f
}

func (f *follower) changed(before, after *topics.View) {
	var gone []group.DeletedTopic
	for _, t := range before.All() {
		now, ok := after.ByID(t.ID)
		switch {
		case !ok:
			f.storage.Drop(t.ID, t.Partitions)
			gone = append(gone, group.DeletedTopic{Name: t.Name, ID: t.ID})
		case now != t || before.Values() != after.Values():
			f.storage.Reconfigure(t.ID)
		}
	}
	if len(gone) == 0 {
		return
	}
	f.mu.Lock()
	f.gone = append(f.gone, gone...)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run drops what groups and metrics keep of deleted topics: first of those that a process before this one deleted and then
// died, as soon as the groups are loaded.
func (f *follower) Run(ctx context.Context, ready func()) error {
	ready()
	if err := f.catchUp(ctx); err != nil && ctx.Err() == nil {
		f.logger.Warn("offsets of topics deleted before the start stay until they expire", "err", err)
	}
	if err := f.catchUpShares(ctx); err != nil && ctx.Err() == nil {
		f.logger.Warn("share groups remember topics deleted before the start", "err", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		f.mu.Lock()
		gone := f.gone
		f.gone = nil
		f.mu.Unlock()
		f.server.Forget(namesOf(gone))
		f.deleteOffsets(ctx, gone)
		f.deleteShares(ctx, gone)
	}
}

func (f *follower) deleteOffsets(ctx context.Context, gone []group.DeletedTopic) {
	if err := f.groups.DeleteTopics(ctx, gone); err != nil && ctx.Err() == nil {
		f.logger.Warn("offsets of deleted topics stay until they expire", "topics", namesOf(gone), "err", err)
	}
}

func namesOf(topics []group.DeletedTopic) []string {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].Name
	}
	return names
}

// catchUp deletes the offsets of topics that do not exist, or exist anew under the name of another one.
func (f *follower) catchUp(ctx context.Context) error {
	// Deleting nothing waits for every partition of offsets to be loaded, without which Committed would leave some out.
	if err := f.groups.DeleteTopics(ctx, nil); err != nil {
		return err
	}
	committed, err := f.groups.Committed(ctx, true)
	if err != nil {
		return err
	}
	absent := map[group.DeletedTopic]bool{}
	view := f.topics.View() // after Committed: a topic that an offset was committed for exists, or is gone for good
	for _, c := range committed {
		t, ok := view.ByName(c.Topic)
		switch {
		case !ok:
			absent[group.DeletedTopic{Name: c.Topic}] = true
		case !c.TopicID.IsZero() && c.TopicID != t.ID:
			absent[group.DeletedTopic{Name: c.Topic, ID: c.TopicID}] = true
		}
	}
	if len(absent) > 0 {
		f.deleteOffsets(ctx, slices.SortedFunc(maps.Keys(absent), func(a, b group.DeletedTopic) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
		}))
	}
	return nil
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
