package api

// ConsumerGroupDescribe (key 69), versions 0-1: the state and members of groups of the consumer protocol.
//
// A group that uses topics which the client may not describe is TOPIC_AUTHORIZATION_FAILED as a whole.
//
// 1: type of the member: 0 speaks the classic protocol, 1 the consumer protocol.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

// Types of members, as ConsumerGroupDescribe numbers them.
const (
	memberTypeClassic  int8 = 0
	memberTypeConsumer int8 = 1
)

func (s *Server) consumerGroupDescribe(ctx context.Context, c *Conn, req *kmsg.ConsumerGroupDescribeRequest) (*kmsg.ConsumerGroupDescribeResponse, error) {
	res := kmsg.NewPtrConsumerGroupDescribeResponse()
	for _, id := range req.Groups {
		out := kmsg.NewConsumerGroupDescribeResponseGroup()
		switch {
		case !s.consumerProtocolServed():
			out.Group, out.ErrorCode = id, kafka.UnsupportedVersion.Code()
		case !s.allow(c, auth.Describe, auth.Group, id):
			out.Group, out.ErrorCode = id, kafka.GroupAuthorizationFailed.Code()
		default:
			out = s.describeConsumerGroup(ctx, c, id)
			if req.IncludeAuthorizedOperations && out.ErrorCode == 0 {
				out.AuthorizedOperations = s.operations(c, auth.Group, id)
			}
		}
		res.Groups = append(res.Groups, out)
	}
	return res, nil
}

func (s *Server) describeConsumerGroup(ctx context.Context, c *Conn, id string) kmsg.ConsumerGroupDescribeResponseGroup {
	out := kmsg.NewConsumerGroupDescribeResponseGroup()
	out.Group = id
	if id == "" {
		out.ErrorCode = kafka.InvalidGroupID.Code()
		return out
	}
	d, err := s.groups.ConsumerDescribe(ctx, id)
	if out.ErrorCode = codeOr(err, d.Err); out.ErrorCode != 0 {
		out.ErrorMessage = nullable(d.Text)
		return out
	}
	for i := range d.Members {
		m := &d.Members[i]
		if !s.mayDescribeAll(c, m.Assigned) || !s.mayDescribeAll(c, m.Target) {
			out.ErrorCode = kafka.TopicAuthorizationFailed.Code()
			out.ErrorMessage = new("The group has described topic(s) that the client is not authorized to describe.")
			return out
		}
	}
	out.State, out.Epoch, out.AssignmentEpoch, out.AssignorName = d.State.String(), d.Epoch, d.AssignmentEpoch, d.Assignor
	for i := range d.Members {
		from := &d.Members[i]
		m := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		m.MemberID, m.InstanceID, m.RackID, m.MemberEpoch = from.ID, nullable(from.InstanceID), nullable(from.RackID), from.Epoch
		m.ClientID, m.ClientHost, m.SubscribedTopics = from.ClientID, from.ClientHost, from.Topics
		m.SubscribedTopicRegex = &from.Regex
		m.MemberType = memberTypeConsumer
		if from.Classic {
			m.MemberType = memberTypeClassic
		}
		m.Assignment.TopicPartitions, m.TargetAssignment.TopicPartitions = describedAssignment(from.Assigned), describedAssignment(from.Target)
		out.Members = append(out.Members, m)
	}
	return out
}

func (s *Server) mayDescribeAll(c *Conn, topics []group.DescribedPartitions) bool {
	for i := range topics {
		if !s.allow(c, auth.Describe, auth.Topic, topics[i].Topic.Name) {
			return false
		}
	}
	return true
}

func describedAssignment(topics []group.DescribedPartitions) []kmsg.AssignmentTopicPartition {
	out := make([]kmsg.AssignmentTopicPartition, 0, len(topics))
	for i := range topics {
		t := kmsg.NewAssignmentTopicPartition()
		t.TopicID, t.Topic, t.Partitions = topics[i].Topic.ID, topics[i].Topic.Name, topics[i].Partitions
		out = append(out, t)
	}
	return out
}
