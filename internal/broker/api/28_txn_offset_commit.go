package api

// TxnOffsetCommit (key 28), versions 0-5: stores the offsets of a group in the open transaction of a producer.
//
// The answer is sent when the offsets are durable; they become the group's when the transaction commits. Partitions that
// are not there are refused one by one. Unlike Kafka, which begins a verification with the partition's own leader, the
// transaction is looked up in the coordinator that runs in the same process.
//
// 2: leader epoch. 3: flexible; member, generation and instance are checked. Before it anybody may commit. 4: a group
// that is not part of the transaction is TRANSACTION_ABORTABLE, before it INVALID_TXN_STATE. 5: adds the group to the
// transaction by itself (KIP-890).

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/group"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) txnOffsetCommit(ctx context.Context, c *Conn, req *kmsg.TxnOffsetCommitRequest) (*kmsg.TxnOffsetCommitResponse, error) {
	switch {
	case !s.allow(c, auth.Write, auth.TransactionalID, req.TransactionalID):
		return refuseTxnOffsets(req, kafka.TransactionalIDAuthorizationFailed), nil
	case !s.allow(c, auth.Read, auth.Group, req.Group):
		return refuseTxnOffsets(req, kafka.GroupAuthorizationFailed), nil
	}
	event := group.TxnCommit{
		Group: req.Group, Producer: machine.Producer{ID: req.ProducerID, Epoch: req.ProducerEpoch},
		MemberID: req.MemberID, InstanceID: text(req.InstanceID), Generation: req.Generation,
	}
	view := s.topics.View()
	res := refuseTxnOffsets(req, kafka.UnknownTopicOrPartition)
	var asked []*kmsg.TxnOffsetCommitResponseTopicPartition
	for i := range req.Topics {
		in, out := &req.Topics[i], &res.Topics[i]
		allowed := s.allow(c, auth.Read, auth.Topic, in.Topic)
		topic, _ := view.ByName(in.Topic)
		for j := range in.Partitions {
			p, answer := &in.Partitions[j], &out.Partitions[j]
			switch {
			case !allowed:
				answer.ErrorCode = kafka.TopicAuthorizationFailed.Code()
			case hasPartition(topic, p.Partition):
				asked = append(asked, answer)
				event.Offsets = append(event.Offsets, group.CommitOffset{
					Topic: topic.Name, TopicID: topic.ID, Partition: p.Partition,
					Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: text(p.Metadata),
				})
			}
		}
	}
	if len(asked) == 0 {
		return res, nil
	}
	reply, err := s.commitInTransaction(ctx, req, event)
	for i, answer := range asked {
		code := reply.Err
		if code == kafka.None && err == nil {
			code = reply.Offsets[i]
		}
		answer.ErrorCode = codeOr(err, code)
		if req.Version < 2 && answer.ErrorCode == kafka.CoordinatorLoadInProgress.Code() {
			// Clients of that age may crash on the other code (KAFKA-7296).
			answer.ErrorCode = kafka.CoordinatorNotAvailable.Code()
		}
	}
	return res, nil
}

func (s *Server) commitInTransaction(ctx context.Context, req *kmsg.TxnOffsetCommitRequest, event group.TxnCommit) (group.CommitReply, error) {
	switch {
	case req.Group == "":
		return group.CommitReply{}, kafka.InvalidGroupID
	case s.transactions == nil:
		return group.CommitReply{}, kafka.CoordinatorNotAvailable
	}
	return s.groups.TxnCommit(ctx, event, func(ctx context.Context) (err error) {
		defer func() {
			if errors.Is(err, kafka.NotCoordinator) {
				// The client would look for the group's coordinator, and find the same one.
				err = kafka.CoordinatorNotAvailable
			}
		}()
		if req.Version >= 5 {
			return s.transactions.AddGroup(ctx, req.TransactionalID, event.Producer, req.Group)
		}
		err = s.transactions.VerifyGroup(ctx, req.TransactionalID, event.Producer, req.Group)
		if req.Version < 4 && errors.Is(err, kafka.TransactionAbortable) {
			return kafka.InvalidTxnState
		}
		return err
	})
}

// refuseTxnOffsets answers every partition with an error.
func refuseTxnOffsets(req *kmsg.TxnOffsetCommitRequest, code kafka.Error) *kmsg.TxnOffsetCommitResponse {
	res := kmsg.NewPtrTxnOffsetCommitResponse()
	for i := range req.Topics {
		topic := kmsg.NewTxnOffsetCommitResponseTopic()
		topic.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, code.Code()
			topic.Partitions = append(topic.Partitions, p)
		}
		res.Topics = append(res.Topics, topic)
	}
	return res
}
