package api

// InitProducerId (key 22), versions 0-5.
//
// Gives an idempotent producer an id that was never given before, with epoch 0. Transactional ids are answered
// UNSUPPORTED_VERSION: transactions are not served by this version.
//
// 2: flexible. 3: current id and epoch, both or none (only meant for transactions). 4, 5: error codes.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) initProducerID(ctx context.Context, c *Conn, req *kmsg.InitProducerIDRequest) (*kmsg.InitProducerIDResponse, error) {
	res := kmsg.NewPtrInitProducerIDResponse()
	res.ProducerID, res.ProducerEpoch = -1, -1
	if code := s.refuseProducer(c, req.TransactionalID); code != kafka.None {
		res.ErrorCode = code.Code()
		return res, nil
	}
	if req.TransactionalID != nil {
		res.ErrorCode = kafka.UnsupportedVersion.Code()
		if *req.TransactionalID == "" {
			res.ErrorCode = kafka.InvalidRequest.Code()
		}
		return res, nil
	}
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		res.ErrorCode = kafka.InvalidRequest.Code()
		return res, nil
	}
	id, err := s.topics.AllocateProducerID(ctx)
	if err != nil {
		s.logger.Warn("no producer id", "err", err)
		res.ErrorCode = kafka.CoordinatorLoadInProgress.Code()
		return res, nil
	}
	res.ProducerID, res.ProducerEpoch = id, 0
	return res, nil
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
