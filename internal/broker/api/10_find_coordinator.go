package api

// FindCoordinator (key 10), versions 0-6: names the broker that coordinates a group or a transactional id.
//
// The first request creates __consumer_offsets or __transaction_state, for which the answer waits; should that not succeed it is
// COORDINATOR_NOT_AVAILABLE, which clients retry.
//
// 0: groups only. 1: type of coordinator, error text. 3: flexible. 4: many keys in one request. 6: share groups.
//
// Unlike Kafka there is no coordinator of share groups yet: INVALID_REQUEST with a text that says so, rather than an error
// that clients retry for ever.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

// Types of coordinators.
const (
	coordinatorOfGroups       = 0
	coordinatorOfTransactions = 1
)

func (s *Server) findCoordinator(ctx context.Context, c *Conn, req *kmsg.FindCoordinatorRequest) (*kmsg.FindCoordinatorResponse, error) {
	res := kmsg.NewPtrFindCoordinatorResponse()
	if req.Version < 4 {
		found := s.coordinator(ctx, c, req.CoordinatorType, req.CoordinatorKey)
		res.ErrorCode, res.ErrorMessage = found.ErrorCode, found.ErrorMessage
		if res.ErrorCode == 0 {
			res.ErrorMessage = new("NONE") // the name of the code, as Kafka has it
		}
		res.NodeID, res.Host, res.Port = found.NodeID, found.Host, found.Port
		return res, nil
	}
	for _, key := range req.CoordinatorKeys {
		found := s.coordinator(ctx, c, req.CoordinatorType, key)
		found.Key = key
		if found.ErrorCode == kafka.GroupAuthorizationFailed.Code() || found.ErrorCode == kafka.TransactionalIDAuthorizationFailed.Code() {
			found.ErrorMessage = new("") // as Kafka has it
		}
		res.Coordinators = append(res.Coordinators, found)
	}
	return res, nil
}

// coordinator answers for a key that the client may describe: one broker coordinates them all.
func (s *Server) coordinator(ctx context.Context, c *Conn, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	found := kmsg.NewFindCoordinatorResponseCoordinator()
	var err error
	switch {
	case kind == coordinatorOfGroups && !s.allow(c, auth.Describe, auth.Group, key):
		err = kafka.GroupAuthorizationFailed
	case kind == coordinatorOfTransactions && !s.allow(c, auth.Describe, auth.TransactionalID, key):
		err = kafka.TransactionalIDAuthorizationFailed
	case kind == coordinatorOfGroups:
		err = s.groups.Coordinator(ctx)
	case kind == coordinatorOfTransactions:
		err = s.transactional.Coordinator(ctx)
	default:
		err = kafka.Errorf(kafka.InvalidRequest, "There is no coordinator of type %d.", kind)
	}
	if err != nil {
		found.ErrorCode, found.ErrorMessage = codeOf(err).Code(), textOf(err)
		found.NodeID, found.Port = -1, -1
		return found
	}
	found.ErrorMessage = new("")
	found.NodeID, found.Host, found.Port = s.nodeID, c.Host, c.Port
	return found
}
