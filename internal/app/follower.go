package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/sharepartition"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// follower carries changes of topics to those who keep something by topic: logs are closed and reconfigured before the
// change is answered, offsets of groups and metrics go soon after. Each broker does so for the partitions of internal topics
// that it owns, and for those that it comes to own when they are loaded: topics may have been deleted before.
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
	// loaded are the partitions of internal topics that have been loaded, and were not looked through since.
	loaded map[kafka.TopicPartition]struct{}
	wake   chan struct{}
}

func newFollower(t *topics.Store, storage *shard.Store, logger *slog.Logger) *follower {
	return &follower{topics: t, storage: storage, logger: logger, loaded: map[kafka.TopicPartition]struct{}{}, wake: make(chan struct{}, 1)}
}

// noteLoaded makes the follower look through each partition of an internal topic that a coordinator has loaded.
func (f *follower) noteLoaded(topic string) func(int32) {
	return func(index int32) {
		f.mu.Lock()
		f.loaded[kafka.TopicPartition{Topic: topic, Partition: index}] = struct{}{}
		f.mu.Unlock()
		f.poke()
	}
}

func (f *follower) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) changed(before, after *topics.View) {
	var gone []group.DeletedTopic
	settings, rest := before.Values() == after.Values(), after.All()
	for _, t := range before.All() {
		for len(rest) > 0 && rest[0].Name < t.Name {
			rest = rest[1:]
		}
		if settings && len(rest) > 0 && rest[0] == t {
			continue // as it was, like most topics in most changes
		}
		now, ok := after.ByID(t.ID)
		switch {
		case !ok:
			f.storage.Drop(t.ID, t.Partitions)
			gone = append(gone, group.DeletedTopic{Name: t.Name, ID: t.ID})
		case now != t || !settings:
			f.storage.Reconfigure(t.ID)
		}
	}
	if len(gone) == 0 {
		return
	}
	f.mu.Lock()
	f.gone = append(f.gone, gone...)
	f.mu.Unlock()
	f.poke()
}

// Run drops what groups, share groups and metrics keep of deleted topics.
func (f *follower) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		f.mu.Lock()
		gone, loaded := f.gone, slices.SortedFunc(maps.Keys(f.loaded), kafka.TopicPartition.Compare)
		f.gone = nil
		clear(f.loaded)
		f.mu.Unlock()
		if len(gone) > 0 {
			f.server.Forget(namesOf(gone))
			f.deleteOffsets(ctx, gone)
			f.deleteShares(ctx, gone)
		}
		for _, tp := range loaded {
			if err := f.catchUp(ctx, tp); err != nil && ctx.Err() == nil {
				f.logger.Warn("coordinator may remember deleted topics", "topic", tp.Topic, "partition", tp.Partition, "err", err)
			}
		}
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

// catchUp drops what a partition of an internal topic keeps of topics that are gone: their deletion may have come before the
// partition was loaded. A partition that is not there any more is somebody else's to look through.
func (f *follower) catchUp(ctx context.Context, tp kafka.TopicPartition) error {
	if err := f.catchUpShares(ctx, tp); err != nil || tp.Topic != kafka.GroupMetadataTopic {
		return unlessMoved(err)
	}
	committed, err := f.groups.CommittedIn(ctx, tp.Partition, true)
	if err != nil {
		return unlessMoved(err)
	}
	absent := absentTopics(f.topics.View(), committed)
	if len(absent) == 0 {
		return nil
	}
	// Another broker may have made a topic that is not in our view yet. What was committed for it is here already, so a
	// view that is read now has it, or it is gone for good.
	if err := f.topics.Refresh(ctx); err != nil {
		return err
	}
	if absent = absentTopics(f.topics.View(), committed); len(absent) == 0 {
		return nil
	}
	return f.groups.DeleteTopicsIn(ctx, tp.Partition, absent)
}

// absentTopics returns the topics of offsets that do not exist, or exist anew under the name of another one, sorted.
func absentTopics(view *topics.View, committed []group.CommittedOffset) []group.DeletedTopic {
	absent := map[group.DeletedTopic]bool{}
	for _, c := range committed {
		t, ok := view.ByName(c.Topic)
		switch {
		case !ok:
			absent[group.DeletedTopic{Name: c.Topic}] = true
		case !c.TopicID.IsZero() && c.TopicID != t.ID:
			absent[group.DeletedTopic{Name: c.Topic, ID: c.TopicID}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(absent), func(a, b group.DeletedTopic) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), bytes.Compare(a.ID[:], b.ID[:]))
	})
}

// catchUpShares does the same for what share groups keep by topic.
func (f *follower) catchUpShares(ctx context.Context, tp kafka.TopicPartition) error {
	states := tp.Topic == kafka.ShareGroupStateTopic
	known, err := f.shares.KnownTopicsIn(ctx, tp.Partition, states)
	if err != nil {
		return err
	}
	exists := func(id kafka.TopicID) bool { _, ok := f.topics.View().ByID(id); return ok }
	if known = slices.DeleteFunc(known, exists); len(known) == 0 {
		return nil
	}
	if err := f.topics.Refresh(ctx); err != nil {
		return err
	}
	if known = slices.DeleteFunc(known, exists); len(known) == 0 {
		return nil
	}
	return f.shares.DeleteTopicsIn(ctx, tp.Partition, states, known)
}

// unlessMoved drops the error that says that the partition is not this broker's any more, or is being loaded again, which
// its coordinator tells the follower of when it is done.
func unlessMoved(err error) error {
	if errors.Is(err, kafka.NotCoordinator) || errors.Is(err, kafka.CoordinatorLoadInProgress) || errors.Is(err, kafka.CoordinatorNotAvailable) {
		return nil
	}
	return err
}
