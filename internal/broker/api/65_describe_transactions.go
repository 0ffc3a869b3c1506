package api

// DescribeTransactions (key 65), version 0: the state of transactional ids. Topics that the client may not describe are
// left out.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeTransactions(ctx context.Context, c *Conn, req *kmsg.DescribeTransactionsRequest) (*kmsg.DescribeTransactionsResponse, error) {
	res := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		res.TransactionStates = append(res.TransactionStates, s.describeTransaction(ctx, c, id))
	}
	return res, nil
}

func (s *Server) describeTransaction(ctx context.Context, c *Conn, id string) kmsg.DescribeTransactionsResponseTransactionState {
	out := kmsg.NewDescribeTransactionsResponseTransactionState()
	out.TransactionalID = id
	switch {
	case !s.allow(c, auth.Describe, auth.TransactionalID, id):
		out.ErrorCode = kafka.TransactionalIDAuthorizationFailed.Code()
		return out
	case id == "":
		out.ErrorCode = kafka.InvalidRequest.Code()
		return out
	}
	t, err := s.transactional.Describe(ctx, id)
	if err != nil {
		out.ErrorCode = codeOf(err).Code()
		return out
	}
	out.State, out.TimeoutMillis, out.StartTimestamp = t.State.String(), t.TimeoutMillis, t.Start
	out.ProducerID, out.ProducerEpoch = t.ProducerID, t.ProducerEpoch
	for i := 0; i < len(t.Partitions); {
		topic := kmsg.NewDescribeTransactionsResponseTransactionStateTopic()
		topic.Topic = t.Partitions[i].Topic
		for ; i < len(t.Partitions) && t.Partitions[i].Topic == topic.Topic; i++ {
			topic.Partitions = append(topic.Partitions, t.Partitions[i].Partition)
		}
		if s.may(c, auth.Describe, auth.Topic, topic.Topic) {
			out.Topics = append(out.Topics, topic)
		}
	}
	return out
}
