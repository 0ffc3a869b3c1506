package api

// InitializeShareGroupState (key 83), version 0: makes the state of share partitions, to begin at an offset.
//
// For brokers. Offset -1 leaves open where to begin; an older state epoch is FENCED_STATE_EPOCH.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
)

func (s *Server) initializeShareGroupState(ctx context.Context, c *Conn, req *kmsg.InitializeShareGroupStateRequest) (*kmsg.InitializeShareGroupStateResponse, error) {
	res := kmsg.NewPtrInitializeShareGroupStateResponse()
	if req.GroupID == "" {
		return res, nil
	}
	refused := s.refuseState(c)
	view := s.topics.View()
	for _, t := range req.Topics {
		out := kmsg.NewInitializeShareGroupStateResponseTopic()
		out.TopicID = t.TopicID
		for _, p := range t.Partitions {
			a := kmsg.NewInitializeShareGroupStateResponseTopicPartition()
			a.Partition = p.Partition
			err := refused
			if err == nil {
				key := stateKey(req.GroupID, t.TopicID, p.Partition)
				_, err = s.state(ctx, key, share.InitState{
					Key: key, StateEpoch: p.StateEpoch, Start: p.StartOffset, Exists: hasID(view, t.TopicID, p.Partition),
				})
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
