package api

// ShareGroupHeartbeat (key 76), version 1: joins, stays in, or leaves a share group (KIP-932).
//
// Epoch 0 joins and -1 leaves. Partitions are assigned once the state of theirs was made, so the first heartbeat of a new
// group is told of none. The member chooses its id.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// shareMemberIDMax is how long the id of a member may be: that of a UUID in text.
const shareMemberIDMax = 36

func (s *Server) shareGroupHeartbeat(ctx context.Context, c *Conn, req *kmsg.ShareGroupHeartbeatRequest) (*kmsg.ShareGroupHeartbeatResponse, error) {
	res := kmsg.NewPtrShareGroupHeartbeatResponse()
	if !s.allow(c, auth.Read, auth.Group, req.GroupID) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	if req.MemberID == "" || len(req.MemberID) > shareMemberIDMax {
		res.ErrorCode = kafka.InvalidRequest.Code()
		return res, nil
	}
	for _, name := range req.SubscribedTopicNames {
		if !s.allow(c, auth.Describe, auth.Topic, name) {
			res.ErrorCode = kafka.TopicAuthorizationFailed.Code()
			return res, nil
		}
	}
	view := s.topics.View()
	config := view.GroupConfig(req.GroupID)
	r, err := s.shares.Heartbeat(ctx, share.Heartbeat{
		Group: req.GroupID, Member: req.MemberID, Epoch: req.MemberEpoch, RackID: req.RackID, Subscribed: req.SubscribedTopicNames,
		ClientID: c.ClientID, ClientHost: c.clientHost(), Topics: shareTopics{view},
		Session: topics.GroupShareSessionTimeout.Get(config), AssignmentInterval: topics.GroupShareAssignmentInterval.Get(config),
	})
	if err == nil {
		err = r.Err
	}
	if err != nil {
		res.ErrorCode, res.ErrorMessage = refusal(err)
		return res, nil
	}
	res.MemberID, res.MemberEpoch = &req.MemberID, r.Epoch
	if r.Epoch < 0 {
		return res, nil
	}
	res.HeartbeatIntervalMillis = int32(topics.GroupShareHeartbeatInterval.Get(config).Milliseconds())
	if r.HasAssignment {
		res.Assignment = new(kmsg.NewShareGroupHeartbeatResponseAssignment())
		for _, t := range r.Assignment {
			out := kmsg.NewShareGroupHeartbeatResponseAssignmentTopicPartition()
			out.TopicID, out.Partitions = t.ID, t.Partitions
			res.Assignment.TopicPartitions = append(res.Assignment.TopicPartitions, out)
		}
	}
	return res, nil
}
