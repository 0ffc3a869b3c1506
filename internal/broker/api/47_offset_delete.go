package api

// OffsetDelete (key 47), version 0: deletes committed offsets of topics that no member of the group subscribes.
//
// A partition that is not there is UNKNOWN_TOPIC_OR_PARTITION; one without a committed offset is no error.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) offsetDelete(ctx context.Context, c *Conn, req *kmsg.OffsetDeleteRequest) (*kmsg.OffsetDeleteResponse, error) {
	res := kmsg.NewPtrOffsetDeleteResponse()
	if !s.allow(c, auth.Delete, auth.Group, req.Group) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	event := group.DeleteOffsets{Group: req.Group}
	view := s.topics.View()
	denied := make([]bool, len(req.Topics))
	for i := range req.Topics {
		topic := group.FetchTopic{Topic: req.Topics[i].Topic}
		denied[i] = !s.allow(c, auth.Read, auth.Topic, topic.Topic)
		if known, ok := view.ByName(topic.Topic); ok && !denied[i] {
			for _, p := range req.Topics[i].Partitions {
				if hasPartition(known, p.Partition) {
					topic.Partitions = append(topic.Partitions, p.Partition)
				}
			}
		}
		event.Topics = append(event.Topics, topic)
	}
	reply, err := s.groups.OffsetDelete(ctx, event)
	if res.ErrorCode = codeOr(err, reply.Err); res.ErrorCode != 0 {
		return res, nil
	}
	for i := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = req.Topics[i].Topic
		asked := 0
		for _, p := range req.Topics[i].Partitions {
			answer := kmsg.NewOffsetDeleteResponseTopicPartition()
			answer.Partition, answer.ErrorCode = p.Partition, kafka.UnknownTopicOrPartition.Code()
			if asked < len(event.Topics[i].Partitions) && event.Topics[i].Partitions[asked] == p.Partition {
				answer.ErrorCode = reply.Topics[i][asked].Code()
				asked++
			}
			if denied[i] {
				answer.ErrorCode = kafka.TopicAuthorizationFailed.Code()
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		res.Topics = append(res.Topics, topic)
	}
	return res, nil
}
