package group

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
)

// describe handles one group of DescribeGroups.
func (s *Shard) describe(id string) Description {
	g, guest := s.find(id), s.options.Guests.Has(id)
	if g == nil || guest {
		return Description{Err: kafka.GroupIDNotFound, State: Dead, OtherType: guest || s.consumerOf(id) != nil}
	}
	d := Description{State: g.state, ProtocolType: g.protocolType}
	if g.state == Stable {
		d.Protocol = g.protocol
	}
	for _, m := range g.members {
		member := DescribedMember{ID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost, Assignment: m.assignment}
		if g.state == Stable {
			member.Metadata = m.metadata(g.protocol)
		}
		d.Members = append(d.Members, member)
	}
	s.settle(id)
	return d
}

// groupIDs returns all groups of the shard in order.
func (s *Shard) groupIDs() []string {
	ids := slices.AppendSeq(make([]string, 0, len(s.durable.groups)), maps.Keys(s.durable.groups))
	for id := range s.live {
		if s.durable.groups[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// list handles ListGroups.
func (s *Shard) list() []Listing {
	ids := s.groupIDs()
	listings := make([]Listing, 0, len(ids))
	for _, id := range ids {
		if s.options.Guests.Has(id) {
			continue
		}
		listing := Listing{Group: id, Type: Classic, State: Empty}
		if g := s.consumerOf(id); g != nil {
			listing.Type, listing.State, listing.ProtocolType = Consumer, g.state(), consumerProtocolType
		} else if g := s.live[id]; g != nil {
			listing.State, listing.ProtocolType = g.state, g.protocolType
		} else if metadata := s.durable.groups[id].metadata; metadata != nil {
			listing.ProtocolType = metadata.ProtocolType
		}
		listings = append(listings, listing)
	}
	return listings
}

// snapshot lists all committed offsets.
func (s *Shard) snapshot(pending bool) []CommittedOffset {
	var all []CommittedOffset
	list := func(id string, from offsets) {
		for _, topic := range from.topics() {
			for _, partition := range from.partitions(topic) {
				o := from[topic][partition]
				all = append(all, CommittedOffset{Group: id, Topic: topic, TopicID: o.TopicID, Partition: partition, Offset: o.Offset.Offset})
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.durable.groups)) {
		stored := s.durable.groups[id]
		list(id, stored.offsets)
		if pending {
			for _, producer := range slices.Sorted(maps.Keys(stored.open)) {
				list(id, s.durable.producers[producer].pending[id])
			}
		}
	}
	return all
}
