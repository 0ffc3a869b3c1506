package api

import (
	"iter"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// RebalanceProtocols says which kinds of groups are served.
var RebalanceProtocols = config.List("group.coordinator.rebalance.protocols", []string{"classic", "consumer", "streams"},
	config.OneOf("consumer", "classic", "share", "streams"), "Kinds of groups that are served.")

// ConsumerAssignmentInterval acts from the next heartbeat on.
var ConsumerAssignmentInterval = config.MillisInt("group.consumer.assignment.interval.ms", time.Second, config.AtLeast(0), config.Dynamic,
	"Least time between two assignments of a group of the consumer protocol.")

// Picture returns what groups may know of the topics of a view.
func Picture(view *topics.View) group.Topics { return picture{view} }

// picture is a view of the topics as groups see it.
type picture struct{ view *topics.View }

func (p picture) Version() int64 { return p.view.Revision }

func (p picture) ByName(name string) (group.TopicFacts, bool) {
	t, ok := p.view.ByName(name)
	if !ok {
		return group.TopicFacts{}, false
	}
	return factsOf(t), true
}

func (p picture) ByID(id kafka.TopicID) (group.TopicFacts, bool) {
	t, ok := p.view.ByID(id)
	if !ok {
		return group.TopicFacts{}, false
	}
	return factsOf(t), true
}

func (p picture) Names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range p.view.All() {
			if !yield(t.Name) {
				return
			}
		}
	}
}

func factsOf(t *topics.Topic) group.TopicFacts {
	return group.TopicFacts{ID: t.ID, Name: t.Name, Partitions: t.Partitions}
}

// consumerConfig are the settings of a group: its own, else those of the broker that can be changed while it runs.
func (s *Server) consumerConfig(id string) group.ConsumerConfig {
	view := s.topics.View()
	own := false
	for _, k := range []config.Declared{topics.GroupConsumerSessionTimeout, topics.GroupConsumerHeartbeatInterval, topics.GroupConsumerAssignmentInterval} {
		_, set := view.HasGroupConfig(id, k.Setting().Name())
		own = own || set
	}
	c := group.ConsumerConfig{AssignmentInterval: ConsumerAssignmentInterval.Get(view.Values())}
	if own {
		values := view.GroupConfig(id)
		c.SessionTimeout = topics.GroupConsumerSessionTimeout.Get(values)
		c.HeartbeatInterval = topics.GroupConsumerHeartbeatInterval.Get(values)
		c.AssignmentInterval = topics.GroupConsumerAssignmentInterval.Get(values)
	}
	if c.AssignmentInterval == 0 {
		c.AssignmentInterval = -1 // to the group 0 is "not set"
	}
	return c
}
