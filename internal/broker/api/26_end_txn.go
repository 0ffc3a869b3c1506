package api

// EndTxn (key 26), versions 0-5: commits or aborts a producer's transaction.
//
// The answer is sent when the outcome is durable; the markers in the partitions follow, and until they are written the
// next request of the transactional id is answered CONCURRENT_TRANSACTIONS. A request that comes again finds the outcome. Below
// version 5 a request whose connection has ended is passed over: its client may have asked again and begun the next transaction (KAFKA-17754).
//
// 2: PRODUCER_FENCED, before it INVALID_PRODUCER_EPOCH. 3: flexible. 5: each transaction takes an epoch (KIP-890); the
// answer has the producer id and epoch to go on with, and an abort is allowed without a transaction.
//
// Unlike Kafka 4.3 a commit that comes after the transaction was aborted is PRODUCER_FENCED, not INVALID_TXN_STATE, in
// version 5 (KAFKA-20785).

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// Versions of EndTxn from which clients know PRODUCER_FENCED, and from which they take a new epoch.
const (
	endTxnVersionFenced = 2
	endTxnVersionBumps  = 5
)

func (s *Server) endTxn(ctx context.Context, c *Conn, req *kmsg.EndTxnRequest) (*kmsg.EndTxnResponse, error) {
	res := kmsg.NewPtrEndTxnResponse()
	res.ProducerID, res.ProducerEpoch = -1, -1
	if !s.allow(c, auth.Write, auth.TransactionalID, req.TransactionalID) {
		res.ErrorCode = kafka.TransactionalIDAuthorizationFailed.Code()
		return res, nil
	}
	p, err := s.transactional.End(ctx, txn.End{
		TransactionalID: req.TransactionalID, Producer: txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch},
		Commit: req.Commit, Bumps: req.Version >= endTxnVersionBumps,
	})
	res.ErrorCode = fencedCode(err, req.Version >= endTxnVersionFenced)
	res.ProducerID, res.ProducerEpoch = p.ID, p.Epoch
	return res, nil
}
