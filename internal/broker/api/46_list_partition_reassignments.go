// ListPartitionReassignments, key 46, version 0.
//
// Partitions have one replica, which changes at once when a shard gets another owner: the list is empty, whatever is asked for.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) listPartitionReassignments(_ context.Context, c *Conn, _ *kmsg.ListPartitionReassignmentsRequest) (*kmsg.ListPartitionReassignmentsResponse, error) {
	res := kmsg.NewPtrListPartitionReassignmentsResponse()
	if !s.allowCluster(c, auth.Describe) {
		err := kafka.ClusterAuthorizationFailed
		res.ErrorCode, res.ErrorMessage = err.Code(), textOf(err)
	}
	return res, nil
}
