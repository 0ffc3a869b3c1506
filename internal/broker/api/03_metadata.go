package api

// Metadata (key 3), versions 0-13.
//
// Every partition is led by this broker; replicas and in-sync replicas name it alone, since durability is the store's.
// A topic that does not exist is created where both the request (v4+) and auto.create.topics.enable allow it; as in
// Kafka the answer that caused the creation still says UNKNOWN_TOPIC_OR_PARTITION, and the next one has the topic.
//
// 0: an empty list asks for all. 1: null asks for all, empty for none. 4: auto-create flag. 5: offline replicas.
// 7: leader epochs. 8: authorized operations. 9: flexible. 10: topic ids. 12: lookup by id. 13: top-level error.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

// Bit fields of allowed operations (bit n stands for the ACL operation with code n), for a principal that may do all.
const (
	operationsUnknown = -2147483648
	operationsTopic   = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	operationsCluster = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

func (s *Server) metadata(ctx context.Context, c *Conn, req *kmsg.MetadataRequest) (*kmsg.MetadataResponse, error) {
	res := kmsg.NewPtrMetadataResponse()
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port, b.Rack = s.nodeID, c.Host, c.Port, s.rackPtr()
	res.Brokers = append(res.Brokers, b)
	res.ClusterID = kmsg.StringPtr(s.topics.ClusterID())
	res.ControllerID = s.nodeID
	if req.IncludeClusterAuthorizedOperations {
		res.AuthorizedOperations = operationsCluster
	}
	view := s.topics.View()
	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		for _, t := range view.All() {
			res.Topics = append(res.Topics, s.describeTopic(t, req.IncludeTopicAuthorizedOperations))
		}
		return res, nil
	}
	create := AutoCreateTopics.Get(s.topics.Values()) && (req.Version < 4 || req.AllowAutoTopicCreation)
	for _, t := range req.Topics {
		res.Topics = append(res.Topics, s.metadataTopic(ctx, view, &t, create, req.IncludeTopicAuthorizedOperations))
	}
	return res, nil
}

func (s *Server) metadataTopic(ctx context.Context, view *topics.View, t *kmsg.MetadataRequestTopic, create, operations bool) kmsg.MetadataResponseTopic {
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic, missing.TopicID = t.Topic, t.TopicID
	if t.Topic == nil {
		if topic, ok := view.ByID(t.TopicID); ok {
			return s.describeTopic(topic, operations)
		}
		missing.ErrorCode = kafka.UnknownTopicID.Code()
		return missing
	}
	if topic, ok := view.ByName(*t.Topic); ok {
		return s.describeTopic(topic, operations)
	}
	missing.ErrorCode = kafka.UnknownTopicOrPartition.Code()
	if err := kafka.ValidateTopicName(*t.Topic); err != nil {
		missing.ErrorCode = kafka.InvalidTopicException.Code()
		return missing
	}
	missing.IsInternal = kafka.IsInternalTopic(*t.Topic)
	if create && !missing.IsInternal {
		if _, err := s.topics.Create(ctx, topics.Spec{Name: *t.Topic, Partitions: -1, ReplicationFactor: -1}, false); err != nil {
			if code := codeOf(err); code != kafka.TopicAlreadyExists {
				missing.ErrorCode = code.Code()
			}
		}
	}
	return missing
}

func (s *Server) describeTopic(t *topics.Topic, operations bool) kmsg.MetadataResponseTopic {
	out := kmsg.NewMetadataResponseTopic()
	out.Topic, out.TopicID, out.IsInternal = kmsg.StringPtr(t.Name), t.ID, kafka.IsInternalTopic(t.Name)
	if operations {
		out.AuthorizedOperations = operationsTopic
	}
	node := []int32{s.nodeID}
	out.Partitions = make([]kmsg.MetadataResponseTopicPartition, t.Partitions)
	for i := range out.Partitions {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.Replicas, p.ISR = int32(i), s.nodeID, node, node
		p.LeaderEpoch = s.leaderEpoch(t, int32(i))
		out.Partitions[i] = p
	}
	return out
}

func (s *Server) leaderEpoch(t *topics.Topic, index int32) int32 {
	return s.storage.LeaderEpoch(s.topics.Shard(t.ID, index))
}

func (s *Server) rackPtr() *string {
	if s.rack == "" {
		return nil
	}
	return &s.rack
}
