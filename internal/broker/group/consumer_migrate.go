package group

import (
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/offsetrecord"
)

// A classic group of consumers becomes a consumer group when the first member of the consumer protocol joins, and is one
// again when the last of these leaves (group.consumer.migration.policy). Its offsets are not touched.

// MigrationPolicy says which of the two may happen to a group that has members.
type MigrationPolicy struct{ Upgrade, Downgrade bool }

// checkUpgrade tells whether a consumer group may take the place of what is there by this name. A group without members
// may always be replaced.
func (s *Shard) checkUpgrade(id string) *refusal {
	g := s.find(id)
	if g == nil || g.state == Empty && len(g.members) == 0 {
		return nil
	}
	if !s.options.Migration.Upgrade || g.protocolType != consumerProtocolType || len(g.members) > s.options.ConsumerMaxSize {
		return refuse(kafka.GroupIDNotFound, "Group %s is not a consumer group.", id)
	}
	for _, m := range g.members {
		_, subscribed := parseSubscription(g.subscriptionOf(m))
		_, assigned := parseAssignment(m.assignment)
		if !subscribed || !assigned && len(m.assignment) > 0 {
			return refuse(kafka.GroupIDNotFound, "Cannot upgrade classic group %s to consumer group because the embedded consumer protocol is malformed.", id)
		}
	}
	if len(g.members) >= s.options.ConsumerMaxSize {
		return s.consumerGroupFull()
	}
	return nil
}

// subscriptionOf is the member's metadata for the group's protocol, or for its own first one if none was elected yet.
func (g *live) subscriptionOf(m *member) []byte {
	if b := m.metadata(g.protocol); b != nil {
		return b
	}
	return m.protocols[0].Metadata
}

// upgrade makes a consumer group of a classic one. Members that wait are asked to join again.
func (s *Shard) upgrade(id string) {
	g := s.find(id)
	if g == nil {
		return
	}
	for _, m := range g.members {
		s.releaseRequests(m, kafka.RebalanceInProgress)
		s.stop(&m.expiry)
	}
	for _, offer := range g.pending {
		s.stop(offer)
	}
	s.stop(&g.joinExpiry)
	s.stop(&g.syncExpiry)
	delete(s.live, id)
	if stored := s.durable.groups[id]; stored != nil && stored.metadata != nil {
		s.emitGroupTombstone(id)
	}
	if len(g.members) == 0 {
		return
	}
	for _, m := range g.members {
		s.emit(Record{Kind: offsetrecord.KindConsumerMember, Group: id, Member: m.id, Body: g.upgraded(m)})
	}
	s.emit(Record{Kind: offsetrecord.KindConsumerGroup, Group: id, Body: &offsetrecord.ConsumerGroup{Epoch: g.generation}})
	given := map[kafka.TopicID]map[int32]bool{}
	assigned := make([]epochs, len(g.members))
	for i, m := range g.members {
		assigned[i] = s.upgradedAssignment(m, g.subscriptionOf(m), g.generation, given)
		s.emit(Record{Kind: offsetrecord.KindConsumerTargetMember, Group: id, Member: m.id, Body: &offsetrecord.ConsumerAssignment{Topics: assigned[i].target()}})
	}
	s.emit(Record{Kind: offsetrecord.KindConsumerTarget, Group: id, Body: &offsetrecord.ConsumerTarget{Epoch: g.generation}})
	for i, m := range g.members {
		s.emitCurrent(id, m.id, &consumerCurrent{epoch: g.generation, previous: g.generation, assigned: assigned[i]})
		s.startConsumerSession(id, m.id, m.session)
	}
	s.decision.Changes = append(s.decision.Changes, Change{Group: id, State: Stable, Generation: g.generation, Members: len(g.members), Reason: "it became a consumer group"})
}

func (g *live) upgraded(m *member) *offsetrecord.ConsumerMember {
	subscription, _ := parseSubscription(g.subscriptionOf(m))
	said := &offsetrecord.ConsumerMember{
		InstanceID: m.instanceID, RackID: subscription.rack, ClientID: m.clientID, ClientHost: m.clientHost,
		Topics: slices.Compact(slices.Sorted(slices.Values(subscription.topics))), RebalanceTimeoutMillis: int32(m.rebalance.Milliseconds()),
		Classic: &offsetrecord.ClassicMember{SessionTimeoutMillis: int32(m.session.Milliseconds())},
	}
	for _, p := range m.protocols {
		said.Classic.Protocols = append(said.Classic.Protocols, offsetrecord.ClassicProtocol(p))
	}
	return said
}

// upgradedAssignment reads what the leader of a classic group gave a member. A partition that another member was given as
// well stays with that one: clients divide as they like, and a consumer group must not have two owners.
func (s *Shard) upgradedAssignment(m *member, subscriptionBytes []byte, generation int32, given map[kafka.TopicID]map[int32]bool) epochs {
	var has epochs
	owned, _ := parseAssignment(m.assignment)
	if len(m.assignment) == 0 {
		// The group was in the middle of a rebalance. A member that gives up no more than it must says what it still has.
		subscription, _ := parseSubscription(subscriptionBytes)
		owned = subscription.owned
	}
	for _, o := range owned {
		t, ok := s.topic(o.topic)
		if !ok {
			continue
		}
		if given[t.ID] == nil {
			given[t.ID] = map[int32]bool{}
		}
		for _, p := range o.partitions {
			if given[t.ID][p] {
				continue
			}
			given[t.ID][p] = true
			if has == nil {
				has = epochs{}
			}
			has.put(t.ID, p, generation)
		}
	}
	return has
}

// target returns e as it stands in a target assignment.
func (e epochs) target() []TopicPartitions {
	topics := e.records()
	for i := range topics {
		topics[i].Epochs = nil
	}
	return topics
}

// mayDowngrade tells whether the consumer group, without those that leave and with some that join, has only members of the
// classic protocol left.
func (s *Shard) mayDowngrade(g *consumerGroup, leaving []*consumerMember, joining int) bool {
	left := len(g.members) - len(leaving)
	classic, consumers := g.classic, 0
	for _, m := range leaving {
		if m.Classic != nil {
			classic--
		} else {
			consumers++
		}
	}
	return s.options.Migration.Downgrade && consumers > 0 && classic == left && left+joining > 0 && left+joining <= s.options.MaxSize
}

// downgrade makes a classic group of a consumer group, without those that leave, and calls its members to a rebalance.
// Until then they are noted to have what they may still hold, which matters if the group becomes a consumer group again
// before they come. (Kafka notes their targets, and may then give away what a member has not given up.)
func (s *Shard) downgrade(id string, from *consumerGroup, leaving []*consumerMember, reason string) {
	g := &live{id: id, state: Stable, since: s.now, generation: from.epoch, protocolType: consumerProtocolType}
	held := map[string]epochs{}
	for _, m := range from.sorted() {
		if slices.Contains(leaving, m) {
			continue
		}
		held[m.id] = m.held()
		joined := &member{
			id: m.id, instanceID: m.InstanceID, clientID: m.ClientID, clientHost: m.ClientHost,
			session: m.classicSession(), rebalance: time.Duration(m.RebalanceTimeoutMillis) * time.Millisecond,
		}
		for _, p := range m.Classic.Protocols {
			joined.protocols = append(joined.protocols, Protocol(p))
		}
		g.add(joined)
	}
	g.protocol = g.elect()
	for _, m := range g.members {
		m.assignment = s.classicAssignment(held[m.id].records(), m.metadata(g.protocol))
	}
	g.updateSubscribed()
	s.deleteConsumerRecords(id, from)
	s.keep(g)
	s.enter(g, Stable, "it became a classic group: "+reason)
	s.emitMetadata(g)
	for _, m := range g.members {
		s.startSession(g, m)
	}
	s.prepareRebalance(g, "it became a classic group")
}

// held are all partitions that the member may be reading.
func (m *consumerMember) held() epochs {
	held := epochs{}
	for _, has := range []epochs{m.assigned, m.revoking} {
		for id, partitions := range has {
			for p, epoch := range partitions {
				held.put(id, p, epoch)
			}
		}
	}
	return held
}

// classicAssignment encodes partitions as the leader of a classic group would, in the version of the member's metadata.
func (s *Shard) classicAssignment(topics []TopicPartitions, metadata []byte) []byte {
	named := map[string][]int32{}
	for _, t := range topics {
		if facts, ok := s.topicByID(t.ID); ok {
			named[facts.Name] = t.Partitions
		}
	}
	owned := make([]ownedTopic, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		owned = append(owned, ownedTopic{name, named[name]})
	}
	return encodeAssignment(metadata, owned)
}
