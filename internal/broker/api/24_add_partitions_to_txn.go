package api

// AddPartitionsToTxn (key 24), versions 0-5: makes partitions part of a producer's transaction, which the first begins.
//
// Up to version 3 a client asks for itself. From version 4 a broker asks for many transactions at once, and may only want
// to know whether the partitions are part of them (verify only); that needs CLUSTER_ACTION. One partition that is not
// there, or not allowed, refuses all of its transaction: the others are OPERATION_NOT_ATTEMPTED.
//
// 2: PRODUCER_FENCED, before it INVALID_PRODUCER_EPOCH. 3: flexible. 4: many transactions, verify only.
// 5: TRANSACTION_ABORTABLE for a partition that is not part of the transaction; Kafka answers 4 with it too.

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/txn"
	"github.com/weir-stream/weir/internal/kafka"
)

// Versions of AddPartitionsToTxn from which clients know PRODUCER_FENCED, and from which brokers ask.
const (
	addPartitionsVersionFenced  = 2
	addPartitionsVersionBatched = 4
)

func (s *Server) addPartitionsToTxn(ctx context.Context, c *Conn, req *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	res := kmsg.NewPtrAddPartitionsToTxnResponse()
	if req.Version >= addPartitionsVersionBatched {
		if !s.allowCluster(c, auth.ClusterAction) {
			res.ErrorCode = kafka.ClusterAuthorizationFailed.Code()
			return res, nil
		}
		// A broker asks for many producers at once: what has to be durable waits for the same disk.
		var asking sync.WaitGroup
		slots := make(chan struct{}, transactionsAtOnce)
		res.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(req.Transactions))
		for i := range req.Transactions {
			out := &res.Transactions[i]
			*out = kmsg.NewAddPartitionsToTxnResponseTransaction()
			out.TransactionalID = req.Transactions[i].TransactionalID
			slots <- struct{}{}
			asking.Go(func() {
				// The connection is not asked about what brokers want: addToTransaction does not touch it.
				out.Topics = s.addToTransaction(ctx, nil, req.Version, &req.Transactions[i])
				<-slots
			})
		}
		asking.Wait()
		return res, nil
	}
	one := kmsg.NewAddPartitionsToTxnRequestTransaction()
	one.TransactionalID, one.ProducerID, one.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
	for _, t := range req.Topics {
		topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
		topic.Topic, topic.Partitions = t.Topic, t.Partitions
		one.Topics = append(one.Topics, topic)
	}
	for _, t := range s.addToTransaction(ctx, c, req.Version, &one) {
		topic := kmsg.NewAddPartitionsToTxnResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, p.ErrorCode
			topic.Partitions = append(topic.Partitions, partition)
		}
		res.Topics = append(res.Topics, topic)
	}
	return res, nil
}

// transactionsAtOnce is how many transactions of one request are served at the same time.
const transactionsAtOnce = 256

// addToTransaction serves one transaction of the request. c is nil where a broker asks.
func (s *Server) addToTransaction(ctx context.Context, c *Conn, version int16, in *kmsg.AddPartitionsToTxnRequestTransaction) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	answer := newTxnAnswer(in)
	fromClient := version < addPartitionsVersionBatched
	if fromClient && !s.allow(c, auth.Write, auth.TransactionalID, in.TransactionalID) {
		return answer.all(kafka.TransactionalIDAuthorizationFailed.Code())
	}
	view := s.topics.View()
	refused := false
	var partitions []kafka.TopicPartition
	for i, t := range in.Topics {
		allowed := !fromClient || !kafka.IsInternalTopic(t.Topic) && s.allow(c, auth.Write, auth.Topic, t.Topic)
		topic, _ := view.ByName(t.Topic)
		for j, index := range t.Partitions {
			code := kafka.OperationNotAttempted
			switch {
			case !allowed:
				code, refused = kafka.TopicAuthorizationFailed, true
			case !hasPartition(topic, index):
				code, refused = kafka.UnknownTopicOrPartition, true
			}
			answer.topics[i].Partitions[j].ErrorCode = code.Code()
			partitions = append(partitions, kafka.TopicPartition{Topic: t.Topic, Partition: index})
		}
	}
	if refused {
		return answer.topics
	}
	p := txn.Producer{ID: in.ProducerID, Epoch: in.ProducerEpoch}
	if !in.VerifyOnly {
		err := s.transactional.AddPartitions(ctx, txn.AddPartitions{TransactionalID: in.TransactionalID, Producer: p, Partitions: partitions, Bumps: !fromClient})
		return answer.all(fencedCode(err, version >= addPartitionsVersionFenced))
	}
	each, err := s.transactional.Verify(ctx, txn.Verify{TransactionalID: in.TransactionalID, Producer: p, Partitions: partitions})
	if err != nil {
		return answer.all(codeOf(err).Code())
	}
	return answer.each(each)
}

// txnAnswer is the answer for one transaction, with the topics and partitions of the request.
type txnAnswer struct {
	topics []kmsg.AddPartitionsToTxnResponseTransactionTopic
}

func newTxnAnswer(in *kmsg.AddPartitionsToTxnRequestTransaction) txnAnswer {
	var a txnAnswer
	for _, t := range in.Topics {
		topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		topic.Topic = t.Topic
		for _, index := range t.Partitions {
			p := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			p.Partition = index
			topic.Partitions = append(topic.Partitions, p)
		}
		a.topics = append(a.topics, topic)
	}
	return a
}

func (a txnAnswer) all(code int16) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	for i := range a.topics {
		for j := range a.topics[i].Partitions {
			a.topics[i].Partitions[j].ErrorCode = code
		}
	}
	return a.topics
}

// each gives every partition its code, in the order of the request.
func (a txnAnswer) each(codes []kafka.Error) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	n := 0
	for i := range a.topics {
		for j := range a.topics[i].Partitions {
			a.topics[i].Partitions[j].ErrorCode = codes[n].Code()
			n++
		}
	}
	return a.topics
}
