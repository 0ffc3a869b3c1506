package app

import (
	"context"
	"strconv"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/api"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/broker/shard"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

func newTransactionsTopic(store *topics.Store, storage *shard.Store, moves *moves, v *config.Values) internalTopic {
	return internalTopic{store, storage, moves, topics.Spec{
		Name: kafka.TransactionStateTopic, Partitions: int32(TransactionPartitions.Get(v)), ReplicationFactor: -1,
		Configs: map[string]string{
			"cleanup.policy": "compact", "compression.type": "uncompressed", "min.insync.replicas": "1", "unclean.leader.election.enable": "false",
			"segment.bytes": strconv.Itoa(TransactionSegmentBytes.Get(v)),
		},
	}}
}

func transactionOptions(v *config.Values) txn.Options {
	return txn.Options{MaxTimeout: api.TransactionMaxTimeout.Get(v), Expiration: TransactionalIDExpiry.Get(v), CleanupInterval: TransactionalIDCheckInterval.Get(v)}
}

// markers ends transactions in partitions: in those of __consumer_offsets through the coordinator of their groups, which has
// to know, and in all others in the log.
type markers struct {
	topics  *topics.Store
	storage *shard.Store
	groups  *coordinator.Groups
}

func (m markers) Write(ctx context.Context, tp kafka.TopicPartition, marker machine.Marker, bumps bool) error {
	t, ok := m.topics.View().ByName(tp.Topic)
	if !ok || tp.Partition < 0 || tp.Partition >= t.Partitions {
		return kafka.UnknownTopicOrPartition
	}
	if tp.Topic == kafka.GroupMetadataTopic {
		return m.groups.CompleteTransaction(ctx, tp.Partition, marker)
	}
	log, err := m.storage.Log(t.ID, tp.Partition)
	if err != nil {
		return err
	}
	out := partition.Marker{ProducerID: marker.ID, ProducerEpoch: marker.Epoch, CoordinatorEpoch: marker.CoordinatorEpoch, Commit: marker.Commit}
	if bumps {
		out.Version = 2
	}
	a, err := log.AppendMarker(out)
	if err != nil {
		return err
	}
	return a.Ticket.Wait(ctx)
}
