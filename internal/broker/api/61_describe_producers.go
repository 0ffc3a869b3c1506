package api

// DescribeProducers (key 61), version 0.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *Server) describeProducers(_ context.Context, _ *Conn, req *kmsg.DescribeProducersRequest) (*kmsg.DescribeProducersResponse, error) {
	res := kmsg.NewPtrDescribeProducersResponse()
	view := s.topics.View()
	for _, t := range req.Topics {
		topic, _ := view.ByName(t.Topic)
		out := kmsg.NewDescribeProducersResponseTopic()
		out.Topic = t.Topic
		for _, i := range t.Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition = i
			log, err := s.log(topic, i)
			if err != nil {
				p.ErrorCode = codeOf(err).Code()
				if topic == nil {
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
