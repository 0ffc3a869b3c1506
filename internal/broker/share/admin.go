package share

import (
	"maps"
	"slices"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/sharerecord"
)

func (g *Groups) offsets(id string) []NamedPartitions {
	s := g.groups[id]
	if s == nil {
		return []NamedPartitions{}
	}
	return named(s.ready)
}

var errNonEmpty = kafka.Errorf(kafka.NonEmptyGroup, "The group is not empty.")

func (g *Groups) beginAlter(e *BeginAlter) AlterReply {
	if e.Group == "" {
		return AlterReply{Err: kafka.InvalidGroupID}
	}
	s := g.groups[e.Group]
	if s == nil {
		s = newGroup(e.Group)
	}
	if len(s.members) > 0 {
		return AlterReply{Err: errNonEmpty}
	}
	if len(e.Topics) > 0 {
		g.emitPartitions(s, with(s.initializing, e.Topics), s.ready, s.deleting)
		s = g.groups[e.Group]
	}
	return AlterReply{StateEpoch: s.epoch}
}

func (g *Groups) initialized(id string, topics []NamedPartitions) {
	s := g.groups[id]
	if s == nil || len(topics) == 0 {
		return
	}
	// What was deleted meanwhile is not initialized.
	topics = slices.DeleteFunc(slices.Clone(topics), func(t NamedPartitions) bool { return s.initializing[t.ID] == nil })
	if len(topics) == 0 {
		return
	}
	g.emitPartitions(s, without(s.initializing, topics), with(s.ready, topics), s.deleting)
}

func (g *Groups) uninitialized(id string, topics []NamedPartitions) {
	s := g.groups[id]
	if s == nil || !slices.ContainsFunc(topics, func(t NamedPartitions) bool { return s.initializing[t.ID] != nil }) {
		return
	}
	g.emitPartitions(s, without(s.initializing, topics), s.ready, s.deleting)
}

func (g *Groups) beginDelete(e *BeginDelete) DeleteReply {
	// To delete a group is asked of all types, where one without a name is one that does not exist.
	if e.Group == "" && !e.All {
		return DeleteReply{Err: kafka.InvalidGroupID}
	}
	s := g.groups[e.Group]
	switch {
	case s == nil:
		return DeleteReply{Err: notFound(e.Group)}
	case len(s.members) > 0:
		return DeleteReply{Err: errNonEmpty}
	}
	ready, initializing, deleting := maps.Clone(s.ready), maps.Clone(s.initializing), maps.Clone(s.deleting)
	var gone []NamedPartitions
	for _, from := range []map[kafka.TopicID]*partitions{ready, initializing} {
		for _, t := range named(from) {
			if !e.All && !slices.Contains(e.Topics, t.ID) {
				continue
			}
			gone = append(gone, t)
			deleting[t.ID] = t.Name
			delete(from, t.ID)
		}
	}
	if len(gone) > 0 {
		g.emitPartitions(s, initializing, ready, deleting)
	}
	return DeleteReply{Topics: gone}
}

// deleteOffsets forgets topics whose states are gone.
func (g *Groups) deleteOffsets(id string, topics []kafka.TopicID) {
	s := g.groups[id]
	if s == nil {
		return
	}
	ready, initializing, deleting := maps.Clone(s.ready), maps.Clone(s.initializing), maps.Clone(s.deleting)
	for _, t := range topics {
		delete(ready, t)
		delete(initializing, t)
		delete(deleting, t)
	}
	if len(ready) != len(s.ready) || len(initializing) != len(s.initializing) || len(deleting) != len(s.deleting) {
		g.emitPartitions(s, initializing, ready, deleting)
	}
}

func (g *Groups) deleteGroup(id string) kafka.Error {
	s := g.groups[id]
	switch {
	case s == nil:
		return kafka.GroupIDNotFound
	case len(s.members) > 0:
		return kafka.NonEmptyGroup
	}
	g.emit(sharerecord.KindAssignmentEpoch, id, "", nil)
	g.emit(sharerecord.KindPartitions, id, "", nil)
	g.emit(sharerecord.KindEpoch, id, "", nil)
	return kafka.None
}

func (g *Groups) knownTopics() []kafka.TopicID {
	known := map[kafka.TopicID]bool{}
	for _, s := range g.groups {
		for _, m := range []map[kafka.TopicID]*partitions{s.initializing, s.ready} {
			for id := range m {
				known[id] = true
			}
		}
		for id := range s.deleting {
			known[id] = true
		}
	}
	return slices.SortedFunc(maps.Keys(known), sharerecord.CompareIDs)
}
