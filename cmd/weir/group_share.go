package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// What share groups (KIP-932) do in their own way: members without instances, start offsets in the place of committed ones,
// and a lag that leaves out what was acknowledged out of order.

// typeShare is the type of share groups.
const typeShare = "share"

func (g *groupState) addShareMembers(ctx context.Context, adm *kadm.Client) error {
	answers, err := adm.DescribeShareGroups(ctx, g.Group)
	if err != nil {
		return err
	}
	d := answers[g.Group]
	if d.Err != nil {
		return d.Err
	}
	g.State, g.Assignor, g.Epoch, g.Coordinator = d.GroupState, d.Assignor, &d.GroupEpoch, d.Coordinator.NodeID
	for _, m := range d.Members {
		g.addMember(m.MemberID, nil, m.ClientID, m.ClientHost, m.Assignment)
	}
	return nil
}

// shareOffsets returns the start offsets of a share group, those that are known, and its lag in each partition.
func shareOffsets(ctx context.Context, adm *kadm.Client, group string) (kadm.OffsetResponses, map[string]map[int32]int64, error) {
	answers, err := adm.DescribeShareGroupOffsets(ctx, group)
	if err == nil {
		err = answers[group].Err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("describe the offsets of share group %s: %w", group, err)
	}
	starts, lags := kadm.OffsetResponses{}, map[string]map[int32]int64{}
	for topic, partitions := range answers[group].Offsets {
		for p, o := range partitions {
			if o.Err != nil || o.StartOffset < 0 {
				continue
			}
			starts.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: topic, Partition: p, At: o.StartOffset, LeaderEpoch: -1}})
			if lags[topic] == nil {
				lags[topic] = map[int32]int64{}
			}
			lags[topic][p] = o.Lag
		}
	}
	return starts, lags, nil
}

// isShare tells whether a group is there and is a share group.
func isShare(ctx context.Context, adm *kadm.Client, group string) bool {
	typed, err := adm.ListGroupsByType(ctx, []string{typeShare})
	if err != nil {
		return false // a broker that cannot tell has no share groups
	}
	g, ok := typed[group]
	return ok && g.ProtocolType == typeShare
}

// moveShareGroup sets start offsets.
func moveShareGroup(ctx context.Context, adm *kadm.Client, group string, offsets kadm.Offsets) error {
	moved, err := adm.AlterShareGroupOffsets(ctx, group, offsets)
	if err != nil {
		return fmt.Errorf("alter the offsets of share group %s: %w", group, err)
	}
	moved.EachError(func(topic string, p int32, failure error) {
		err = fmt.Errorf("alter the offset of share group %s in %s, partition %d: %w", group, topic, p, failure)
	})
	return err
}
