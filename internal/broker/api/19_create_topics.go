// CreateTopics, key 19, versions 2 to 7.
//
// Makes topics durable and usable before it answers: the first produce or metadata request after it finds them. Topics
// of one request are written together and fail one by one. validate_only checks everything and creates nothing. Assignments by hand
// must name brokers that there are, one for each partition, and place nothing: a partition is where its shard is.
//
//	v4  -1 for partitions and replication factor means the broker's default
//	v5  the answer carries the numbers and all configs of the topic; flexible
//	v6  throttling may be answered by an error
//	v7  the answer carries the topic's id
//
// Differences from Kafka: durability is the store's, so a partition has one replica, whatever factor up to the number of brokers is asked for; a request may
// ask for more than 10,000 partitions, up to max.partitions.per.broker altogether; internal.segment.bytes is unknown. Who names
// a topic for dead letters (weir.contract.dlq.topic) must be allowed to write to it.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) createTopics(ctx context.Context, c *Conn, req *kmsg.CreateTopicsRequest) (*kmsg.CreateTopicsResponse, error) {
	res := kmsg.NewPtrCreateTopicsResponse()
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	specs := make([]topics.Spec, 0, len(req.Topics))
	mayAll := s.mayCluster(c, auth.Create)
	var twice, denied []string
	for i := range req.Topics {
		t := &req.Topics[i]
		switch times[t.Topic] {
		case 1:
			if !mayAll && !s.allow(c, auth.Create, auth.Topic, t.Topic) {
				denied = append(denied, t.Topic)
				continue
			}
			if s.refuseCreateConfigs(c, t) != nil {
				denied = append(denied, t.Topic)
				continue
			}
			specs = append(specs, createSpec(t))
		case 0: // answered already
		default:
			times[t.Topic] = 0
			twice = append(twice, t.Topic)
		}
	}
	view := s.topics.View()
	if s.quotas.HasMutation() {
		// What would be created has to fit into the client's quota.
		admitted := specs[:0:0]
		for i, err := range s.admitTopics(c, req.Version, s.topics.CreateAll(ctx, specs, true)) {
			if err != nil {
				res.Topics = append(res.Topics, createFailed(specs[i].Name, err))
				continue
			}
			admitted = append(admitted, specs[i])
		}
		specs = admitted
	}
	created := s.topics.CreateAll(ctx, specs, req.ValidateOnly)
	for i, made := range created {
		if made.Err != nil {
			res.Topics = append(res.Topics, createFailed(specs[i].Name, made.Err))
			continue
		}
		out := createSucceeded(view, made.Topic)
		if !s.may(c, auth.DescribeConfigs, auth.Topic, made.Topic.Name) {
			hideConfigs(&out)
		}
		res.Topics = append(res.Topics, out)
	}
	for _, name := range twice {
		res.Topics = append(res.Topics, createFailed(name, kafka.Errorf(kafka.InvalidRequest, "Duplicate topic name.")))
	}
	for _, name := range denied {
		res.Topics = append(res.Topics, createFailed(name, kafka.TopicAuthorizationFailed))
	}
	return res, nil
}

// refuseCreateConfigs is refuseDeadLetters for a topic to be created.
func (s *Server) refuseCreateConfigs(c *Conn, t *kmsg.CreateTopicsRequestTopic) error {
	for i := range t.Configs {
		if err := s.refuseDeadLetters(c, t.Configs[i].Name, t.Configs[i].Value); err != nil {
			return err
		}
	}
	return nil
}

// hideConfigs takes from an answer what only those learn who may describe the configs of the topic.
func hideConfigs(out *kmsg.CreateTopicsResponseTopic) {
	out.Configs, out.ConfigErrorCode = []kmsg.CreateTopicsResponseTopicConfig{}, kafka.TopicAuthorizationFailed.Code()
	out.NumPartitions, out.ReplicationFactor = -1, -1
}

func createSpec(t *kmsg.CreateTopicsRequestTopic) topics.Spec {
	spec := topics.Spec{Name: t.Topic, Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
	for i := range t.ReplicaAssignment {
		a := &t.ReplicaAssignment[i]
		spec.Assignments = append(spec.Assignments, topics.Assignment{Partition: a.Partition, Replicas: a.Replicas})
	}
	for i := range t.Configs {
		c := &t.Configs[i]
		if c.Value == nil {
			spec.NullConfigs = append(spec.NullConfigs, c.Name)
			continue
		}
		if spec.Configs == nil {
			spec.Configs = make(map[string]string, len(t.Configs))
		}
		spec.Configs[c.Name] = *c.Value // the last of a name counts
	}
	return spec
}

func createSucceeded(view *topics.View, t *topics.Topic) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.TopicID = t.Name, t.ID
	out.NumPartitions, out.ReplicationFactor = t.Partitions, 1
	for _, c := range view.EffectiveTopicConfigs(t) {
		x := kmsg.NewCreateTopicsResponseTopicConfig()
		x.Name, x.Value, x.Source = c.Name, c.Value, int8(c.Source)
		out.Configs = append(out.Configs, x)
	}
	return out
}

func createFailed(name string, err error) kmsg.CreateTopicsResponseTopic {
	out := kmsg.NewCreateTopicsResponseTopic()
	out.Topic, out.ErrorCode, out.ErrorMessage = name, codeOf(err).Code(), textOf(err)
	out.NumPartitions, out.ReplicationFactor = -1, -1
	out.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // null would mean that the configs are hidden
	return out
}
