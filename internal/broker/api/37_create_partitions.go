// CreatePartitions, key 37, versions 0 to 3.
//
// Grows topics; the new partitions can be used when it answers. A topic cannot shrink. Assignments are as in CreateTopics.
//
//	v2  flexible
//	v3  throttling may be answered by an error
//
// Difference from Kafka: more partitions than the broker takes yield POLICY_VIOLATION with a text, not an unknown error.
package api

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) createPartitions(ctx context.Context, c *Conn, req *kmsg.CreatePartitionsRequest) (*kmsg.CreatePartitionsResponse, error) {
	res := kmsg.NewPtrCreatePartitionsResponse()
	account := s.mutations(c, req.Version, createPartitionsThrottled)
	times := make(map[string]int, len(req.Topics))
	for i := range req.Topics {
		times[req.Topics[i].Topic]++
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = t.Topic
		var err error
		switch times[t.Topic] {
		case 0: // answered already
			continue
		case 1:
			if !s.allow(c, auth.Alter, auth.Topic, t.Topic) {
				err = kafka.TopicAuthorizationFailed
				break
			}
			var assignments [][]int32
			for j := range t.Assignment {
				assignments = append(assignments, t.Assignment[j].Replicas)
			}
			if err = s.admitPartitions(ctx, account, t, assignments); err == nil {
				_, err = s.topics.AddPartitions(ctx, t.Topic, t.Count, assignments, req.ValidateOnly)
			}
		default:
			times[t.Topic] = 0
			err = kafka.Errorf(kafka.InvalidRequest, "Duplicate topic name.")
		}
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		if errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, kafka.TopicAuthorizationFailed) {
			out.ErrorMessage = nil // as Kafka has it
		}
		res.Topics = append(res.Topics, out)
	}
	c.hold(account.Throttle())
	return res, nil
}

// admitPartitions takes new partitions, if they could be made, out of the client's quota.
func (s *Server) admitPartitions(ctx context.Context, account *quota.Mutations, t *kmsg.CreatePartitionsRequestTopic, assignments [][]int32) error {
	before, ok := s.topics.View().ByName(t.Topic)
	if !ok || !s.quotas.HasMutation() {
		return nil
	}
	if _, err := s.topics.AddPartitions(ctx, t.Topic, t.Count, assignments, true); err != nil {
		return err
	}
	return account.Take(int(t.Count-before.Partitions), s.now())
}
