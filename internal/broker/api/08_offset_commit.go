package api

// OffsetCommit (key 8), versions 2-10: stores the offsets of a group.
//
// A member commits with its generation; a consumer that manages its partitions alone with generation -1 and no member
// id, while the group has no members. The answer is sent when the offsets are durable. Partitions that are not there are
// refused one by one.
//
// 2-4: the request may name a retention of its own. 5: it may not. 6: leader epoch. 7: static members. 8: flexible.
// 9: an unknown group is GROUP_ID_NOT_FOUND. 10: topics by id.

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) offsetCommit(ctx context.Context, c *Conn, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, error) {
	event := group.Commit{
		Group: req.Group, MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
		Retention: -1, NamesMissingGroup: req.Version >= 9,
	}
	if req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		event.Retention = time.Duration(req.RetentionTimeMillis) * time.Millisecond
	}
	byID := req.Version >= 10
	view := s.topics.View()
	mayCommit := s.allow(c, auth.Read, auth.Group, req.Group)
	res := kmsg.NewPtrOffsetCommitResponse()
	// asked are the places of the answer that wait for the group's reply, in the order of event.Offsets.
	type place struct{ topic, partition int }
	var asked []place
	for i := range req.Topics {
		in := &req.Topics[i]
		topic := topicOf(view, byID, in.Topic, in.TopicID)
		out := kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = in.Topic, in.TopicID
		refused := s.refuseCommit(c, mayCommit, topic, in.Topic, byID)
		for j := range in.Partitions {
			p := &in.Partitions[j]
			answer := kmsg.NewOffsetCommitResponseTopicPartition()
			answer.Partition = p.Partition
			switch {
			case refused != kafka.None:
				answer.ErrorCode = refused.Code()
			case !hasPartition(topic, p.Partition):
				answer.ErrorCode = kafka.UnknownTopicOrPartition.Code()
			default:
				asked = append(asked, place{i, j})
				event.Offsets = append(event.Offsets, group.CommitOffset{
					Topic: topic.Name, TopicID: topic.ID, Partition: p.Partition,
					Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: text(p.Metadata),
				})
			}
			out.Partitions = append(out.Partitions, answer)
		}
		res.Topics = append(res.Topics, out)
	}
	if len(asked) == 0 {
		return res, nil
	}
	reply, err := s.groups.Commit(ctx, event)
	for i, at := range asked {
		code := reply.Err
		if code == kafka.None && err == nil {
			code = reply.Offsets[i]
		}
		res.Topics[at.topic].Partitions[at.partition].ErrorCode = codeOr(err, code)
	}
	return res, nil
}

// refuseCommit is the error for all partitions of a topic, if there is one. A group that the client may not use is all that
// it learns; whether there is a topic of a name it learns if it may read it.
func (s *Server) refuseCommit(c *Conn, mayCommit bool, topic *topics.Topic, name string, byID bool) kafka.Error {
	if topic != nil {
		name = topic.Name
	}
	switch {
	case !mayCommit:
		return kafka.GroupAuthorizationFailed
	case byID && topic == nil:
		return kafka.UnknownTopicID
	case !s.allow(c, auth.Read, auth.Topic, name):
		return kafka.TopicAuthorizationFailed
	case topic == nil:
		return kafka.UnknownTopicOrPartition
	}
	return kafka.None
}
