package api

// OffsetForLeaderEpoch (key 23), versions 2-4.
//
// Tells where an epoch ended, so that a client sees whether what it read was cut off (KIP-320).
//
// 3: replica id. 4: flexible.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) offsetForLeaderEpoch(_ context.Context, c *Conn, req *kmsg.OffsetForLeaderEpochRequest) (*kmsg.OffsetForLeaderEpochResponse, error) {
	res := kmsg.NewPtrOffsetForLeaderEpochResponse()
	view := s.topics.View()
	mayAll := s.mayCluster(c, auth.ClusterAction) // brokers ask, too
	for _, t := range req.Topics {
		topic, _ := view.ByName(t.Topic)
		allowed := mayAll || s.allow(c, auth.Describe, auth.Topic, t.Topic)
		out := kmsg.NewOffsetForLeaderEpochResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			a := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			a.Partition, a.LeaderEpoch, a.EndOffset = p.Partition, -1, -1
			epoch, end, err := s.epochEnd(topic, p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch)
			switch {
			case !allowed:
				a.ErrorCode = kafka.TopicAuthorizationFailed.Code()
			case err != nil:
				a.ErrorCode = codeOf(err).Code()
			default:
				a.LeaderEpoch, a.EndOffset = epoch, end
			}
			out.Partitions = append(out.Partitions, a)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}

func (s *Server) epochEnd(topic *topics.Topic, index, current, epoch int32) (int32, int64, error) {
	log, err := s.log(topic, index)
	if err != nil {
		return -1, -1, err
	}
	if err := checkLeaderEpoch(current, log.Offsets().LeaderEpoch); err != nil {
		return -1, -1, err
	}
	e, end := log.EpochEnd(epoch)
	return e, end, nil
}
