package coordinator

import (
	"cmp"
	"context"
	"slices"

	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/share"
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

// StreamsList returns all streams groups, sorted by name.
func (g *Groups) StreamsList(ctx context.Context) ([]streamsgroup.Listing, error) {
	lists, err := askAll[[]streamsgroup.Listing](ctx, g.runtime, streamsgroup.List{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b streamsgroup.Listing) int { return cmp.Compare(a.Group, b.Group) })
	return all, nil
}

// newCombined returns the machine of a partition of __consumer_offsets.
func newCombined(o group.Options, so streamsgroup.Options, sho share.GroupOptions) combined {
	// Each needs to know of the other: one keeps the offsets, one the members.
	var groups *group.Machine
	so.HasOffsets = func(id string) bool { return groups.HasOffsets(id) }
	streams := streamsgroup.New(so)
	o.Guests = streams
	groups = group.NewMachine(o)
	return combined{[]part{groups, streams, share.NewGroups(sho)}}
}
