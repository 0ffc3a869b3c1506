package api

// FindCoordinator (key 10), versions 0-6: names the broker that coordinates a group, a transactional id or the state of a share
// partition: the owner of the shard of the partition of the internal topic that the key hashes to.
//
// The first request creates the topic, for which the answer waits; should that not succeed, or the partition have no owner that
// the client can reach, it is COORDINATOR_NOT_AVAILABLE, which clients retry.
//
// 0: groups only. 1: type of coordinator, error text. 3: flexible. 4: many keys in one request. 6: share groups.

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/coordinator"
	"github.com/weir-stream/weir/internal/kafka"
)

// Types of coordinators.
const (
	coordinatorOfGroups       = 0
	coordinatorOfTransactions = 1
	coordinatorOfShares       = 2
)

func (s *Server) findCoordinator(ctx context.Context, c *Conn, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	res := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		found := s.coordinator(ctx, c, req.Version, req.CoordinatorType, req.CoordinatorKey)
		res.ErrorCode, res.ErrorMessage = found.ErrorCode, found.ErrorMessage
		if res.ErrorCode == 0 {
			res.ErrorMessage = new("NONE") // the name of the code, as Kafka has it
		}
		res.NodeID, res.Host, res.Port = found.NodeID, found.Host, found.Port
		return res, nil
	}
	for _, key := range req.CoordinatorKeys {
		found := s.coordinator(ctx, c, req.Version, req.CoordinatorType, key)
		found.Key = key
		if found.ErrorCode == kafka.GroupAuthorizationFailed.Code() || found.ErrorCode == kafka.TransactionalIDAuthorizationFailed.Code() {
			found.ErrorMessage = new("") // as Kafka has it
		}
		res.Coordinators = append(res.Coordinators, found)
	}
	return res, nil
}

// coordinator answers for a key that the client may describe.
func (s *Server) coordinator(ctx context.Context, c *Conn, version int16, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	var err error
	topic := map[int8]string{
		coordinatorOfGroups: kafka.GroupMetadataTopic, coordinatorOfTransactions: kafka.TransactionStateTopic, coordinatorOfShares: kafka.ShareGroupStateTopic,
	}[kind]
	switch {
	case kind == coordinatorOfGroups && !s.allow(c, auth.Describe, auth.Group, key):
		err = kafka.GroupAuthorizationFailed
	case kind == coordinatorOfTransactions && !s.allow(c, auth.Describe, auth.TransactionalID, key):
		err = kafka.TransactionalIDAuthorizationFailed
	case kind == coordinatorOfGroups:
		err = s.groups.Coordinator(ctx)
	case kind == coordinatorOfShares && version < 6:
		err = &kafka.Detail{Err: kafka.InvalidRequest} // without a text, as Kafka has it
	case kind == coordinatorOfShares:
		err = s.shareCoordinator(ctx, c, key)
	case kind == coordinatorOfTransactions:
		err = s.transactional.Coordinator(ctx)
	default:
		err = kafka.Errorf(kafka.InvalidRequest, "There is no coordinator of type %d.", kind)
	}
	var at neighbour
	if err == nil {
		at, err = s.coordinatorAt(c, topic, func(partitions int32) int32 { return coordinator.PartitionOf(key, partitions) })
	}
	if err != nil {
		found.ErrorCode, found.ErrorMessage = codeOf(err).Code(), textOf(err)
		found.NodeID, found.Port = -1, -1
		return found
	}
	found.ErrorMessage = new("")
	found.NodeID, found.Host, found.Port = at.id, at.host, at.port
	return found
}

// shareCoordinator tells whether the key of a share partition, group:topic id:partition, has a coordinator. The question is
// for brokers.
func (s *Server) shareCoordinator(ctx context.Context, c *Conn, key string) error {
	if !s.allowCluster(c, auth.ClusterAction) {
		return kafka.ClusterAuthorizationFailed
	}
	rest, partition, ok := cutLast(key)
	group, topic, found := cutLast(rest)
	_, err := strconv.ParseInt(partition, 10, 32)
	id, invalid := base64.RawURLEncoding.DecodeString(topic)
	if !ok || !found || group == "" || err != nil || invalid != nil || len(id) != len(kafka.TopicID{}) {
		return &kafka.Detail{Err: kafka.InvalidRequest} // without a text, as Kafka has it
	}
	return s.shares.Coordinator(ctx)
}

// cutLast cuts s at its last colon.
func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
