package api

// DescribeShareGroupOffsets (key 90), versions 0-1: the start offsets of share groups.
//
// Without a list of topics it is about all that the group keeps a state for. A partition without one begins at -1.
//
// 1: lag: the records from the start offset to the high watermark that are still to be delivered; -1 of a partition that this broker
// does not own, where Kafka's coordinator asks its leader.
//
// Unlike Kafka, an empty group id is INVALID_GROUP_ID, and a partition that is not there is
// UNKNOWN_TOPIC_OR_PARTITION: Kafka does not answer at all then.

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeShareGroupOffsets(ctx context.Context, c *Conn, req *kmsg.DescribeShareGroupOffsetsRequest) (*kmsg.DescribeShareGroupOffsetsResponse, error) {
	res := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
	for i := range req.Groups {
		g := &req.Groups[i]
		out := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		out.GroupID = g.GroupID
		err := error(nil)
		switch {
		case !s.allow(c, auth.Describe, auth.Group, g.GroupID):
			err = kafka.GroupAuthorizationFailed
		case g.GroupID == "":
			err = kafka.InvalidGroupID
		case g.Topics == nil:
			err = s.describeAllShareOffsets(ctx, c, &out)
		default:
			for _, t := range g.Topics {
				out.Topics = append(out.Topics, s.describeShareTopic(ctx, c, g.GroupID, t.Topic, t.Partitions))
			}
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = refusal(err)
		}
		res.Groups = append(res.Groups, out)
	}
	return res, nil
}

// describeAllShareOffsets fills in what the group keeps a state for, and the client may describe.
func (s *Server) describeAllShareOffsets(ctx context.Context, c *Conn, out *kmsg.DescribeShareGroupOffsetsResponseGroup) error {
	all, err := s.shares.Partitions(ctx, out.GroupID)
	if err != nil {
		return err
	}
	view := s.topics.View()
	for _, t := range all {
		if topic, ok := view.ByID(t.ID); !ok || !s.may(c, auth.Describe, auth.Topic, topic.Name) {
			continue
		}
		out.Topics = append(out.Topics, s.describeShareTopic(ctx, c, out.GroupID, t.Name, t.Partitions))
	}
	return nil
}

func (s *Server) describeShareTopic(ctx context.Context, c *Conn, group, name string, partitions []int32) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
	out := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
	out.Topic = name
	allowed := s.allow(c, auth.Describe, auth.Topic, name)
	topic, ok := s.topics.View().ByName(name)
	if ok && allowed {
		out.TopicID = topic.ID
	}
	for _, index := range partitions {
		p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		p.Partition, p.StartOffset, p.Lag = index, share.NoOffset, -1
		var err error
		switch {
		case !allowed:
			err = kafka.TopicAuthorizationFailed
		case ok:
			err = s.describeSharePartition(ctx, group, topic, &p)
		}
		if err != nil {
			p.ErrorCode, p.ErrorMessage = refusal(err)
		}
		out.Partitions = append(out.Partitions, p)
	}
	return out
}

func (s *Server) describeSharePartition(ctx context.Context, group string, topic *topics.Topic, p *kmsg.DescribeShareGroupOffsetsResponseGroupTopicPartition) error {
	log, elsewhere := s.log(topic, p.Partition)
	if elsewhere != nil && !errors.Is(elsewhere, kafka.NotLeaderOrFollower) {
		return elsewhere
	}
	state, err := s.shares.Summarize(ctx, share.SummarizeState{Key: stateKey(group, topic.ID, p.Partition), Exists: true})
	if err != nil {
		return err
	}
	p.StartOffset, p.LeaderEpoch = state.Start, state.LeaderEpoch
	if state.Start != share.NoOffset && elsewhere == nil {
		p.Lag = log.Offsets().HighWatermark - state.Start - int64(max(state.DeliveryComplete, 0))
	}
	return nil
}
