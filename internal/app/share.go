package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Settings of share groups that are not configs of a group.
var (
	ShareMaxSize = config.Int("group.share.max.size", 200, config.Range(1, 1000),
		"Most members of a share group.")
	ShareSessions = config.Int("group.share.max.share.sessions", 2000, config.AtLeast(1),
		"Most share sessions; consumers beyond it are told to wait.")
	SharePartitions = config.Int("share.coordinator.state.topic.num.partitions", 50, config.AtLeast(1),
		"Partitions of __share_group_state, when it is created.")
	ShareSegmentBytes = config.Int("share.coordinator.state.topic.segment.bytes", 100<<20, config.AtLeast(1),
		"Size of segments of __share_group_state, when it is created.")
	ShareUpdates = config.Int("share.coordinator.snapshot.update.records.per.snapshot", 500, config.Range(0, 500),
		"Changes of a share partition's state that are written before it is written as a whole.")
)

func newShareStateTopic(store *topics.Store, storage *shard.Store, moves *moves, v *config.Values) internalTopic {
	return internalTopic{store, storage, moves, topics.Spec{
		Name: kafka.ShareGroupStateTopic, Partitions: int32(SharePartitions.Get(v)), ReplicationFactor: -1,
		Configs: map[string]string{
			"cleanup.policy": "delete", "compression.type": "producer", "retention.ms": "-1", "segment.bytes": strconv.Itoa(ShareSegmentBytes.Get(v)),
		},
	}}
}

// newShares makes the two halves of share groups, which refer to each other: who is in them, and what they have in flight.
func (a *App) newShares(tps *topics.Store, storage *shard.Store, moves *moves, groups *coordinator.Groups, p *peers, loaded func(int32), registry prometheus.Registerer) (*coordinator.Shares, *sharepartition.Manager) {
	v := a.o.Values
	var windows *sharepartition.Manager
	updates := ShareUpdates.Get(v)
	if updates == 0 {
		updates = -1 // to the machine 0 is the default
	}
	shares := coordinator.NewShares(coordinator.SharesOptions{
		Options: coordinator.Options{Topics: newShareStateTopic(tps, storage, moves, v), Logger: a.o.Logger, Registerer: registry, Confident: a.confident, Loaded: loaded},
		Groups:  groups, State: share.StateOptions{UpdatesPerSnapshot: updates},
		Elsewhere: p.askState,
		Left:      func(e share.MemberLeft) { windows.MemberLeft(e) },
		Fence:     func(ctx context.Context, group string) error { return windows.Forget(ctx, group) },
	})
	windows = sharepartition.New(sharepartition.Options{
		States: shares, Sessions: ShareSessions.Get(v), Now: a.o.Now, Logger: a.o.Logger, Registerer: registry,
		Log: func(topic kafka.TopicID, index int32) (*partition.Log, error) {
			t, ok := tps.View().ByID(topic)
			if !ok || index < 0 || index >= t.Partitions {
				return nil, kafka.UnknownTopicOrPartition
			}
			return storage.Log(topic, index)
		},
		Settings: func(group string) sharepartition.Settings { return shareSettings(tps.View().GroupConfig(group)) },
	})
	return shares, windows
}

func shareSettings(c *config.Values) sharepartition.Settings {
	s := sharepartition.Settings{
		Limits: share.Limits{
			DeliveryCount: int16(topics.GroupShareDeliveryCountLimit.Get(c)), InFlight: int64(topics.GroupSharePartitionRecordLocks.Get(c)),
			Lock: topics.GroupShareRecordLockDuration.Get(c), Renew: topics.GroupShareRenewAcknowledge.Get(c),
		},
		Committed: topics.GroupShareIsolationLevel.Get(c) == "read_committed",
	}
	switch reset := topics.GroupShareAutoOffsetReset.Get(c); {
	case reset == "earliest":
		s.Reset.Earliest = true
	case strings.HasPrefix(reset, "by_duration:"):
		// The setting was checked when it was set; what cannot be read begins at the end.
		s.Reset.By, _ = isoDuration(strings.TrimPrefix(reset, "by_duration:"))
	}
	return s
}

// isoDuration reads a duration such as P1DT2H3M4.5S.
func isoDuration(text string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(strings.ToUpper(text), "+"), "P")
	if !ok {
		return 0, fmt.Errorf("duration %q does not begin with P", text)
	}
	days, clock, _ := strings.Cut(rest, "T")
	var total time.Duration
	if days != "" {
		n, err := strconv.ParseInt(strings.TrimSuffix(days, "D"), 10, 32)
		if err != nil {
			return 0, fmt.Errorf("days of duration %q: %w", text, err)
		}
		total = time.Duration(min(n, 100_000)) * 24 * time.Hour
	}
	if clock != "" {
		d, err := time.ParseDuration(strings.ToLower(clock))
		if err != nil {
			return 0, fmt.Errorf("hours of duration %q: %w", text, err)
		}
		total += d
	}
	return total, nil
}

// End and Trim make a coordinator's log one whose records can be dropped from the start on (coordinator.Trimmer).

// End returns the offset of the next record.
func (c coordinatorLog) End() int64 { return c.log.Offsets().LogEnd }

// Trim drops the records before an offset.
func (c coordinatorLog) Trim(ctx context.Context, before int64) error {
	_, ticket, err := c.log.DeleteRecords(before)
	if err != nil || ticket.IsZero() {
		return err
	}
	return ticket.Wait(ctx)
}

// deleteShares drops what share groups keep of topics that are gone.
func (f *follower) deleteShares(ctx context.Context, gone []group.DeletedTopic) {
	ids := make([]kafka.TopicID, len(gone))
	for i := range gone {
		ids[i] = gone[i].ID
	}
	f.windows.Gone(ids)
	if err := f.shares.DeleteTopics(ctx, ids); err != nil && ctx.Err() == nil {
		f.logger.Warn("share groups remember deleted topics", "topics", namesOf(gone), "err", err)
	}
}
