package share

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

// group is one share group.
type group struct {
	id              string
	epoch           int32
	hash            int64 // of the topics that the members read
	assignmentEpoch int32
	assignedAt      int64 // when the assignment was made, in ms
	members         map[string]*member
	targets         map[string][]TopicPartitions
	// Partitions whose state is about to be made, was made, and topics whose state is about to be deleted.
	initializing map[kafka.TopicID]*partitions
	ready        map[kafka.TopicID]*partitions
	deleting     map[kafka.TopicID]string
}

// partitions are some of a topic's, ascending. since is when it was asked for them; it is not replayed.
type partitions struct {
	name  string
	list  []int32
	since time.Time
}

type member struct {
	id              string
	info            sharerecord.Member
	epoch, previous int32
	assigned        []TopicPartitions

	// due is when the session ends, queued whether the queue of sessions has an entry. They are not replayed.
	due    time.Time
	queued bool
	gone   bool
}

func newGroup(id string) *group {
	return &group{
		id: id, epoch: firstEpoch, assignmentEpoch: firstEpoch, members: map[string]*member{}, targets: map[string][]TopicPartitions{},
		initializing: map[kafka.TopicID]*partitions{}, ready: map[kafka.TopicID]*partitions{}, deleting: map[kafka.TopicID]string{},
	}
}

func (s *group) state() string {
	if len(s.members) == 0 {
		return StateEmpty
	}
	return StateStable
}

// apply is the one place where records change the state. Tombstones make nothing.
func (g *Groups) apply(r *sharerecord.GroupRecord) {
	s := g.groups[r.Group]
	if s == nil {
		if r.Value == nil {
			return
		}
		s = newGroup(r.Group)
		g.groups[r.Group] = s
	}
	switch r.Kind {
	case sharerecord.KindMember:
		g.applyMember(s, r)
	case sharerecord.KindEpoch:
		if v, ok := r.Value.(*sharerecord.Epoch); ok {
			s.epoch, s.hash = v.Epoch, v.MetadataHash
		} else {
			g.drop(s)
		}
	case sharerecord.KindAssignmentEpoch:
		s.assignmentEpoch, s.assignedAt = firstEpoch, 0
		if v, ok := r.Value.(*sharerecord.AssignmentEpoch); ok {
			s.assignmentEpoch, s.assignedAt = v.Epoch, v.Timestamp
		}
	case sharerecord.KindTarget:
		if v, ok := r.Value.(*sharerecord.Assignment); ok {
			s.targets[r.Member] = v.Topics
		} else {
			delete(s.targets, r.Member)
		}
	case sharerecord.KindCurrent:
		if v, ok := r.Value.(*sharerecord.Current); ok {
			m := s.member(r.Member)
			m.epoch, m.previous, m.assigned = v.Epoch, v.Previous, v.Topics
		} else if m := s.members[r.Member]; m != nil {
			m.epoch, m.previous, m.assigned = -1, -1, nil
		}
	case sharerecord.KindPartitions:
		v, ok := r.Value.(*sharerecord.Partitions)
		if !ok {
			v = &sharerecord.Partitions{}
		}
		s.initializing, s.ready = g.taken(s.initializing, v.Initializing), g.taken(s.ready, v.Initialized)
		s.deleting = map[kafka.TopicID]string{}
		for _, t := range v.Deleting {
			s.deleting[t.ID] = t.Name
		}
	}
}

func (g *Groups) applyMember(s *group, r *sharerecord.GroupRecord) {
	if v, ok := r.Value.(*sharerecord.Member); ok {
		s.member(r.Member).info = *v
		return
	}
	if m := s.members[r.Member]; m != nil {
		m.gone = true
		delete(s.members, r.Member)
	}
}

func (g *Groups) drop(s *group) {
	for _, m := range s.members {
		m.gone = true
	}
	delete(g.groups, s.id)
}

// taken is what a record says, with the times of what was there.
func (g *Groups) taken(before map[kafka.TopicID]*partitions, now []NamedPartitions) map[kafka.TopicID]*partitions {
	out := make(map[kafka.TopicID]*partitions, len(now))
	for _, t := range now {
		p := &partitions{name: t.Name, list: sorted(t.Partitions)}
		if old := before[t.ID]; old != nil && slices.Equal(old.list, p.list) {
			p.since = old.since
		} else {
			p.since = g.now
		}
		out[t.ID] = p
	}
	return out
}

func sorted(list []int32) []int32 {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// member returns a member, new if need be.
func (s *group) member(id string) *member {
	m := s.members[id]
	if m == nil {
		m = &member{id: id, epoch: -1, previous: -1}
		s.members[id] = m
	}
	return m
}

// topics returns the names that the members read, sorted, where as the member changed would have it.
func (s *group) topics(changed string, subscribed []string) []string {
	names := slices.Clone(subscribed)
	for id, m := range s.members {
		if id != changed {
			names = append(names, m.info.SubscribedTopics...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// metadataHash tells of changes of topics; 0 if none of them exists. It need not be Kafka's: a different hash costs one
// epoch when a group moves.
func metadataHash(names []string, topics Topics) int64 {
	h := fnv.New64a()
	any := false
	for _, name := range names {
		id, n, ok := topics.Topic(name)
		if !ok {
			continue
		}
		any = true
		h.Write(id[:])
		h.Write([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
	}
	if !any {
		return 0
	}
	return int64(h.Sum64())
}

// record is the record of the group's partitions.
func (s *group) record(initializing, ready map[kafka.TopicID]*partitions, deleting map[kafka.TopicID]string) *sharerecord.Partitions {
	out := &sharerecord.Partitions{Initializing: named(initializing), Initialized: named(ready)}
	for id, name := range deleting {
		out.Deleting = append(out.Deleting, sharerecord.NamedTopic{ID: id, Name: name})
	}
	slices.SortFunc(out.Deleting, func(a, b sharerecord.NamedTopic) int { return sharerecord.CompareIDs(a.ID, b.ID) })
	return out
}

func named(m map[kafka.TopicID]*partitions) []NamedPartitions {
	out := make([]NamedPartitions, 0, len(m))
	for id, p := range m {
		out = append(out, NamedPartitions{ID: id, Name: p.name, Partitions: p.list})
	}
	slices.SortFunc(out, func(a, b NamedPartitions) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), sharerecord.CompareIDs(a.ID, b.ID))
	})
	return out
}

// with returns m with partitions added, those that are there already included.
func with(m map[kafka.TopicID]*partitions, added []NamedPartitions) map[kafka.TopicID]*partitions {
	out := maps.Clone(m)
	for _, t := range added {
		list := t.Partitions
		if old := out[t.ID]; old != nil {
			list = slices.Concat(old.list, list)
		}
		out[t.ID] = &partitions{name: t.Name, list: sorted(list)}
	}
	return out
}

// without returns m with partitions taken away, and topics of which none are left.
func without(m map[kafka.TopicID]*partitions, removed []NamedPartitions) map[kafka.TopicID]*partitions {
	out := maps.Clone(m)
	for _, t := range removed {
		old := out[t.ID]
		if old == nil {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(old.list), func(p int32) bool { return slices.Contains(t.Partitions, p) })
		if len(rest) == 0 {
			delete(out, t.ID)
			continue
		}
		out[t.ID] = &partitions{name: old.name, list: rest}
	}
	return out
}

// emitPartitions writes the partitions' record.
func (g *Groups) emitPartitions(s *group, initializing, ready map[kafka.TopicID]*partitions, deleting map[kafka.TopicID]string) {
	g.emit(sharerecord.KindPartitions, s.id, "", s.record(initializing, ready, deleting))
}
