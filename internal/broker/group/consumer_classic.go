package group

import (
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// Members of the classic protocol in a consumer group (KIP-848, online migration): they join, sync, send heartbeats and
// leave as they always did, and are given their share of the group's target assignment. A rebalance is theirs alone: a
// heartbeat asks the member to join again when there is a step to take.

func (m *consumerMember) classicSession() time.Duration {
	return time.Duration(m.Classic.SessionTimeoutMillis) * time.Millisecond
}

func (m *consumerMember) classicProtocol() string { return m.Classic.Protocols[0].Name }

// joinConsumer handles JoinGroup of a consumer group that has members.
func (s *Shard) joinConsumer(id RequestID, e *Join, g *consumerGroup) {
	memberID := e.MemberID
	if memberID == "" {
		memberID = e.NewMemberID
	}
	subscription, ok := decodeSubscription(e.Protocols)
	switch {
	case len(g.members) >= s.options.ConsumerMaxSize && g.members[memberID] == nil:
		s.replyJoinError(id, "", kafka.GroupMaxSizeReached)
		return
	case !g.accepts(e.ProtocolType, e.Protocols):
		s.replyJoinError(id, "", kafka.InconsistentGroupProtocol)
		return
	case !ok:
		s.replyJoinError(id, "", kafka.UnknownServerError)
		return
	case e.MemberID == "" && e.InstanceID == "" && e.RequireKnownMember:
		// The id is not remembered: whoever comes back with it is let in.
		s.replyJoinError(id, memberID, kafka.MemberIDRequired)
		return
	}
	old := g.members[g.static[e.InstanceID]]
	if e.InstanceID != "" && e.MemberID != "" {
		if r := old.checkInstance(memberID, e.InstanceID); r != nil {
			s.replyJoinError(id, e.MemberID, r.err)
			return
		}
	}
	if e.InstanceID != "" && old != nil && e.MemberID == "" {
		if s.mayDowngrade(g, []*consumerMember{old}, 1) {
			// It takes the place of the last member of the consumer protocol.
			s.downgrade(e.Group, g, []*consumerMember{old}, "a static member came back with the classic protocol")
			s.join(id, e)
			return
		}
		s.replaceMember(e.Group, g, old, memberID)
	}
	s.updateConsumer(e.Group, g, memberID, e.said(g.members[memberID], subscription), nil)
	s.advanceConsumer(&progress{group: e.Group, member: memberID, owned: s.ownedIDs(subscription.owned), hasOwned: true})
	m := g.members[memberID]
	s.stopConsumerTimer(e.Group, memberID, joinTimer)
	s.startConsumerSession(e.Group, memberID, m.classicSession())
	s.setConsumerTimer(e.Group, memberID, syncTimer, e.RebalanceTimeout)
	s.reply(id, JoinReply{MemberID: memberID, Generation: m.epoch, ProtocolType: consumerProtocolType, Protocol: m.classicProtocol()})
}

// said is what a classic member's request says of it. before may be nil.
func (e *Join) said(before *consumerMember, subscription consumerSubscription) *offsetrecord.ConsumerMember {
	said := &offsetrecord.ConsumerMember{RebalanceTimeoutMillis: -1}
	if before != nil {
		*said = *before.ConsumerMember
	}
	if e.InstanceID != "" {
		said.InstanceID = e.InstanceID
	}
	if subscription.rack != "" {
		said.RackID = subscription.rack
	}
	said.Topics = slices.Compact(slices.Sorted(slices.Values(subscription.topics)))
	said.ClientID, said.ClientHost = e.ClientID, e.ClientHost
	said.Regex, said.Assignor = "", "" // of a member of the consumer protocol whose place this one took
	said.RebalanceTimeoutMillis = int32(e.RebalanceTimeout.Milliseconds())
	said.Classic = &offsetrecord.ClassicMember{SessionTimeoutMillis: int32(e.SessionTimeout.Milliseconds())}
	for _, p := range e.Protocols {
		said.Classic.Protocols = append(said.Classic.Protocols, offsetrecord.ClassicProtocol(p))
	}
	return said
}

// accepts tells whether a member of the classic protocol with these protocols fits to the others.
func (g *consumerGroup) accepts(protocolType string, protocols []Protocol) bool {
	return protocolType == consumerProtocolType && slices.ContainsFunc(protocols, func(p Protocol) bool {
		return g.supports[p.Name] == g.classic
	})
}

// ownedIDs finds the ids of topics; those that are gone are left out.
func (s *Shard) ownedIDs(owned []ownedTopic) []TopicPartitions {
	var topics []TopicPartitions
	for _, o := range owned {
		if t, ok := s.topic(o.topic); ok {
			topics = append(topics, TopicPartitions{ID: t.ID, Partitions: o.partitions})
		}
	}
	return topics
}

// checkClassic finds the classic member that sends a request.
func (g *consumerGroup) checkClassic(memberID, instanceID string, generation int32) (*consumerMember, kafka.Error) {
	m := g.members[memberID]
	if instanceID != "" {
		m = g.members[g.static[instanceID]]
		if r := m.checkInstance(memberID, instanceID); r != nil {
			return nil, r.err
		}
	}
	switch {
	case m == nil, m.Classic == nil:
		return nil, kafka.UnknownMemberID
	case generation != m.epoch:
		return nil, kafka.IllegalGeneration
	}
	return m, kafka.None
}

// syncConsumer handles SyncGroup of a consumer group: the assignment is there already.
func (s *Shard) syncConsumer(e *Sync, g *consumerGroup) SyncReply {
	m, err := g.checkClassic(e.MemberID, e.InstanceID, e.Generation)
	switch {
	case err != kafka.None:
		return SyncReply{Err: err}
	case e.ProtocolType != "" && e.ProtocolType != consumerProtocolType, e.Protocol != "" && e.Protocol != m.classicProtocol():
		return SyncReply{Err: kafka.InconsistentGroupProtocol}
	case g.epoch > m.epoch && m.state != memberUnrevoked:
		s.awaitJoin(e.Group, m)
		return SyncReply{Err: kafka.RebalanceInProgress}
	}
	s.stopConsumerTimer(e.Group, m.id, syncTimer)
	s.startConsumerSession(e.Group, m.id, m.classicSession())
	return SyncReply{
		ProtocolType: e.ProtocolType, Protocol: e.Protocol,
		Assignment: s.classicAssignment(m.assigned.records(), m.Classic.Protocols[0].Metadata),
	}
}

// awaitJoin gives a classic member its rebalance timeout to join again.
func (s *Shard) awaitJoin(group string, m *consumerMember) {
	if !s.hasConsumerTimer(group, m.id, joinTimer) {
		s.setConsumerTimer(group, m.id, joinTimer, time.Duration(m.RebalanceTimeoutMillis)*time.Millisecond)
	}
}

// heartbeatConsumer handles Heartbeat of a consumer group.
func (s *Shard) heartbeatConsumer(e *Heartbeat, g *consumerGroup) kafka.Error {
	m, err := g.checkClassic(e.MemberID, e.InstanceID, e.Generation)
	if err != kafka.None {
		return err
	}
	s.startConsumerSession(e.Group, m.id, m.classicSession())
	if m.epoch < g.epoch || m.state == memberUnrevoked || m.state == memberUnreleased && !g.waits(m) {
		s.awaitJoin(e.Group, m)
		return kafka.RebalanceInProgress
	}
	return kafka.None
}

// waits tells whether a partition of the member's target is still another's.
func (g *consumerGroup) waits(m *consumerMember) bool {
	for id, partitions := range g.target[m.id] {
		for _, p := range partitions {
			if _, has := m.assigned[id][p]; !has && g.owner(id, p) != noOwner {
				return true
			}
		}
	}
	return false
}

// leaveConsumer handles LeaveGroup of a consumer group. Administrators take members of either protocol out with it.
func (s *Shard) leaveConsumer(e *Leave, g *consumerGroup) LeaveReply {
	reply := LeaveReply{Members: make([]kafka.Error, len(e.Members))}
	var leaving []*consumerMember
	for i := range e.Members {
		l := &e.Members[i]
		m := g.members[l.MemberID]
		if l.InstanceID != "" {
			m = g.members[g.static[l.InstanceID]]
			if r := m.checkInstance(l.MemberID, l.InstanceID); r != nil && (m == nil || l.MemberID != "") {
				reply.Members[i] = r.err
				continue
			}
		}
		if m == nil || slices.Contains(leaving, m) {
			reply.Members[i] = kafka.UnknownMemberID
			continue
		}
		leaving = append(leaving, m)
	}
	if len(leaving) > 0 {
		s.fenceConsumers(e.Group, g, leaving, "members left")
	}
	return reply
}
