package api

// Heartbeat (key 12), versions 0-4: prolongs a member's session; REBALANCE_IN_PROGRESS asks it to join again.
//
// 3: static members. 4: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) heartbeat(ctx context.Context, c *Conn, req *kmsg.HeartbeatRequest) (*kmsg.HeartbeatResponse, error) {
	res := kmsg.NewPtrHeartbeatResponse()
	if !s.allow(c, auth.Read, auth.Group, req.Group) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	err := s.groups.Heartbeat(ctx, group.Heartbeat{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
	})
	res.ErrorCode = codeOf(err).Code()
	return res, nil
}
