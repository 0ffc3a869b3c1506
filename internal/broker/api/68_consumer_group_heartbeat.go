package api

// ConsumerGroupHeartbeat (key 68), versions 0-1: makes the client a member of a consumer group (KIP-848), keeps it one, and tells
// it which partitions it has.
//
// The answer is sent when what it says is durable. A regular expression is matched when the heartbeat brings it, so that the
// first answer has its topics already; Kafka matches it in the background, and tells them with a later answer.
//
// 1: clients make their member ids; subscription by regular expression.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

func (s *Server) consumerGroupHeartbeat(ctx context.Context, c *Conn, req *kmsg.ConsumerGroupHeartbeatRequest) (*kmsg.ConsumerGroupHeartbeatResponse, error) {
	res := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	if refused := s.refuseConsumerHeartbeat(c, req); refused != kafka.None {
		res.ErrorCode = refused.Code()
		return res, nil
	}
	event := group.ConsumerHeartbeat{
		Group: req.Group, MemberID: req.MemberID, MemberEpoch: req.MemberEpoch, InstanceID: req.InstanceID, RackID: req.RackID,
		ClientID: c.ClientID, ClientHost: c.clientHost(), RebalanceTimeout: req.RebalanceTimeoutMillis, Topics: req.SubscribedTopicNames,
		Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor, HasOwned: req.Topics != nil, NeedsMemberID: req.Version >= 1,
		Config: s.consumerConfig(req.Group), Describable: s.mayMatch(c),
	}
	for i := range req.Topics {
		event.Owned = append(event.Owned, group.TopicPartitions{ID: req.Topics[i].TopicID, Partitions: req.Topics[i].Partitions})
	}
	reply, err := s.groups.ConsumerHeartbeat(ctx, event)
	if res.ErrorCode = codeOr(err, reply.Err); res.ErrorCode != 0 {
		res.ErrorMessage = nullable(reply.Text)
		if err != nil {
			res.ErrorMessage = textOf(err)
		}
		return res, nil
	}
	res.MemberID, res.MemberEpoch = &reply.MemberID, reply.MemberEpoch
	res.HeartbeatIntervalMillis = int32(reply.HeartbeatInterval.Milliseconds())
	if reply.Assignment != nil {
		assignment := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
		for _, t := range *reply.Assignment {
			topic := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
			topic.TopicID, topic.Partitions = t.ID, t.Partitions
			assignment.Topics = append(assignment.Topics, topic)
		}
		res.Assignment = &assignment
	}
	return res, nil
}

// refuseConsumerHeartbeat is the error for a client that may not be a member, or not one with these topics.
func (s *Server) refuseConsumerHeartbeat(c *Conn, req *kmsg.ConsumerGroupHeartbeatRequest) kafka.Error {
	switch {
	case !s.consumerProtocolServed():
		return kafka.UnsupportedVersion
	case !s.allow(c, auth.Read, auth.Group, req.Group):
		return kafka.GroupAuthorizationFailed
	}
	for _, topic := range req.SubscribedTopicNames {
		if !s.allow(c, auth.Describe, auth.Topic, topic) {
			return kafka.TopicAuthorizationFailed
		}
	}
	return kafka.None
}

// consumerProtocolServed tells whether groups of the consumer protocol are switched on.
func (s *Server) consumerProtocolServed() bool {
	return s.protocols[group.Consumer] && s.features.Level(feature.GroupVersion) > 0
}

// mayMatch returns a function that tells which topics the client may describe, as of now; nil means all. It may be called
// from another goroutine, and asks without leaving a trace in the audit: it is about what the client is to be told.
func (s *Server) mayMatch(c *Conn) func(topic string) bool {
	if s.access == nil {
		return nil
	}
	set, principal, host := s.access.Set(), c.Principal, c.Peer
	return func(topic string) bool {
		return set.Decide(acl.Request{Principal: principal, Host: host, Operation: auth.Describe, Type: auth.Topic, Name: topic}).Allowed
	}
}
