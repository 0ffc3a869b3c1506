package coordinator

import (
	"context"

	"github.com/weir-stream/weir/internal/broker/streamsgroup"
)

// StreamsHeartbeat makes its sender a member of a streams group, or keeps it one.
func (g *Groups) StreamsHeartbeat(ctx context.Context, e streamsgroup.Heartbeat) (streamsgroup.HeartbeatReply, error) {
	return ask[streamsgroup.HeartbeatReply](ctx, g.runtime, e.Group, e)
}

// StreamsDescribe returns the state of a streams group.
func (g *Groups) StreamsDescribe(ctx context.Context, e streamsgroup.Describe) (streamsgroup.Description, error) {
	return ask[streamsgroup.Description](ctx, g.runtime, e.Group, e)
}
