package api

// DescribeProducers (key 61), version 0.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeProducers(ctx context.Context, c *Conn, req *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
	res := kmsg.NewPtrDescribeProducersResponse()
	view := s.topics.View()
	var wait patience
	for _, t := range req.Topics {
		topic, _ := view.ByName(t.Topic)
		allowed := s.allow(c, auth.Read, auth.Topic, t.Topic)
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		for _, i := range t.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = i
			log, err := s.logSettled(ctx, topic, i, &wait)
			if !allowed {
				err = kafka.TopicAuthorizationFailed
			}
			if err != nil {
				p.ErrorCode = codeOf(err).Code()
				if topic == nil || !allowed {
					p.ErrorMessage = textOf(err) // of a topic only, as Kafka has it
				}
			} else {
				for _, a := range log.Producers() {
					x := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
					x.ProducerID, x.ProducerEpoch, x.LastSequence, x.LastTimestamp = a.ID, int32(a.Epoch), a.LastSequence, a.LastTimestamp
					x.CoordinatorEpoch, x.CurrentTxnStartOffset = a.CoordinatorEpoch, a.TxnFirstOffset
					p.ActiveProducers = append(p.ActiveProducers, x)
				}
			}
			out.Partitions = append(out.Partitions, p)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}
