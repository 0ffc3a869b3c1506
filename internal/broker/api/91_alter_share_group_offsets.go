package api

// AlterShareGroupOffsets (key 91), version 0: sets the start offsets of a share group without members.
//
// A group that is not there is made. What was in flight is forgotten.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterShareGroupOffsets(ctx context.Context, c *Conn, req *kmsg.AlterShareGroupOffsetsRequest) (*kmsg.AlterShareGroupOffsetsResponse, error) {
	res := kmsg.NewPtrAlterShareGroupOffsetsResponse()
	if !s.allow(c, auth.Read, auth.Group, req.GroupID) {
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return res, nil
	}
	type place struct {
		id        kafka.TopicID
		partition int32
	}
	starts := map[place]int64{}
	var wanted []share.NamedPartitions
	view := s.topics.View()
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewAlterShareGroupOffsetsResponseTopic()
		out.Topic = t.Topic
		allowed := s.allow(c, auth.Read, auth.Topic, t.Topic)
		topic, ok := view.ByName(t.Topic)
		if ok && allowed {
			out.TopicID = topic.ID
		}
		named := share.NamedPartitions{ID: out.TopicID, Name: t.Topic}
		for _, p := range t.Partitions {
			a := kmsg.NewAlterShareGroupOffsetsResponseTopicPartition()
			a.Partition = p.Partition
			switch {
			case !allowed:
				a.ErrorCode, a.ErrorMessage = refusal(kafka.TopicAuthorizationFailed)
			case !hasPartition(topic, p.Partition):
				a.ErrorCode, a.ErrorMessage = refusal(kafka.UnknownTopicOrPartition)
			default:
				starts[place{topic.ID, p.Partition}] = p.StartOffset
				named.Partitions = append(named.Partitions, p.Partition)
			}
			out.Partitions = append(out.Partitions, a)
		}
		if len(named.Partitions) > 0 {
			wanted = append(wanted, named)
		}
		res.Topics = append(res.Topics, out)
	}
	failed, err := s.shares.Alter(ctx, req.GroupID, wanted, func(id kafka.TopicID, p int32) int64 { return starts[place{id, p}] })
	if err != nil {
		res.ErrorCode, res.ErrorMessage = refusal(err)
		res.Topics = nil
		return res, nil
	}
	for _, f := range failed {
		markAlterFailed(res, f)
	}
	return res, nil
}

func markAlterFailed(res *kmsg.AlterShareGroupOffsetsResponse, f share.NamedPartitions) {
	for i := range res.Topics {
		if res.Topics[i].Topic != f.Name {
			continue
		}
		for j := range res.Topics[i].Partitions {
			if p := &res.Topics[i].Partitions[j]; slices.Contains(f.Partitions, p.Partition) {
				p.ErrorCode, p.ErrorMessage = refusal(kafka.CoordinatorNotAvailable)
			}
		}
	}
}
