package api

// JoinGroup (key 11), versions 0-9: makes the client a member of the group's next generation.
//
// The answer comes when all members have joined or the rebalance timeout is over; for a group without members after the
// initial delay. Requests that the client sends behind it on the same connection wait.
//
// 0: rebalance timeout = session timeout. 4: a new member is told its id first (MEMBER_ID_REQUIRED). 5: static
// members. 6: flexible. 7: protocol type and null protocol in the answer. 8: reason. 9: a static leader that comes
// back may be told to skip the assignment.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) joinGroup(ctx context.Context, c *Conn, req *kmsg.JoinGroupRequest) (*kmsg.JoinGroupResponse, error) {
	if !s.allow(c, auth.Read, auth.Group, req.Group) {
		res := kmsg.NewPtrJoinGroupResponse()
		res.ErrorCode, res.Generation = kafka.GroupAuthorizationFailed.Code(), group.NoGeneration
		if req.Version < 7 {
			res.Protocol = new("")
		}
		return res, nil
	}
	event := group.Join{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID),
		ClientID: c.ClientID, ClientHost: c.clientHost(),
		SessionTimeout: millis(req.SessionTimeoutMillis), RebalanceTimeout: millis(req.RebalanceTimeoutMillis),
		ProtocolType: req.ProtocolType, Reason: text(req.Reason),
		RequireKnownMember: req.Version >= 4, CanSkipAssignment: req.Version >= 9,
	}
	if req.Version == 0 {
		event.RebalanceTimeout = event.SessionTimeout
	}
	for i := range req.Protocols {
		p := &req.Protocols[i]
		event.Protocols = append(event.Protocols, group.Protocol{Name: p.Name, Metadata: ownBytes(p.Metadata)})
	}
	reply, err := s.groups.Join(ctx, event)
	res := kmsg.NewPtrJoinGroupResponse()
	if res.ErrorCode = codeOr(err, reply.Err); res.ErrorCode != 0 {
		res.Generation = group.NoGeneration
		res.MemberID = reply.MemberID
		if err != nil {
			res.MemberID = req.MemberID
		}
		if req.Version < 7 {
			res.Protocol = new("")
		}
		return res, nil
	}
	res.Generation, res.MemberID, res.LeaderID = reply.Generation, reply.MemberID, reply.Leader
	res.ProtocolType, res.Protocol = &reply.ProtocolType, &reply.Protocol
	res.SkipAssignment = reply.SkipAssignment
	for i := range reply.Members {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.InstanceID = reply.Members[i].ID, nullable(reply.Members[i].InstanceID)
		m.ProtocolMetadata = reply.Members[i].Metadata
		res.Members = append(res.Members, m)
	}
	return res, nil
}
