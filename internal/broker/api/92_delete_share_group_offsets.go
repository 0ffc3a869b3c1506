package api

// DeleteShareGroupOffsets (key 92), version 0: forgets how far a share group without members has come in topics.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) deleteShareGroupOffsets(ctx context.Context, c *Conn, req *kmsg.DeleteShareGroupOffsetsRequest) (*kmsg.DeleteShareGroupOffsetsResponse, error) {
	res := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
	if !s.allow(c, auth.Delete, auth.Group, req.GroupID) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	view := s.topics.View()
	var ids []kafka.TopicID
	for _, t := range req.Topics {
		out := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		out.Topic = t.Topic
		topic, ok := view.ByName(t.Topic)
		switch {
		case !s.allow(c, auth.Read, auth.Topic, t.Topic):
			out.ErrorCode, out.ErrorMessage = refusal(kafka.TopicAuthorizationFailed)
		case !ok:
			out.ErrorCode, out.ErrorMessage = refusal(kafka.UnknownTopicOrPartition)
		default:
			out.TopicID = topic.ID
			ids = append(ids, topic.ID)
		}
		res.Topics = append(res.Topics, out)
	}
	had, err := s.shares.DeleteOffsets(ctx, req.GroupID, ids)
	if err != nil {
		res.ErrorCode, res.ErrorMessage = refusal(err)
		res.Topics = nil
		return res, nil
	}
	for i := range res.Topics {
		if t := &res.Topics[i]; t.ErrorCode == 0 && !slices.Contains(had, kafka.TopicID(t.TopicID)) {
			t.TopicID = [16]byte{}
			t.ErrorCode, t.ErrorMessage = refusal(kafka.Errorf(kafka.UnknownTopicOrPartition, "The group keeps no offsets for the topic."))
		}
	}
	return res, nil
}
