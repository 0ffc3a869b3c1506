package shard

import (
	"context"
	"errors"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
)

// ReadPlaces reads batches of a partition that another broker owns, from places that it told (partition.Log.Places), through this
// broker's caches. The error is kafka.NotLeaderOrFollower where the objects are gone: the owner has moved the batches meanwhile.
func (s *Store) ReadPlaces(ctx context.Context, topic kafka.TopicID, index int32, places []byte, req partition.ReadRequest) (partition.ReadResult, error) {
	id := partition.Identity{Shard: s.o.Topics.Shard(topic, index), Topic: topic, Partition: index}
	res, err := partition.ReadPlaces(ctx, id, s.present.Load().env, s.o.Blob, places, req)
	if errors.Is(err, blob.ErrNotFound) {
		return res, kafka.NotLeaderOrFollower
	}
	return res, err
}
