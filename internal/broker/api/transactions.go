package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/machine"
	"github.com/weir-stream/weir/internal/broker/partition"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Transactions is what handlers ask of the coordinator of transactions.
type Transactions interface {
	GroupTransactions
	// AddPartitions makes the partitions part of the producer's transaction or, with VerifyOnly, asks whether they are. It returns
	// an error, or nil, for each partition, in their order, once what it says is durable. The errors are the coordinator's own:
	// InvalidProducerIDMapping, ProducerFenced, ConcurrentTransactions, TransactionAbortable (to be verified, and not part of the
	// transaction), CoordinatorNotAvailable, CoordinatorLoadInProgress, NotCoordinator; what a client hears is up to the caller.
	// A produce asks it before the first batch of a partition (KIP-890).
	AddPartitions(ctx context.Context, claim TransactionClaim) []error
	// Ending says whether the end of a transaction of the producer is decided and its markers are being written.
	Ending(producerID int64) bool
}

// GroupTransactions is what handlers ask of the coordinator of transactions about groups, whose offsets may be part of a
// transaction. Both methods return nil if the group is part of the producer's open transaction.
type GroupTransactions interface {
	// VerifyGroup only looks (KIP-890, part 1); kafka.TransactionAbortable says that there is no such transaction, or that
	// the group is not part of it.
	VerifyGroup(ctx context.Context, transactionalID string, p machine.Producer, group string) error
	// AddGroup adds the group to the transaction, which it begins if need be (KIP-890, part 2).
	AddGroup(ctx context.Context, transactionalID string, p machine.Producer, group string) error
}

// TransactionClaim names partitions that a producer says belong to its transaction.
type TransactionClaim struct {
	TransactionalID string
	Producer        machine.Producer
	Partitions      []kafka.TopicPartition
	VerifyOnly      bool
}

// Settings of what is asked of the coordinator, and of what is late.
var (
	AddPartitionsBackoff = config.MillisInt("add.partitions.to.txn.retry.backoff.ms", 20*time.Millisecond, config.AtLeast(1),
		"Time after which a produce asks again, where its partitions could not be added to a transaction because the one before is still being ended.")
	AddPartitionsBackoffMax = config.MillisInt("add.partitions.to.txn.retry.backoff.max.ms", 100*time.Millisecond, config.AtLeast(0),
		"Time for which a produce asks again, before the client is told to.")
	TransactionMaxTimeout = config.MillisInt("transaction.max.timeout.ms", 15*time.Minute, config.AtLeast(1),
		"Longest timeout that a transactional producer may ask for.")
)

// lateTransactionBuffer is for how much longer than its longest timeout a transaction may be idle before it counts as late.
const lateTransactionBuffer = 5 * time.Minute

// Versions of Produce from which clients understand TransactionAbortable, and leave it to the broker to add partitions.
const (
	produceVersionAbortable = 11
	produceVersionAdds      = 12
)

// claims is what came of looking for the open transactions of a produce request and of asking the coordinator for those that are
// not there, by the ordinal of the partition in it. Partitions whose batch is not transactional have no entry.
type claims map[int]claim

// claim holds for the log that was looked at alone: the partition may be lost and be loaded again before the batch is appended, and
// that life of it knows nothing of the verification.
type claim struct {
	log          *partition.Log
	verification *partition.Verification // nil: the transaction is open in the log
	err          error
}

// claimPartitions asks the coordinator about the transactional batches of a produce that would open a transaction in their
// partition. found are the topics of the request, in its order. An error is that of the whole request.
func (s *Server) claimPartitions(ctx context.Context, wait *patience, req *kmsg.ProduceRequest, found []produceTarget) (claims, error) {
	if req.TransactionID == nil {
		return nil, nil // then no batch is transactional
	}
	out := claims{}
	ask := TransactionClaim{TransactionalID: *req.TransactionID, Producer: machine.Producer{ID: -1}, VerifyOnly: req.Version < produceVersionAdds}
	var waiting []claimant
	ordinal := -1
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			ordinal++
			p := &req.Topics[i].Partitions[j]
			head, ok := transactionalHead(p.Records)
			if !ok {
				continue
			}
			producer := machine.Producer{ID: head.ProducerID, Epoch: head.ProducerEpoch}
			if ask.Producer.ID >= 0 && ask.Producer != producer {
				return nil, kafka.Errorf(kafka.InvalidProducerIDMapping, "the request holds transactional records of more than one producer")
			}
			ask.Producer = producer
			topic := found[i].topic
			if found[i].err != nil || kafka.IsInternalTopic(topic.Name) {
				continue // appendBatch says so
			}
			log, err := s.logSoon(ctx, topic, p.Partition, wait)
			if err != nil {
				out[ordinal] = claim{err: codeOf(err)}
				continue
			}
			v := log.BeginVerification(head.ProducerID, head.ProducerEpoch, head.BaseSequence, !ask.VerifyOnly)
			out[ordinal] = claim{log: log, verification: v}
			if v == nil {
				if s.transactions != nil && s.transactions.Ending(producer.ID) {
					// The outcome is fixed, only the marker is not here yet. Kafka would take the batch along.
					out[ordinal] = claim{log: log, err: claimError(kafka.ProducerFenced, req.Version)}
				}
				continue
			}
			waiting = append(waiting, claimant{ordinal, log, head})
			ask.Partitions = append(ask.Partitions, kafka.TopicPartition{Topic: topic.Name, Partition: p.Partition})
		}
	}
	if len(waiting) == 0 {
		return out, nil
	}
	q := question{ask: ask, begin: func() {
		for _, w := range waiting {
			out[w.ordinal] = claim{log: w.log, verification: w.log.BeginVerification(w.head.ProducerID, w.head.ProducerEpoch, w.head.BaseSequence, !ask.VerifyOnly)}
		}
	}, overtaken: func() bool {
		return slices.ContainsFunc(waiting, func(w claimant) bool {
			v := out[w.ordinal].verification
			return v != nil && !w.log.Verifying(w.head.ProducerID, v)
		})
	}}
	for i, err := range s.askCoordinator(ctx, q) {
		if err != nil {
			out[waiting[i].ordinal] = claim{log: waiting[i].log, err: claimError(err, req.Version)}
		}
	}
	return out, nil
}

// claimant is a batch whose partition the coordinator is asked about.
type claimant struct {
	ordinal int
	log     *partition.Log
	head    record.Header
}

// question is what the coordinator is asked for batches that may open a transaction in their partitions.
type question struct {
	ask TransactionClaim
	// begin begins the verifications of the batches anew, and overtaken says whether a marker has ended one of them.
	begin     func()
	overtaken func() bool
}

// overtakenMax is how often the coordinator is asked again since a marker came before its answer.
const overtakenMax = 3

// askCoordinator asks and, where the transaction before is still being ended, asks again for a while: clients of transaction
// version 2 begin the next one at once, and the marker that was waited for ends the verifications too. An answer that was long on its way, as it is
// when the coordinator moves, may be younger than that marker, and speak of the next transaction: then the question is put once more, for a marker
// that came after the answer must refuse the batch.
func (s *Server) askCoordinator(ctx context.Context, q question) []error {
	if s.transactions == nil {
		return slices.Repeat([]error{kafka.InvalidTxnState}, len(q.ask.Partitions))
	}
	values := s.topics.Values()
	backoff, left := AddPartitionsBackoff.Get(values), AddPartitionsBackoffMax.Get(values)
	for overtaken := 0; ; {
		errs := s.transactions.AddPartitions(ctx, q.ask)
		concurrent := slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, kafka.ConcurrentTransactions) })
		if !concurrent && overtaken < overtakenMax && q.overtaken() {
			overtaken++
			q.begin()
			continue
		}
		if !concurrent || q.ask.VerifyOnly || left < backoff {
			return errs
		}
		left -= backoff
		timer := time.NewTimer(backoff)
		select {
		case <-timer.C:
			q.begin()
		case <-ctx.Done():
			timer.Stop()
			return errs
		}
	}
}

// claimError is what a producer hears of the coordinator's answer, in terms that clients of its version know from Produce.
func claimError(err error, version int16) error {
	code := codeOf(err)
	switch code {
	case kafka.ProducerFenced:
		return kafka.InvalidProducerEpoch
	case kafka.TransactionAbortable:
		if version >= produceVersionAbortable {
			return code
		}
		code = kafka.InvalidTxnState
	case kafka.ConcurrentTransactions:
		if version >= produceVersionAdds {
			return code
		}
	}
	switch code {
	case kafka.InvalidTxnState:
		return kafka.Errorf(code, "Partition was not added to the transaction")
	case kafka.ConcurrentTransactions, kafka.NetworkException, kafka.RequestTimedOut,
		kafka.CoordinatorLoadInProgress, kafka.CoordinatorNotAvailable, kafka.NotCoordinator:
		// Old clients would not try these again, or would look for another leader.
		return kafka.Errorf(kafka.NotEnoughReplicas, "Unable to verify the partition has been added to the transaction. Underlying error: %s", code.Name())
	}
	return code
}

// transactionalHead returns the header of the batch in records if it is a transactional one.
func transactionalHead(records []byte) (record.Header, bool) {
	head, err := record.ParseHeader(records)
	if err != nil || !head.Transactional() || head.ProducerID < 0 {
		return head, false
	}
	_, err = soleBatch(records)
	return head, err == nil
}
