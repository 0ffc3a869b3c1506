package api

// DeleteRecords (key 21), versions 0-2.
//
// Raises the log start offset of partitions; the answer comes when that is durable. -1 means the high watermark.
//
// 2: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) deleteRecords(ctx context.Context, c *Conn, req *kmsg.DeleteRecordsRequest) (*kmsg.DeleteRecordsResponse, error) {
	res := kmsg.NewPtrDeleteRecordsResponse()
	view := s.topics.View()
	var wait patience
	for _, t := range req.Topics {
		topic, _ := view.ByName(t.Topic)
		allowed := s.allow(c, auth.Delete, auth.Topic, t.Topic)
		out := kmsg.NewDeleteRecordsResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			a := kmsg.NewDeleteRecordsResponseTopicPartition()
			a.Partition = p.Partition
			low, err := int64(-1), error(kafka.TopicAuthorizationFailed)
			if allowed {
				low, err = s.deletePartitionRecords(ctx, &wait, topic, p.Partition, p.Offset)
			}
			a.LowWatermark = low
			if err != nil {
				a.LowWatermark, a.ErrorCode = -1, codeOf(err).Code()
			}
			out.Partitions = append(out.Partitions, a)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}

func (s *Server) deletePartitionRecords(ctx context.Context, wait *patience, topic *topics.Topic, index int32, offset int64) (int64, error) {
	log, err := s.logSettled(ctx, topic, index, wait)
	if err != nil {
		return -1, err
	}
	if kafka.IsInternalTopic(topic.Name) {
		return -1, kafka.InvalidTopicException
	}
	if c := log.Config(); !c.Delete && c.Compact {
		return -1, kafka.PolicyViolation
	}
	low, ticket, err := log.DeleteRecords(offset)
	if err != nil || ticket.IsZero() {
		return low, s.moved(topic.ID, err)
	}
	return low, ticket.Wait(ctx)
}
