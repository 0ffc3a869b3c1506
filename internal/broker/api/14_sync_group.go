package api

// SyncGroup (key 14), versions 0-5: hands out the assignment of a generation, which the leader's request brings.
//
// The answer waits for the leader, at most for the rebalance timeout, and is sent when the assignment is durable.
//
// 3: static members. 4: flexible. 5: protocol type and name, which the request has to name and the answer repeats.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) syncGroup(ctx context.Context, c *Conn, req *kmsg.SyncGroupRequest) (*kmsg.SyncGroupResponse, error) {
	res := kmsg.NewPtrSyncGroupResponse()
	if req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		res.ErrorCode = kafka.InconsistentGroupProtocol.Code()
		return res, nil
	}
	if !s.allow(c, auth.Read, auth.Group, req.Group) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	event := group.Sync{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
		ProtocolType: text(req.ProtocolType), Protocol: text(req.Protocol),
		Assignments: make(map[string][]byte, len(req.GroupAssignment)),
	}
	for i := range req.GroupAssignment {
		a := &req.GroupAssignment[i]
		event.Assignments[a.MemberID] = ownBytes(a.MemberAssignment)
	}
	reply, err := s.groups.Sync(ctx, event)
	if res.ErrorCode = codeOr(err, reply.Err); res.ErrorCode != 0 {
		return res, nil
	}
	res.ProtocolType, res.Protocol, res.MemberAssignment = &reply.ProtocolType, &reply.Protocol, reply.Assignment
	return res, nil
}
