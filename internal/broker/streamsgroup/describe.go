package streamsgroup

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

func (m *Machine) describe(e *Describe) Description {
	g := m.groups[e.Group]
	if g == nil {
		return Description{Err: kafka.Errorf(kafka.GroupIDNotFound, "Group %s not found.", e.Group)}
	}
	g.configure(e.Topics)
	d := Description{State: g.state(), Epoch: g.epoch, AssignmentEpoch: g.targetEpoch, Topology: g.topology}
	if g.ready() {
		d.TopicPartitions = g.configured.internal
	}
	for _, mem := range g.sortedMembers() {
		s := &mem.said
		out := DescribedMember{
			ID: mem.id, Epoch: mem.holding.epoch, InstanceID: s.InstanceID, RackID: s.RackID, ClientID: s.ClientID, ClientHost: s.ClientHost,
			TopologyEpoch: s.TopologyEpoch, ProcessID: s.ProcessID, Endpoint: s.Endpoint, Tags: s.Tags, Offsets: mem.offsets, EndOffsets: mem.ends,
			Assigned: mem.holding.owned,
		}
		if t := g.target[mem.id]; t != nil {
			out.Target = *t
		}
		d.Members = append(d.Members, out)
	}
	return d
}

func (m *Machine) list() []Listing {
	out := []Listing{}
	for _, id := range slices.Sorted(maps.Keys(m.groups)) {
		out = append(out, Listing{id, m.groups[id].state()})
	}
	return out
}

// endpoints returns the partitions behind each endpoint, by member.
func (g *group) endpoints() []EndpointPartitions {
	out := []EndpointPartitions{}
	for _, mem := range g.sortedMembers() {
		if mem.said.Endpoint != nil {
			out = append(out, EndpointPartitions{*mem.said.Endpoint, g.partitionsOf(mem.holding.owned[Active]), g.partitionsOf(mem.holding.owned[Standby])})
		}
	}
	return out
}

// partitionsOf returns the source partitions of tasks.
func (g *group) partitionsOf(tasks TaskSet) []TopicPartitions {
	if g.configured == nil {
		return nil
	}
	by := map[string][]int32{}
	for _, t := range tasks.Sorted() {
		for topic, n := range g.configured.sources[t.Subtopology] {
			if t.Partition < n {
				by[topic] = append(by[topic], t.Partition)
			}
		}
	}
	out := make([]TopicPartitions, 0, len(by))
	for topic, partitions := range by {
		slices.Sort(partitions)
		out = append(out, TopicPartitions{topic, slices.Compact(partitions)})
	}
	slices.SortFunc(out, func(a, b TopicPartitions) int { return cmp.Compare(a.Topic, b.Topic) })
	return out
}

// CheckCommit says what is wrong with a commit, or a fetch, of offsets by a member in an epoch: nothing, for the epoch that
// the member is in, and for earlier ones (KIP-1251) if the partition was the member's since then.
func (m *Machine) CheckCommit(id, memberID string, epoch int32) (kafka.Error, func(topic string, partition int32) kafka.Error) {
	g := m.groups[id]
	fine := func(string, int32) kafka.Error { return kafka.None }
	switch {
	case g == nil:
		return kafka.GroupIDNotFound, nil
	case epoch < 0 && memberID == "" && len(g.members) == 0:
		return kafka.None, fine // an administrator's
	}
	mem := g.members[memberID]
	switch {
	case mem == nil:
		return kafka.UnknownMemberID, nil
	case epoch == mem.holding.epoch:
		return kafka.None, fine
	case epoch > mem.holding.epoch:
		return kafka.StaleMemberEpoch, nil
	}
	return kafka.None, func(topic string, partition int32) kafka.Error {
		if g.topology != nil {
			for _, has := range []TaskSet{mem.holding.owned[Active], mem.holding.revoking[Active]} {
				for t, since := range has {
					if t.Partition == partition && since <= epoch && g.reads(t.Subtopology, topic) {
						return kafka.None
					}
				}
			}
		}
		return kafka.StaleMemberEpoch
	}
}

func (g *group) reads(subtopology, topic string) bool {
	if g.configured != nil {
		_, ok := g.configured.sources[subtopology][topic]
		return ok
	}
	for i := range g.topology.Subtopologies {
		s := &g.topology.Subtopologies[i]
		if s.ID != subtopology {
			continue
		}
		if slices.Contains(s.SourceTopics, topic) {
			return true
		}
		for j := range s.RepartitionSourceTopics {
			if s.RepartitionSourceTopics[j].Name == topic {
				return true
			}
		}
	}
	return false
}

// Empty says whether a group has no members.
func (m *Machine) Empty(id string) bool { return m.groups[id] == nil || len(m.groups[id].members) == 0 }

// Reads says whether the tasks of a group with members read a topic.
func (m *Machine) Reads(id, topic string) bool {
	g := m.groups[id]
	if g == nil || g.topology == nil || len(g.members) == 0 {
		return false
	}
	for i := range g.topology.Subtopologies {
		if g.reads(g.topology.Subtopologies[i].ID, topic) {
			return true
		}
	}
	return false
}

// Yield gives the name of a group without members up to a group of another kind. It returns false, and does nothing, if
// the group has members.
func (m *Machine) Yield(id string, now time.Time) (machine.Decision, bool) {
	m.now, m.decision = now, machine.Decision{}
	ok := m.delete(id) != kafka.NonEmptyGroup
	return m.take(), ok
}
