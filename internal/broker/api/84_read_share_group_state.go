package api

// ReadShareGroupState (key 84), version 0: the state of share partitions.
//
// For brokers. The leader epoch of the reader is kept: from then on older leaders are FENCED_LEADER_EPOCH.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
)

func (s *Server) readShareGroupState(ctx context.Context, c *Conn, req *kmsg.ReadShareGroupStateRequest) (*kmsg.ReadShareGroupStateResponse, error) {
	res := kmsg.NewPtrReadShareGroupStateResponse()
	if req.GroupID == "" {
		return res, nil
	}
	refused := s.refuseState(c)
	view := s.topics.View()
	for _, t := range req.Topics {
		out := kmsg.NewReadShareGroupStateResponseTopic()
		out.TopicID = t.TopicID
		for _, p := range t.Partitions {
			a := kmsg.NewReadShareGroupStateResponseTopicPartition()
			a.Partition = p.Partition
			var state share.StateReply
			err := refused
			if err == nil {
				key := stateKey(req.GroupID, t.TopicID, p.Partition)
				state, err = s.state(ctx, key, share.ReadState{
					Key: key, LeaderEpoch: p.LeaderEpoch, Exists: hasID(view, t.TopicID, p.Partition),
				})
			}
			a.ErrorCode, a.ErrorMessage = refusal(err)
			if err == nil {
				a.StateEpoch, a.StartOffset = state.StateEpoch, state.Start
			}
			for _, b := range state.Batches {
				batch := kmsg.NewReadShareGroupStateResponseTopicPartitionStateBatch()
				batch.FirstOffset, batch.LastOffset, batch.DeliveryState, batch.DeliveryCount = b.First, b.Last, b.State, b.DeliveryCount
				a.StateBatches = append(a.StateBatches, batch)
			}
			out.Partitions = append(out.Partitions, a)
		}
		if len(out.Partitions) > 0 {
			res.Topics = append(res.Topics, out)
		}
	}
	return res, nil
}
