package api

// OffsetFetch (key 9), versions 1-10: reads the committed offsets of groups.
//
// A partition for which nothing was committed, and a group that never was, have offset -1 and no error. What is
// answered is durable.
//
// 1: errors stand at the partitions. 2: no topics means all, error for the group as a whole. 5: leader epoch.
// 6: flexible. 7: require_stable: a partition whose offset an open transaction is to change is UNSTABLE_OFFSET_COMMIT. 8: many groups in one request.
// 9: member id and epoch, for groups of the consumer protocol (KIP-848) only. 10: topics by id; a topic that is not
// known by now is left out of an answer about all topics.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) offsetFetch(ctx context.Context, c *Conn, req *kmsg.OffsetFetchRequest) (*kmsg.OffsetFetchResponse, error) {
	res := kmsg.NewPtrOffsetFetchResponse()
	if req.Version >= 8 {
		for i := range req.Groups {
			res.Groups = append(res.Groups, s.fetchGroup(ctx, c, &req.Groups[i], req.RequireStable, req.Version >= 10))
		}
		return res, nil
	}
	// An older request is one group of a newer one.
	in := kmsg.NewOffsetFetchRequestGroup()
	in.Group = req.Group
	if req.Topics != nil {
		in.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for i := range req.Topics {
		in.Topics = append(in.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: req.Topics[i].Topic, Partitions: req.Topics[i].Partitions})
	}
	out := s.fetchGroup(ctx, c, &in, req.RequireStable, false)
	res.ErrorCode = out.ErrorCode
	if out.ErrorCode != 0 && req.Version < 2 {
		// Version 1 has no other place for the error than the partitions.
		out.Topics = failedTopics(in.Topics, out.ErrorCode)
	}
	for i := range out.Topics {
		from := &out.Topics[i]
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = from.Topic
		for _, p := range from.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		res.Topics = append(res.Topics, topic)
	}
	return res, nil
}

// fetchGroup answers for one group.
func (s *Server) fetchGroup(ctx context.Context, c *Conn, in *kmsg.OffsetFetchRequestGroup, requireStable, byID bool) kmsg.OffsetFetchResponseGroup {
	out := kmsg.NewOffsetFetchResponseGroup()
	out.Group = in.Group
	if !s.allow(c, auth.Describe, auth.Group, in.Group) {
		out.ErrorCode = kafka.GroupAuthorizationFailed.Code()
		return out
	}
	view := s.topics.View()
	event := group.Fetch{Group: in.Group, All: in.Topics == nil, RequireStable: requireStable, MemberID: text(in.MemberID), MemberEpoch: in.MemberEpoch}
	denied := make([]bool, len(in.Topics))
	for i := range in.Topics {
		asked := group.FetchTopic{Topic: in.Topics[i].Topic, Partitions: in.Topics[i].Partitions}
		if topic := topicOf(view, byID, asked.Topic, in.Topics[i].TopicID); byID && topic != nil {
			asked.Topic, asked.TopicID = topic.Name, topic.ID
		}
		denied[i] = (!byID || !asked.TopicID.IsZero()) && !s.allow(c, auth.Describe, auth.Topic, asked.Topic)
		event.Topics = append(event.Topics, asked)
	}
	reply, err := s.groups.Fetch(ctx, event)
	if out.ErrorCode = codeOr(err, reply.Err); out.ErrorCode != 0 {
		return out
	}
	for i := range reply.Topics {
		if event.All {
			if topic, ok := fetchedTopic(view, &reply.Topics[i], byID); ok && s.may(c, auth.Describe, auth.Topic, reply.Topics[i].Topic) {
				out.Topics = append(out.Topics, topic)
			}
			continue
		}
		topic := answerTopic(&reply.Topics[i])
		topic.Topic, topic.TopicID = in.Topics[i].Topic, in.Topics[i].TopicID
		if byID && event.Topics[i].TopicID.IsZero() {
			refuse(&topic, kafka.UnknownTopicID.Code())
		}
		if denied[i] {
			refuse(&topic, kafka.TopicAuthorizationFailed.Code())
		}
		out.Topics = append(out.Topics, topic)
	}
	return out
}

// fetchedTopic is one topic of an answer about all. It returns false if the answer has to name an id and there is none.
func fetchedTopic(view *topics.View, from *group.FetchedTopic, byID bool) (kmsg.OffsetFetchResponseGroupTopic, bool) {
	out := answerTopic(from)
	out.Topic = from.Topic
	if byID {
		topic, ok := view.ByName(from.Topic)
		if !ok {
			return out, false
		}
		out.TopicID = topic.ID
	}
	return out, true
}

func answerTopic(from *group.FetchedTopic) kmsg.OffsetFetchResponseGroupTopic {
	out := kmsg.NewOffsetFetchResponseGroupTopic()
	for i := range from.Partitions {
		p := &from.Partitions[i]
		out.Partitions = append(out.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{
			Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: &p.Metadata, ErrorCode: p.Err.Code(),
		})
	}
	return out
}

// refuse turns all partitions of an answer into an error.
func refuse(topic *kmsg.OffsetFetchResponseGroupTopic, code int16) {
	for i := range topic.Partitions {
		p := &topic.Partitions[i]
		p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = group.NoOffset, kafka.NoLeaderEpoch, new(""), code
	}
}

func failedTopics(asked []kmsg.OffsetFetchRequestGroupTopic, code int16) []kmsg.OffsetFetchResponseGroupTopic {
	failed := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(asked))
	for i := range asked {
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic = asked[i].Topic
		for _, partition := range asked[i].Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition})
		}
		refuse(&topic, code)
		failed = append(failed, topic)
	}
	return failed
}
