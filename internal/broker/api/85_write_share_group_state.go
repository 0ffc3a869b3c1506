package api

// WriteShareGroupState (key 85), versions 0-1: adds to the state of share partitions.
//
// For brokers. Where batches speak of the same records the later delivery counts. Older leaders are FENCED_LEADER_EPOCH,
// older states FENCED_STATE_EPOCH.
//
// 1: delivery-complete count.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
)

func (s *Server) writeShareGroupState(ctx context.Context, c *Conn, req *kmsg.WriteShareGroupStateRequest) (*kmsg.WriteShareGroupStateResponse, error) {
	res := kmsg.NewPtrWriteShareGroupStateResponse()
	if req.GroupID == "" {
		return res, nil
	}
	refused := s.refuseState(c)
	view := s.topics.View()
	for _, t := range req.Topics {
		out := kmsg.NewWriteShareGroupStateResponseTopic()
		out.TopicID = t.TopicID
		for i := range t.Partitions {
			p := &t.Partitions[i]
			a := kmsg.NewWriteShareGroupStateResponseTopicPartition()
			a.Partition = p.Partition
			err := refused
			if err == nil {
				e := share.WriteState{
					Key: stateKey(req.GroupID, t.TopicID, p.Partition), StateEpoch: p.StateEpoch, LeaderEpoch: p.LeaderEpoch, Start: p.StartOffset,
					DeliveryComplete: p.DeliveryCompleteCount, Exists: hasID(view, t.TopicID, p.Partition),
				}
				for _, b := range p.StateBatches {
					e.Batches = append(e.Batches, share.Batch{First: b.FirstOffset, Last: b.LastOffset, State: b.DeliveryState, DeliveryCount: b.DeliveryCount})
				}
				_, err = s.state(ctx, e.Key, e)
			}
			a.ErrorCode, a.ErrorMessage = refusal(err)
			out.Partitions = append(out.Partitions, a)
		}
		if len(out.Partitions) > 0 {
			res.Topics = append(res.Topics, out)
		}
	}
	return res, nil
}
