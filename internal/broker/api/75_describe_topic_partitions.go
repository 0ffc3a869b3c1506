package api

// DescribeTopicPartitions (key 75), version 0.
//
// The paged form of Metadata (KIP-966): topics in order of name, at most max.request.partition.size.limit partitions an
// answer but at least one, and a cursor that says where the next one begins. An empty list asks for all topics. Leaders,
// replicas and their errors are as in Metadata.

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// partitionsPerAnswer is max.request.partition.size.limit.
const partitionsPerAnswer = 2000

func (s *Server) describeTopicPartitions(_ context.Context, c *Conn, req *kmsg.DescribeTopicPartitionsRequest) (*kmsg.DescribeTopicPartitionsResponse, error) {
	res := kmsg.NewPtrDescribeTopicPartitionsResponse()
	view, at := s.topics.View(), s.neighbours(c)
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range view.All() {
			names = append(names, t.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	from := int32(0)
	if req.Cursor != nil {
		if req.Cursor.Partition < 0 {
			for _, name := range names {
				res.Topics = append(res.Topics, unknownPartitions(name, kafka.InvalidRequest))
			}
			return res, nil
		}
		names = slices.DeleteFunc(names, func(n string) bool { return strings.Compare(n, req.Cursor.Topic) < 0 })
		if len(names) > 0 && names[0] == req.Cursor.Topic {
			from = req.Cursor.Partition
		}
	}
	names, denied := s.describable(c, names, len(req.Topics) == 0)
	left := max(min(partitionsPerAnswer, req.ResponsePartitionLimit), 1)
	for _, name := range names {
		topic, ok := view.ByName(name)
		if left == 0 {
			res.NextCursor = cursorAt(name, from)
			break
		}
		if !ok {
			missing := unknownPartitions(name, kafka.UnknownTopicOrPartition)
			if kafka.ValidateTopicName(name) != nil {
				missing.ErrorCode = kafka.InvalidTopicException.Code()
			}
			missing.AuthorizedOperations = s.operations(c, auth.Topic, name)
			res.Topics = append(res.Topics, missing)
			continue
		}
		to := min(topic.Partitions, from+left)
		res.Topics = append(res.Topics, s.describePartitions(c, &at, topic, from, to))
		left -= max(to-from, 0)
		if to < topic.Partitions {
			res.NextCursor = cursorAt(name, to)
			break
		}
		from = 0
	}
	for _, name := range denied {
		res.Topics = append(res.Topics, unknownPartitions(name, kafka.TopicAuthorizationFailed))
	}
	return res, nil
}

// describable parts the names of topics that the client may describe from the others, of which it learns nothing if it asked
// for all.
func (s *Server) describable(c *Conn, names []string, all bool) (allowed, denied []string) {
	for _, name := range names {
		switch {
		case all && s.may(c, auth.Describe, auth.Topic, name), !all && s.allow(c, auth.Describe, auth.Topic, name):
			allowed = append(allowed, name)
		case !all:
			denied = append(denied, name)
		}
	}
	return allowed, denied
}

func unknownPartitions(name string, code kafka.Error) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.ErrorCode = &name, code.Code()
	return t
}

func cursorAt(name string, index int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = name, index
	return &c
}

func (s *Server) describePartitions(c *Conn, at *neighbours, t *topics.Topic, from, to int32) kmsg.DescribeTopicPartitionsResponseTopic {
	out := kmsg.NewDescribeTopicPartitionsResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = new(t.Name), t.ID, kafka.IsInternalTopic(t.Name)
	out.AuthorizedOperations = s.operations(c, auth.Topic, t.Name)
	for i := from; i < to; i++ {
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		l := at.leadership(t, i)
		p.Partition, p.LeaderID, p.LeaderEpoch, p.ErrorCode = i, l.leader, l.epoch, l.code.Code()
		p.Replicas, p.ISR, p.OfflineReplicas = l.replicas, l.replicas, l.offline
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{} // clients do not take null
		out.Partitions = append(out.Partitions, p)
	}
	return out
}
