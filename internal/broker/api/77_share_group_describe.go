package api

// ShareGroupDescribe (key 77), version 1: the members of share groups and what they were assigned.
//
// A group with a member that was assigned partitions of a topic which the client may not describe is
// TOPIC_AUTHORIZATION_FAILED, and nothing of its members is told.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// shareAssignor is the one assignor of share groups.
const shareAssignor = "simple"

func (s *Server) shareGroupDescribe(ctx context.Context, c *Conn, req *kmsg.ShareGroupDescribeRequest) (*kmsg.ShareGroupDescribeResponse, error) {
	res := kmsg.NewPtrShareGroupDescribeResponse()
	for _, id := range req.GroupIDs {
		g := kmsg.NewShareGroupDescribeResponseGroup()
		g.GroupID, g.AuthorizedOperations = id, operationsNotAsked
		switch {
		case !s.allow(c, auth.Describe, auth.Group, id):
			g.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		case id == "":
			g.ErrorCode = kafka.InvalidGroupID.Code()
		default:
			s.describeShareGroup(ctx, c, &g)
			if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
				g.AuthorizedOperations = s.operations(c, auth.Group, id)
			}
		}
		res.Groups = append(res.Groups, g)
	}
	return res, nil
}

func (s *Server) describeShareGroup(ctx context.Context, c *Conn, g *kmsg.ShareGroupDescribeResponseGroup) {
	d, err := s.shares.Describe(ctx, g.GroupID)
	if err == nil {
		err = d.Err
	}
	if err != nil {
		g.ErrorCode, g.ErrorMessage = refusal(err)
		return
	}
	view := shareTopics{s.topics.View()}
	for i := range d.Members {
		for _, t := range d.Members[i].Assignment {
			if topic, ok := view.view.ByID(t.ID); ok && !s.allow(c, auth.Describe, auth.Topic, topic.Name) {
				g.ErrorCode = kafka.TopicAuthorizationFailed.Code()
				g.ErrorMessage = new("The group has described topic(s) that the client is not authorized to describe.")
				return
			}
		}
	}
	g.GroupState, g.GroupEpoch, g.AssignmentEpoch, g.Assignor = d.State, d.Epoch, d.AssignmentEpoch, shareAssignor
	for i := range d.Members {
		g.Members = append(g.Members, describedShareMember(&d.Members[i], view))
	}
}

func describedShareMember(from *share.DescribedMember, topics shareTopics) kmsg.ShareGroupDescribeResponseGroupMember {
	m := kmsg.NewShareGroupDescribeResponseGroupMember()
	m.MemberID, m.RackID, m.MemberEpoch = from.ID, from.RackID, from.Epoch
	m.ClientID, m.ClientHost, m.SubscribedTopicNames = from.ClientID, from.ClientHost, from.Subscribed
	for _, t := range from.Assignment {
		topic, ok := topics.view.ByID(t.ID)
		if !ok {
			continue // deleted, and not yet taken from the member
		}
		out := kmsg.NewShareGroupDescribeResponseGroupMemberAssignmentTopicPartition()
		out.TopicID, out.Topic, out.Partitions = t.ID, topic.Name, t.Partitions
		m.Assignment.TopicPartitions = append(m.Assignment.TopicPartitions, out)
	}
	return m
}
