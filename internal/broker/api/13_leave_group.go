package api

// LeaveGroup (key 13), versions 0-5: takes members out of a group, without waiting for their sessions to end.
//
// 0-2: one member, whose error is that of the answer. 3: many, each with its own; an administrator may name a static
// member by its instance id alone. 4: flexible. 5: reason.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) leaveGroup(ctx context.Context, c *Conn, req *kmsg.LeaveGroupRequest) (*kmsg.LeaveGroupResponse, error) {
	if !s.allow(c, auth.Read, auth.Group, req.Group) {
		res := kmsg.NewPtrLeaveGroupResponse()
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	members := leavers(req)
	reply, err := s.groups.Leave(ctx, group.Leave{Group: req.Group, Members: members})
	res := kmsg.NewPtrLeaveGroupResponse()
	if res.ErrorCode = codeOr(err, reply.Err); res.ErrorCode != 0 {
		return res, nil
	}
	if req.Version < 3 {
		res.ErrorCode = reply.Members[0].Code()
		return res, nil
	}
	for i := range members {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = members[i].MemberID, req.Members[i].InstanceID, reply.Members[i].Code()
		res.Members = append(res.Members, m)
	}
	return res, nil
}
