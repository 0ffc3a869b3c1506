package group

import (
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// consumerDescribe handles one group of ConsumerGroupDescribe.
func (s *Shard) consumerDescribe(e *ConsumerDescribe) ConsumerDescription {
	s.see(e.Picture)
	g := s.consumerOf(e.Group)
	if g == nil {
		r := s.noConsumerGroup(e.Group)
		return ConsumerDescription{Err: r.err, Text: r.text}
	}
	d := ConsumerDescription{State: g.state(), Epoch: g.epoch, AssignmentEpoch: g.assignmentEpoch, Assignor: g.assignor(s.options.ConsumerAssignor)}
	for _, m := range g.sorted() {
		d.Members = append(d.Members, ConsumerDescribedMember{
			ID: m.id, InstanceID: m.InstanceID, RackID: m.RackID, Epoch: m.epoch, ClientID: m.ClientID, ClientHost: m.ClientHost,
			Topics: m.Topics, Regex: m.Regex, Classic: m.Classic != nil,
			Assigned: s.described(m.held().records()), Target: s.described(assignmentRecords(g.target[m.id])),
		})
	}
	return d
}

// described leaves out topics that are gone.
func (s *Shard) described(topics []TopicPartitions) []DescribedPartitions {
	var out []DescribedPartitions
	for _, t := range topics {
		if facts, ok := s.topicByID(t.ID); ok {
			out = append(out, DescribedPartitions{facts, t.Partitions})
		}
	}
	return out
}

// checkCommit tells whether a member may commit. One that does not know its newest epoch may, if it has had all of the
// partitions since the epoch that it knows (KIP-1251).
func (g *consumerGroup) checkCommit(e *Commit, inTransaction bool) kafka.Error {
	switch {
	case e.Generation < 0 && len(g.members) == 0,
		inTransaction && e.Generation == -1 && e.MemberID == "" && e.InstanceID == "":
		return kafka.None
	}
	m := g.members[e.MemberID]
	if m == nil {
		return kafka.UnknownMemberID
	}
	stale := kafka.StaleMemberEpoch
	if m.Classic != nil || inTransaction {
		stale = kafka.IllegalGeneration
	}
	switch {
	case !inTransaction && m.Classic == nil && !e.NamesMissingGroup:
		return kafka.UnsupportedVersion // before version 9 of OffsetCommit
	case e.Generation == m.epoch:
		return kafka.None
	case e.Generation > m.epoch:
		return stale
	}
	for i := range e.Offsets {
		if !m.mayCommit(&e.Offsets[i], e.Generation) {
			return stale
		}
	}
	return kafka.None
}

// mayCommit tells whether the member has had the partition since an epoch.
func (m *consumerMember) mayCommit(o *CommitOffset, epoch int32) bool {
	for _, has := range []epochs{m.assigned, m.revoking} {
		if since, ok := has[o.TopicID][o.Partition]; ok && epoch >= since {
			return true
		}
	}
	return false
}

// checkFetch tells whether a member may read offsets.
func (g *consumerGroup) checkFetch(e *Fetch) kafka.Error {
	if e.MemberID == "" && e.MemberEpoch < 0 {
		return kafka.None
	}
	m := g.members[e.MemberID]
	switch {
	case m == nil:
		return kafka.UnknownMemberID
	case m.epoch == e.MemberEpoch:
		return kafka.None
	case m.Classic != nil:
		return kafka.IllegalGeneration
	}
	return kafka.StaleMemberEpoch
}

// expireConsumer deletes the offsets of a consumer group that were kept for long enough: of topics that no member reads,
// from their commit on. It tells whether none is left.
func (s *Shard) expireConsumer(id string, g *consumerGroup, stored *stored) (none bool) {
	before := s.now.Add(-s.options.Retention).UnixMilli()
	none = true
	for _, topic := range stored.topics() {
		if g.subscribes(topic) {
			none = false
			continue
		}
		for _, partition := range stored.partitions(topic) {
			o := stored.offset(topic, partition)
			expired := o.CommitTimestamp <= before
			if o.ExpireTimestamp != offsetrecord.NoTimestamp {
				expired = s.now.UnixMilli() >= o.ExpireTimestamp
			}
			if expired && !s.durable.isPending(id, topic, partition) {
				s.emitOffsetTombstone(id, topic, partition)
			} else {
				none = false
			}
		}
	}
	return none && len(stored.open) == 0 && len(g.members) == 0
}
