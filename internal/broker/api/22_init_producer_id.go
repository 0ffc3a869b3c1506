package api

// InitProducerId (key 22), versions 0-5.
//
// Gives an idempotent producer an id that was never given before, with epoch 0, and the producer of a transactional id the
// id and epoch that fence all producers before it. A transaction that those left open is aborted first; meanwhile the
// answer is CONCURRENT_TRANSACTIONS.
//
// 2: flexible. 3: current id and epoch, both or none, of a producer that goes on (KIP-360). 4: PRODUCER_FENCED, before it
// INVALID_PRODUCER_EPOCH. Version 6 (KIP-939) is not stable in Kafka either.
//
// Unlike Kafka a producer that was fenced cannot abort its successor's transaction, and one that asks again for its last
// epoch is answered after a restart of the broker too.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// initVersionFenced is the version from which clients know PRODUCER_FENCED.
const initVersionFenced = 4

func (s *Server) initProducerID(ctx context.Context, c *Conn, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	res := kmsg.NewPtrInitProducerIDResponse()
	res.ProducerID, res.ProducerEpoch = -1, -1
	if code := s.refuseProducer(c, req.TransactionalID); code != kafka.None {
		res.ErrorCode = code.Code()
		return res, nil
	}
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		res.ErrorCode = kafka.InvalidRequest.Code()
		return res, nil
	}
	if req.TransactionalID == nil {
		id, err := s.topics.AllocateProducerID(ctx)
		if err != nil {
			s.logger.Warn("no producer id", "err", err)
			res.ErrorCode = kafka.CoordinatorLoadInProgress.Code()
			return res, nil
		}
		res.ProducerID, res.ProducerEpoch = id, 0
		return res, nil
	}
	e := txn.Init{TransactionalID: *req.TransactionalID, TimeoutMillis: req.TransactionTimeoutMillis}
	if req.ProducerID != -1 {
		e.Known = &txn.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch}
	}
	p, err := s.transactional.Init(ctx, e)
	res.ErrorCode = fencedCode(err, req.Version >= initVersionFenced)
	res.ProducerID, res.ProducerEpoch = p.ID, p.Epoch
	return res, nil
}

// fencedCode is the code of an error for a client that knows PRODUCER_FENCED, or does not yet.
func fencedCode(err error, known bool) int16 {
	code := codeOf(err)
	if code == kafka.ProducerFenced && !known {
		code = kafka.InvalidProducerEpoch
	}
	return code.Code()
}

// refuseProducer is the error for a client that may not use the transactional id, or without one, may not write at all.
func (s *Server) refuseProducer(c *Conn, transactionalID *string) kafka.Error {
	switch {
	case transactionalID != nil && !s.allow(c, auth.Write, auth.TransactionalID, *transactionalID):
		return kafka.TransactionalIDAuthorizationFailed
	case transactionalID == nil && !s.mayCluster(c, auth.IdempotentWrite) && !s.allowAny(c, auth.Write, auth.Topic):
		return kafka.ClusterAuthorizationFailed
	}
	return kafka.None
}
