// AlterPartitionReassignments (AlterPartitionAssignments in kmsg), key 45, versions 0 and 1.
//
// A partition has one replica, on the broker that owns its shard. Asking for just that succeeds and changes nothing. Anything else
// is INVALID_REPLICA_ASSIGNMENT: a partition cannot be moved without those that share its shard, and brokers take over whole
// shards by themselves. Nothing is ever being moved by request, so there is nothing to cancel.
//
//	v1  the client may forbid that the replication factor changes; it cannot change here anyway
package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterPartitionAssignments(_ context.Context, c *Conn, req *kmsg.AlterPartitionAssignmentsRequest) (*kmsg.AlterPartitionAssignmentsResponse, error) {
	res := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	res.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	var refused error
	if !s.allowCluster(c, auth.Alter) {
		refused = kafka.ClusterAuthorizationFailed
		res.ErrorCode, res.ErrorMessage = codeOf(refused).Code(), textOf(refused)
	}
	if len(req.Topics) == 0 && refused == nil {
		res.ErrorMessage = new("") // as Kafka has it
	}
	view, at := s.topics.View(), s.neighbours(c)
	for i := range req.Topics {
		t := &req.Topics[i]
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = t.Topic
		topic, _ := view.ByName(t.Topic)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			err := refused
			if err == nil {
				err = reassign(&at, topic, t.Topic, p)
			}
			one := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			one.Partition, one.ErrorCode, one.ErrorMessage = p.Partition, codeOf(err).Code(), textOf(err)
			if codeOf(err) == kafka.NoReassignmentInProgress {
				one.ErrorMessage = nil // as Kafka has it
			}
			out.Partitions = append(out.Partitions, one)
		}
		res.Topics = append(res.Topics, out)
	}
	return res, nil
}

// reassign checks where a partition is wanted; where it is nothing has to be done.
func reassign(at *neighbours, t *topics.Topic, name string, p *kmsg.AlterPartitionAssignmentsRequestTopicPartition) error {
	invalid := func(format string, args ...any) error {
		return kafka.Errorf(kafka.InvalidReplicaAssignment, "The manual partition assignment includes "+format, args...)
	}
	switch {
	case t == nil:
		return kafka.Errorf(kafka.UnknownTopicOrPartition, "Unable to find a topic named %s.", name)
	case p.Partition < 0 || p.Partition >= t.Partitions:
		return kafka.Errorf(kafka.UnknownTopicOrPartition, "Unable to find partition %s:%d.", name, p.Partition)
	case p.Replicas == nil:
		return kafka.NoReassignmentInProgress
	case len(p.Replicas) == 0:
		return invalid("an empty replica list.")
	}
	// Kafka looks at the brokers in the order of their ids.
	sorted := slices.Sorted(slices.Values(p.Replicas))
	for i, r := range sorted {
		if !slices.Contains(at.ids, r) {
			return invalid("broker %d, but no such broker is registered.", r)
		}
		if i > 0 && r == sorted[i-1] {
			return invalid("the broker %d more than once.", r)
		}
	}
	switch owner := at.Owner(t.Shard(p.Partition)).Broker; {
	case len(sorted) > 1:
		return invalid("%d brokers, but a partition has one replica: the object store keeps its records.", len(sorted))
	case sorted[0] != owner:
		return kafka.Errorf(kafka.InvalidReplicaAssignment, "Partition %s-%d is on broker %d, where its shard is. Brokers own whole shards; a partition cannot be moved alone.", name, p.Partition, owner)
	}
	return nil
}
