package api

import (
	"cmp"
	"context"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/share"
	"github.com/weir-stream/weir/internal/kafka"
)

// The handlers of the keys 83 to 87 are alike: brokers speak so to the one that keeps the states of share partitions. They
// take ClusterAction, and answer partition by partition. A request without a group is answered with nothing.

// refuseState is the error for a client that is no broker.
func (s *Server) refuseState(c *Conn) error {
	if !s.allowCluster(c, auth.ClusterAction) {
		return kafka.ClusterAuthorizationFailed
	}
	return nil
}

// state asks about a state that this broker keeps.
func (s *Server) state(ctx context.Context, key share.Key, event any) (share.StateReply, error) {
	r, err := s.shares.StateHere(ctx, key, event)
	return r, cmp.Or(err, r.Err)
}

// stateKey names a share partition.
func stateKey(group string, topic [16]byte, partition int32) share.Key {
	return share.Key{Group: group, Topic: topic, Partition: partition}
}
