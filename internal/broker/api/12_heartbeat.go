package api

// Heartbeat (key 12), versions 0-4: prolongs a member's session; REBALANCE_IN_PROGRESS asks it to join again.
//
// 3: static members. 4: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/group"
)

func (s *Server) heartbeat(ctx context.Context, _ *Conn, req *kmsg.HeartbeatRequest) (*kmsg.HeartbeatResponse, error) {
	res := kmsg.NewPtrHeartbeatResponse()
	err := s.groups.Heartbeat(ctx, group.Heartbeat{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
	})
	res.ErrorCode = codeOf(err).Code()
	return res, nil
}
