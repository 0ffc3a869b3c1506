package api

// ReadShareGroupStateSummary (key 87), versions 0-1: how far groups have come in share partitions, without the records in
// flight.
//
// For brokers. A state that is not there begins at -1.
//
// 1: delivery-complete count.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
)

func (s *Server) readShareGroupStateSummary(ctx context.Context, c *Conn, req *kmsg.ReadShareGroupStateSummaryRequest) (*kmsg.ReadShareGroupStateSummaryResponse, error) {
	res := kmsg.NewPtrReadShareGroupStateSummaryResponse()
	if req.GroupID == "" {
		return res, nil
	}
	refused := s.refuseState(c)
	view := s.topics.View()
	for _, t := range req.Topics {
		out := kmsg.NewReadShareGroupStateSummaryResponseTopic()
		out.TopicID = t.TopicID
		for _, p := range t.Partitions {
			a := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
			a.Partition = p.Partition
			var state share.StateReply
			err := refused
			if err == nil {
				key := stateKey(req.GroupID, t.TopicID, p.Partition)
				state, err = s.state(ctx, key, share.SummarizeState{Key: key, Exists: hasID(view, t.TopicID, p.Partition)})
			}
			a.ErrorCode, a.ErrorMessage = refusal(err)
			if err == nil {
				a.StateEpoch, a.LeaderEpoch, a.StartOffset, a.DeliveryCompleteCount = state.StateEpoch, state.LeaderEpoch, state.Start, state.DeliveryComplete
			}
			out.Partitions = append(out.Partitions, a)
		}
		if len(out.Partitions) > 0 {
			res.Topics = append(res.Topics, out)
		}
	}
	return res, nil
}
