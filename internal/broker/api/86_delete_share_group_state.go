package api

// DeleteShareGroupState (key 86), version 0: ends the state of share partitions.
//
// For brokers. A state that is not there is as good as deleted.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/share"
)

func (s *Server) deleteShareGroupState(ctx context.Context, c *Conn, req *kmsg.DeleteShareGroupStateRequest) (*kmsg.DeleteShareGroupStateResponse, error) {
	res := kmsg.NewPtrDeleteShareGroupStateResponse()
	if req.GroupID == "" {
		return res, nil
	}
	refused := s.refuseState(c)
	view := s.topics.View()
	for _, t := range req.Topics {
		out := kmsg.NewDeleteShareGroupStateResponseTopic()
		out.TopicID = t.TopicID
		for _, p := range t.Partitions {
			a := kmsg.NewDeleteShareGroupStateResponseTopicPartition()
			a.Partition = p.Partition
			err := refused
			if err == nil {
				key := stateKey(req.GroupID, t.TopicID, p.Partition)
				_, err = s.state(ctx, key, share.DeleteState{Key: key, Exists: hasID(view, t.TopicID, p.Partition)})
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
