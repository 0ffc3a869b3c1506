package group

import (
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// commit handles OffsetCommit.
func (s *Shard) commit(e *Commit) CommitReply {
	if err := s.checkCommit(e); err != kafka.None {
		return CommitReply{Err: err}
	}
	expires := offsetrecord.NoTimestamp
	if e.Retention >= 0 {
		expires = s.now.Add(e.Retention).UnixMilli()
	}
	reply := CommitReply{Offsets: make([]kafka.Error, len(e.Offsets))}
	for i := range e.Offsets {
		o := &e.Offsets[i]
		if len(o.Metadata) > s.options.MaxMetadataBytes {
			reply.Offsets[i] = kafka.OffsetMetadataTooLarge
			continue
		}
		s.emitOffset(e.Group, o, expires)
	}
	return reply
}

func (s *Shard) emitOffset(group string, o *CommitOffset, expires int64) {
	s.emit(Record{Kind: offsetrecord.KindOffset, Group: group, Topic: o.Topic, Partition: o.Partition, Offset: &offsetrecord.Offset{
		Offset:          o.Offset,
		LeaderEpoch:     o.LeaderEpoch,
		Metadata:        o.Metadata,
		CommitTimestamp: s.now.UnixMilli(),
		ExpireTimestamp: expires,
		TopicID:         o.TopicID,
	}})
}

// checkCommit tells whether the committer may: a member of the current generation, or anybody without a member id while
// the group has no members. A member's commit prolongs its session.
func (s *Shard) checkCommit(e *Commit) kafka.Error {
	if s.options.Guests.Has(e.Group) {
		return s.checkGuest(e.Group, e.MemberID, e.Generation, e.Offsets)
	}
	if g := s.consumerOf(e.Group); g != nil {
		return g.checkCommit(e, false)
	}
	g := s.find(e.Group)
	switch {
	case g == nil && e.Generation < 0:
		return kafka.None
	case g == nil && e.NamesMissingGroup:
		return kafka.GroupIDNotFound
	case g == nil:
		return kafka.IllegalGeneration
	case e.Generation < 0 && g.state == Empty:
		return kafka.None
	case e.Generation < 0 && e.MemberID == "" && e.InstanceID == "":
		return kafka.UnknownMemberID
	}
	m, err := g.check(e.MemberID, e.InstanceID)
	switch {
	case err != kafka.None:
		return err
	case e.Generation != g.generation:
		return kafka.IllegalGeneration
	case g.state == CompletingRebalance:
		// The member knows the generation and not yet its partitions, so whatever it commits is of the one before.
		return kafka.RebalanceInProgress
	}
	s.heard(g, m)
	return kafka.None
}

// fetch handles OffsetFetch. A group that never was has committed nothing.
func (s *Shard) fetch(e *Fetch) FetchReply {
	g := s.durable.groups[e.Group]
	if g != nil && g.consumer != nil {
		if err := g.consumer.checkFetch(e); err != kafka.None {
			return FetchReply{Err: err}
		}
	}
	if e.MemberID != "" && s.options.Guests.Has(e.Group) {
		if err := s.checkGuest(e.Group, e.MemberID, e.MemberEpoch, nil); err != kafka.None {
			return FetchReply{Err: err}
		}
	}
	if e.All {
		var reply FetchReply
		for _, topic := range g.topics() {
			fetched := FetchedTopic{Topic: topic}
			for _, partition := range g.partitions(topic) {
				if e.RequireStable && s.durable.isPending(e.Group, topic, partition) {
					fetched.Partitions = append(fetched.Partitions, unstableOffset(partition))
					continue
				}
				fetched.Partitions = append(fetched.Partitions, fetchedOffset(partition, g.offset(topic, partition)))
			}
			reply.Topics = append(reply.Topics, fetched)
		}
		return reply
	}
	reply := FetchReply{Topics: make([]FetchedTopic, len(e.Topics))}
	for i := range e.Topics {
		asked := &e.Topics[i]
		fetched := FetchedTopic{Topic: asked.Topic, Partitions: make([]FetchedOffset, len(asked.Partitions))}
		for j, partition := range asked.Partitions {
			if e.RequireStable && s.durable.isPending(e.Group, asked.Topic, partition) {
				fetched.Partitions[j] = unstableOffset(partition)
				continue
			}
			o := g.offset(asked.Topic, partition)
			if o != nil && !asked.TopicID.IsZero() && !o.TopicID.IsZero() && o.TopicID != asked.TopicID {
				o = nil
			}
			fetched.Partitions[j] = fetchedOffset(partition, o)
		}
		reply.Topics[i] = fetched
	}
	return reply
}

func fetchedOffset(partition int32, o *offsetrecord.Offset) FetchedOffset {
	if o == nil {
		return FetchedOffset{Partition: partition, Offset: NoOffset, LeaderEpoch: kafka.NoLeaderEpoch}
	}
	return FetchedOffset{Partition: partition, Offset: o.Offset, LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata}
}

// unstableOffset is the answer for a partition whose offset a transaction is about to change.
func unstableOffset(partition int32) FetchedOffset {
	o := fetchedOffset(partition, nil)
	o.Err = kafka.UnstableOffsetCommit
	return o
}

// deleteOffsets handles OffsetDelete. A partition without a committed offset is as good as deleted.
func (s *Shard) deleteOffsets(e *DeleteOffsets) DeleteOffsetsReply {
	if e.Group == "" {
		return DeleteOffsetsReply{Err: kafka.InvalidGroupID}
	}
	g, consumer, guest := s.find(e.Group), s.consumerOf(e.Group), s.options.Guests.Has(e.Group)
	switch {
	case consumer != nil, guest:
	case g == nil:
		return DeleteOffsetsReply{Err: kafka.GroupIDNotFound}
	case g.state != Empty && g.protocolType != consumerProtocolType:
		// It cannot be known which topics the members of another protocol use.
		return DeleteOffsetsReply{Err: kafka.NonEmptyGroup}
	}
	reply := DeleteOffsetsReply{Topics: make([][]kafka.Error, len(e.Topics))}
	for i := range e.Topics {
		topic := &e.Topics[i]
		reply.Topics[i] = make([]kafka.Error, len(topic.Partitions))
		for j, partition := range topic.Partitions {
			switch {
			case consumer != nil && consumer.subscribes(topic.Topic), guest && s.options.Guests.Reads(e.Group, topic.Topic),
				consumer == nil && !guest && g.state != Empty && g.subscribes(topic.Topic):
				reply.Topics[i][j] = kafka.GroupSubscribedToTopic
			case s.durable.groups[e.Group].offset(topic.Topic, partition) != nil || s.durable.isPending(e.Group, topic.Topic, partition):
				s.emitOffsetTombstone(e.Group, topic.Topic, partition)
			}
		}
	}
	return reply
}

// deleteGroup handles one group of DeleteGroups.
func (s *Shard) deleteGroup(id string) kafka.Error {
	if g := s.consumerOf(id); g != nil {
		if len(g.members) > 0 {
			return kafka.NonEmptyGroup
		}
		s.emitTombstones(id, func(string, *offsetrecord.Offset) bool { return true })
		s.deleteConsumerRecords(id, g)
		return kafka.None
	}
	if s.options.Guests.Has(id) {
		if !s.options.Guests.Empty(id) {
			return kafka.NonEmptyGroup
		}
		s.emitTombstones(id, func(string, *offsetrecord.Offset) bool { return true })
		return kafka.None
	}
	g := s.find(id)
	switch {
	case g == nil:
		return kafka.GroupIDNotFound
	case g.state != Empty:
		return kafka.NonEmptyGroup
	}
	for memberID, offer := range g.pending {
		s.stop(offer)
		delete(g.pending, memberID)
	}
	if s.durable.groups[id] != nil {
		s.emitTombstones(id, func(string, *offsetrecord.Offset) bool { return true })
		s.emitGroupTombstone(id)
	}
	// Without offsets and metadata nothing of the group is left to find, whatever the live layer still holds.
	delete(s.live, id)
	return kafka.None
}

// deleteTopics deletes the offsets of topics that are gone; a group that has nothing else stays until it expires.
func (s *Shard) deleteTopics(topics []DeletedTopic) {
	if len(topics) == 0 {
		return
	}
	for _, id := range s.groupIDs() {
		s.emitTombstones(id, func(topic string, o *offsetrecord.Offset) bool {
			return slices.ContainsFunc(topics, func(t DeletedTopic) bool {
				return t.Name == topic && (t.ID.IsZero() || o.TopicID.IsZero() || t.ID == o.TopicID)
			})
		})
	}
}

// emitTombstones deletes the group's offsets that which chooses: committed ones, and those that wait for the end of a
// transaction. A tombstone ends all offsets of its partition, so one that waits for another topic of the name goes along.
func (s *Shard) emitTombstones(id string, which func(topic string, o *offsetrecord.Offset) bool) {
	stored := s.durable.groups[id]
	if stored == nil {
		return
	}
	emit := func(from offsets) {
		for _, topic := range from.topics() {
			for _, partition := range from.partitions(topic) {
				if which(topic, from[topic][partition].Offset) {
					s.emitOffsetTombstone(id, topic, partition)
				}
			}
		}
	}
	emit(stored.offsets)
	for _, producer := range slices.Sorted(maps.Keys(stored.open)) {
		if p := s.durable.producers[producer]; p != nil {
			emit(p.pending[id])
		}
	}
}

// expireOffsets deletes what was kept for long enough, and groups that are left with nothing.
func (s *Shard) expireOffsets() {
	for _, id := range s.groupIDs() {
		stored := s.durable.groups[id]
		if stored == nil {
			continue
		}
		if s.options.Guests.Has(id) {
			s.expireGuest(id, stored)
			continue
		}
		if stored.consumer != nil {
			if s.expireConsumer(id, stored.consumer, stored) {
				s.deleteConsumerRecords(id, stored.consumer)
			}
			continue
		}
		g := s.find(id)
		for _, topic := range stored.topics() {
			for _, partition := range stored.partitions(topic) {
				if s.expired(g, topic, stored.offset(topic, partition)) && !s.durable.isPending(id, topic, partition) {
					s.emitOffsetTombstone(id, topic, partition)
				}
			}
		}
		if len(stored.offsets) == 0 && len(stored.open) == 0 && g.idle() {
			s.emitGroupTombstone(id)
		}
		s.settle(id)
	}
	s.durable.forgetProducers(s.now.Add(-s.options.ProducerExpiry))
	s.alarms.Set(&s.cleanup, s.now.Add(s.options.CleanupInterval))
}

// expired tells whether o was kept for long enough (KIP-211). Offsets of a group with members count from when the group
// became Empty, or, for topics that the members do not read, from the commit; those of consumers that manage their
// partitions alone, from the commit. A commit that named its own retention goes by that.
func (s *Shard) expired(g *live, topic string, o *offsetrecord.Offset) bool {
	from := time.UnixMilli(o.CommitTimestamp)
	switch {
	case g.protocolType == "":
	case g.state == Empty:
		if !g.since.IsZero() && g.since.After(from) {
			from = g.since
		}
	case g.state == Stable && g.protocolType == consumerProtocolType && g.subscribedKnown && !g.subscribes(topic):
	default:
		return false
	}
	if o.ExpireTimestamp != offsetrecord.NoTimestamp {
		return s.now.UnixMilli() >= o.ExpireTimestamp
	}
	return !s.now.Before(from.Add(s.options.Retention))
}

func (s *Shard) emitOffsetTombstone(group, topic string, partition int32) {
	s.emit(Record{Kind: offsetrecord.KindOffset, Group: group, Topic: topic, Partition: partition})
}

func (s *Shard) emitGroupTombstone(id string) {
	s.emit(Record{Kind: offsetrecord.KindMetadata, Group: id})
}
