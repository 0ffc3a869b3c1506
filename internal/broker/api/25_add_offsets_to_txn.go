package api

// AddOffsetsToTxn (key 25), versions 0-4: makes the offsets of a group part of a producer's transaction.
//
// 2: PRODUCER_FENCED, before it INVALID_PRODUCER_EPOCH. 3: flexible. 4: error codes.
//
// Unlike Kafka, which adds a partition of a topic that may not be there, the first request creates __consumer_offsets.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// addOffsetsVersionFenced is the version from which clients know PRODUCER_FENCED.
const addOffsetsVersionFenced = 2

func (s *Server) addOffsetsToTxn(ctx context.Context, c *Conn, req *kmsg.AddOffsetsToTxnRequest) (*kmsg.AddOffsetsToTxnResponse, error) {
	res := kmsg.NewPtrAddOffsetsToTxnResponse()
	switch {
	case !s.allow(c, auth.Write, auth.TransactionalID, req.TransactionalID):
		res.ErrorCode = kafka.TransactionalIDAuthorizationFailed.Code()
	case !s.allow(c, auth.Read, auth.Group, req.Group):
		res.ErrorCode = kafka.GroupAuthorizationFailed.Code()
	default:
		err := s.transactional.AddOffsets(ctx, req.TransactionalID, txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}, req.Group)
		res.ErrorCode = fencedCode(err, req.Version >= addOffsetsVersionFenced)
	}
	return res, nil
}
